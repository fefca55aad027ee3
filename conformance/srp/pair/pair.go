// SPDX-License-Identifier: Apache-2.0

package pair

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/implementation"
	"github.com/ibnbd/ibnbd/conformance/kit"
	"github.com/ibnbd/ibnbd/conformance/srp/judge"
	"github.com/ibnbd/ibnbd/conformance/srp/subject"
	"github.com/ibnbd/ibnbd/conformance/srp/tester"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/specreport"
	"github.com/ibnbd/ibnbd/reference/scsi"
	"github.com/ibnbd/ibnbd/reference/srp"
	"github.com/ibnbd/ibnbd/vm/fabric"
)

// Protocol is what the kit has to know of SRP.
var Protocol = kit.Protocol{
	NewSubjects:   newPair,
	SysfsDirs:     []string{"/sys/class/srp_remote_ports/*", "/sys/class/scsi_host/host*", "/sys/class/scsi_device/*/device"},
	Judge:         judge.Protocol.JudgeFiles,
	WriteTimeline: judge.Protocol.WriteTimeline,
}

// Pair is a testbed with an initiator and a target of SRP.
type Pair struct {
	*kit.Testbed
	Target    subject.Target
	Initiator subject.Initiator // nil where the implementation has none
}

// Current is the pair of the running spec.
func Current() *Pair {
	p, is := kit.Current().(*Pair)
	if !is {
		ginkgo.AbortSuite("pair: a spec of SRP runs in the lab of another protocol")
	}
	return p
}

// newPair makes the pair of a configuration on a testbed.
func newPair(t *kit.Testbed, c kit.Config) (kit.Subjects, error) {
	target, known := implementation.Named(subject.Implementations, c.Target)
	if !known || target.NewTarget == nil {
		return nil, fmt.Errorf("there is no target %q", c.Target)
	}
	initiator, known := implementation.Named(subject.Implementations, c.Initiator)
	if !known {
		return nil, fmt.Errorf("there is no initiator %q", c.Initiator)
	}
	e := subject.Environment{Release: c.Lab.Image.Manifest.Release, Programs: c.Programs, Version: c.Version}
	p := &Pair{Testbed: t}
	e.Host = t.TargetHost
	p.Target = target.NewTarget(e)
	if initiator.NewInitiator != nil {
		e.Host = t.InitiatorHost
		p.Initiator = initiator.NewInitiator(e)
	}
	return p, nil
}

// Start makes both subjects ready.
func (p *Pair) Start(ctx context.Context) error {
	if err := p.Target.Start(ctx); err != nil || p.Initiator == nil {
		return err
	}
	return p.Initiator.Start(ctx)
}

// needsInitiator is the label of specs that have an initiator do something.
const needsInitiator = "initiator"

// OfInitiator is the decorator of specs that have the initiator under test do something.
var OfInitiator = ginkgo.Label(needsInitiator)

// Begin skips what needs an initiator where the implementation has none for the lab.
func (p *Pair) Begin(labels []string) {
	for _, label := range labels {
		if label == needsInitiator && p.Initiator == nil {
			specreport.Skip(verdict.AbilityMissing, "this implementation has no initiator for the lab")
		}
	}
}

// TakeDown deletes every port and waits until nothing is left of it.
func (p *Pair) TakeDown(ctx context.Context) error {
	if p.Initiator == nil {
		return nil
	}
	ports, err := p.Initiator.Ports(ctx)
	errs := []error{err}
	for _, port := range ports {
		errs = append(errs, p.Initiator.Delete(ctx, port))
	}
	return errors.Join(append(errs, p.awaitNoPorts(ctx))...)
}

// awaitNoPorts looks until there is no port any more.
func (p *Pair) awaitNoPorts(ctx context.Context) error {
	sample := time.NewTicker(kit.SamplePeriod)
	defer sample.Stop()
	for {
		ports, err := p.Initiator.Ports(ctx)
		if err != nil || len(ports) == 0 {
			return err
		}
		select {
		case <-sample.C:
		case <-ctx.Done():
			return fmt.Errorf("ports are left that were deleted: %v", ports)
		}
	}
}

// program is a subject that runs as a program.
type program interface {
	Died() error
	TakeLog() []byte
}

// Died lists how programs have ended that should be running.
func (p *Pair) Died() (all []error) {
	for _, s := range p.programs() {
		if err := s.Died(); err != nil {
			all = append(all, err)
		}
	}
	return all
}

// TakeLogs gives what programs have said since this was last asked, by the names of files.
func (p *Pair) TakeLogs() map[string][]byte {
	logs := make(map[string][]byte)
	for name, s := range p.programs() {
		logs[name] = s.TakeLog()
	}
	return logs
}

func (p *Pair) programs() map[string]program {
	all := make(map[string]program)
	for name, s := range map[string]any{"target.log": p.Target, "initiator.log": p.Initiator} {
		if s, is := s.(program); is {
			all[name] = s
		}
	}
	return all
}

// Stop takes both subjects down. That it can be done proves no clause, for nothing is connected any more; that it cannot breaks one.
func (p *Pair) Stop(ctx context.Context) (results []verdict.Result) {
	if p.Initiator != nil {
		results = stopped(ctx, p.Initiator.Stop, "SRP-SYSFS-021", clauses.Initiator)
	}
	return append(results, stopped(ctx, p.Target.Stop, "SRP-TGT-001", clauses.Target)...)
}

// stopped takes a subject down, and lays it to a clause if that fails.
func stopped(ctx context.Context, stop func(context.Context) error, clause string, role clauses.Role) []verdict.Result {
	begin := time.Now().UTC()
	err := stop(ctx)
	if err == nil {
		return nil
	}
	return []verdict.Result{{
		Clause: clause, Role: role, Spec: "the " + string(role) + " is taken down after all specs", Verdict: verdict.Fail,
		Reason: verdict.LeftBehind, Message: err.Error(), Start: begin, Duration: time.Since(begin),
	}}
}

// Dest is where the target listens on a rail.
func (p *Pair) Dest(rail int) netip.AddrPort {
	return netip.AddrPortFrom(p.TargetAddr(rail), srp.DefaultTargetPort)
}

// Tested gives a tester its place on both rails.
func (p *Pair) Tested() tester.Target {
	ginkgo.GinkgoHelper()
	t := tester.Target{Port: subject.TargetPort, Control: p.Target.Control}
	for rail := range p.Lab.Rails() {
		t.Rails = append(t.Rails, tester.Rail{Device: p.Station(rail), Addr: p.Dest(rail)})
	}
	for n := range t.LUNs {
		lun, err := scsi.NewLUN(uint16(n))
		gomega.Expect(err).NotTo(gomega.HaveOccurred())
		t.LUNs[n] = lun
	}
	return t
}

// LoseRDMA drops every packet of RDMA on a rail, until heal is called. Addresses are still resolved, so that an attempt to connect waits for
// an answer as long as its initiator lets it.
func (p *Pair) LoseRDMA(rail int) (heal func(context.Context)) {
	ginkgo.GinkgoHelper()
	return p.Inject(rail, fabric.Fault{Match: fabric.IsRoCE(), Action: fabric.Drop{}})
}

// Login is a good one, over a rail.
func (p *Pair) Login(rail int, options string) subject.Login {
	return subject.Login{Rail: rail, Dest: p.Dest(rail), Port: subject.TargetPort, Options: options}
}

// Connect connects the target port over a rail and expects that to work.
func (p *Pair) Connect(ctx context.Context, rail int, options string) subject.Port {
	ginkgo.GinkgoHelper()
	port, err := p.Initiator.Connect(ctx, p.Login(rail, options))
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	gomega.Expect(port.Disks).To(gomega.HaveLen(subject.Units), "disks of %s", port.Name)
	return port
}
