// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
	"github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/specreport"
	"github.com/ibnbd/ibnbd/vm"
)

// What happens around every spec. Before it: a lab in a known state, and recordings. After it, in this order: everything that
// it made is taken down, the guards look, and the evidence is kept or dropped.

const (
	// specTimeout bounds every spec: the longest fault with its slack. A spec that reaches it hangs.
	specTimeout = 8 * time.Minute
	// cleanTimeout bounds each step after a spec. An unmap that waits for a dead peer takes one teardown time.
	cleanTimeout = 2 * time.Minute
	// gracePeriod is what Ginkgo gives a step to return in whose time is up, before it goes on without it.
	gracePeriod = 30 * time.Second
	// SpecBound is the longest time between the beginning and the end of a spec: its own, and that of four steps after it.
	SpecBound = specTimeout + 4*(cleanTimeout+gracePeriod)
	// BootTimeout bounds the start of the lab and both subjects, ShutdownTimeout their end. A host has two minutes to boot.
	BootTimeout     = 4 * time.Minute
	ShutdownTimeout = cleanTimeout
	// RunTimeout bounds the specs of a whole run: a few times of what all of them take in one lab.
	RunTimeout = 3 * time.Hour
	// eventuallyTimeout bounds waits for what has no bound of its own: longer than any teardown.
	eventuallyTimeout = 45 * time.Second
)

func init() {
	gomega.SetDefaultEventuallyTimeout(eventuallyTimeout)
	gomega.SetDefaultEventuallyPollingInterval(SamplePeriod)
	ginkgo.AddTreeConstructionNodeArgsTransformer(boundSpecs)
}

// boundSpecs gives every spec its time limit.
func boundSpecs(kind types.NodeType, _ ginkgo.Offset, text string, args []any) (string, []any, []error) {
	if kind.Is(types.NodeTypeIt) {
		args = append(args, ginkgo.SpecTimeout(specTimeout))
	}
	return text, args, nil
}

var _ = ginkgo.BeforeEach(func(ctx ginkgo.SpecContext) {
	if env.admit != nil && !env.admit() {
		ginkgo.Skip("this spec runs elsewhere")
	}
	spec := ginkgo.CurrentSpecReport()
	subjects := Current()
	subjects.Begin(spec.Labels())
	gomega.Expect(mend(ctx)).To(gomega.Succeed())
	subjects.TakeLogs() // what was said between specs is nobody's evidence
	t := env.testbed
	t.began, t.exceeded, t.disturbed, t.foreign = time.Now(), false, false, false
	env.starvation.begin()
	env.transport, env.caught = "", false
	var err error
	env.evidence, err = gather(ctx, env.config.ReportDir, spec.FullText(), t.Lab, t.hosts()...)
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	// Last in, first out.
	ginkgo.DeferCleanup(conclude, ginkgo.NodeTimeout(cleanTimeout))
	ginkgo.DeferCleanup(guard, ginkgo.NodeTimeout(cleanTimeout))
	ginkgo.DeferCleanup(takeDown, ginkgo.NodeTimeout(cleanTimeout))
	ginkgo.DeferOnFailure(snapshots, ginkgo.NodeTimeout(cleanTimeout))
	gomega.Expect(alter(t, spec.FullText())).To(gomega.Succeed())
}, ginkgo.NodeTimeout(cleanTimeout))

// mend replaces hosts that an earlier spec has broken, so that no spec inherits another's trouble.
func mend(ctx context.Context) error {
	t := env.testbed
	if noteBroken(); !env.broken {
		return nil
	}
	if err := t.Lab.ReplaceAll(ctx); err != nil {
		return err
	}
	if err := t.Lab.ResolveNeighbours(ctx); err != nil {
		return err
	}
	env.broken = false
	return start(ctx, t, env.subjects)
}

// noteBroken looks whether a host has died.
func noteBroken() {
	env.broken = env.broken || slices.ContainsFunc(env.testbed.Lab.Hosts(), dead)
}

// snapshots keeps the sysfs of a failed spec as it was when it failed.
func snapshots(ctx ginkgo.SpecContext) {
	gomega.Expect(env.evidence.keepSysfs(ctx, env.testbed.hosts()...)).To(gomega.Succeed())
}

// takeDown removes everything that the spec has made. What cannot be taken down is the subject's fault: the spec made it by
// the subject's own means.
func takeDown(ctx ginkgo.SpecContext) {
	t := env.testbed
	restore(t)
	for _, end := range slices.Backward(t.ends) {
		end()
	}
	replaced, err := t.Lab.Reset(ctx)
	env.broken = env.broken || len(replaced) > 0
	errs := []error{err}
	for _, d := range t.disks {
		errs = append(errs, d.Close(ctx))
	}
	errs = append(errs, env.subjects.TakeDown(ctx))
	t.disks, t.written, t.ends = nil, nil, nil
	if err := errors.Join(errs...); err != nil {
		env.broken = true
		specreport.Broke(verdict.LeftBehind, "what the spec made cannot be taken down: %v", err)
	}
}

// guard looks at what the spec cannot see. Whatever it finds, the next spec gets new hosts.
func guard(ctx ginkgo.SpecContext) {
	t := env.testbed
	replaced := env.broken // a machine that took its subject with it: the new one has none
	env.broken = true
	for _, h := range t.hosts() {
		if dead(h) {
			env.caught = true
			specreport.Broke(verdict.SubjectDead, "%s died: %v", h.Name(), h.Err())
		}
		checkKernelLog(ctx, h, env.evidence.kernelFrom[h])
	}
	for _, died := range env.subjects.Died() {
		specreport.Broke(verdict.SubjectDead, "%v", died)
	}
	for _, h := range t.hosts() {
		awaitBaseline(ctx, h, env.baselines[h])
	}
	env.broken = replaced
}

// conclude has the passive judge read the packets, keeps the evidence of a spec that broke a clause, and drops that of
// others.
func conclude(ctx ginkgo.SpecContext) {
	e := env.evidence
	gomega.Expect(e.stop()).To(gomega.Succeed())
	spec := ginkgo.CurrentSpecReport()
	var err error
	if spec.Failed() && env.testbed.disturbed {
		env.broken = true // the wire may be what did not come back
		env.transport, err = deadTransport(ctx, env.testbed)
		gomega.Expect(err).NotTo(gomega.HaveOccurred())
	}
	env.passive, err = judgePackets(ctx, env.testbed, e, spec.FullText())
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	if !spec.Failed() && !env.testbed.exceeded && !broken(env.passive) && !env.config.KeepAll {
		gomega.Expect(e.drop()).To(gomega.Succeed())
		return
	}
	gomega.Expect(e.keep(env.testbed.hosts()...)).To(gomega.Succeed())
	gomega.Expect(e.keepTimeline(ctx)).To(gomega.Succeed())
	gomega.Expect(e.keepLogs(env.subjects.TakeLogs())).To(gomega.Succeed())
}

// broken says whether one of the results breaks its clause.
func broken(results []verdict.Result) bool {
	return slices.ContainsFunc(results, func(r verdict.Result) bool { return r.Verdict == verdict.Fail })
}

// dead says whether a host's machine is gone.
func dead(h *vm.Host) bool {
	select {
	case <-h.Died():
		return true
	default:
		return false
	}
}
