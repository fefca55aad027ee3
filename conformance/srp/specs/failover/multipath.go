// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"context"
	"fmt"
	"path"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/conformance/clauses/claim"
	"github.com/ibnbd/ibnbd/conformance/kit"
	"github.com/ibnbd/ibnbd/conformance/srp/pair"
	"github.com/ibnbd/ibnbd/conformance/srp/subject"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/specreport"
)

// checkInterval is how often it is looked whether a path works that was given up.
const checkInterval = time.Second

// joined are two ports over the two rails, whose disks of one unit are the paths of one device.
type joined struct {
	*pair.Pair
	ports   []subject.Port
	watches []*pair.Watch
	device  *kit.Multipath
}

// join connects the target over both rails.
func join(ctx SpecContext, unit int, timers subject.Timers) *joined {
	GinkgoHelper()
	j := &joined{Pair: pair.Current()}
	for rail := range 2 {
		port := j.Connect(ctx, rail, pair.Breaks)
		j.Timers(ctx, port, timers)
		j.ports = append(j.ports, port)
		j.watches = append(j.watches, j.Watch(ctx, port))
	}
	j.device = j.Multipath(ctx, j.ports[0].Disks[unit], j.ports[1].Disks[unit])
	return j
}

// check has paths used again whose port runs, as a path checker does.
func (j *joined) check(ctx context.Context) {
	j.device.Check(ctx, checkInterval, func(path int) bool {
		return j.watches[path].Is(subject.Running, subject.Running)
	})
}

// whole says whether both ports run, both paths are used, and what was begun on a path that was lost is over.
func (j *joined) whole(ctx context.Context) bool {
	const usual = 2 // I/Os under way, of a probe that begins one after the other
	if j.Outstanding(ctx, j.device) > usual {
		return false
	}
	for i, active := range j.device.Active(ctx) {
		if !active || !j.watches[i].Is(subject.Running, subject.Running) {
			return false
		}
	}
	return true
}

// switched is the longest that an application waits for its I/O when one of two paths is lost.
func (j *joined) switched(timers subject.Timers) verdict.Bound {
	const first = time.Second
	b := j.FailBound(5, timers)
	b.Limit += first
	b.Formula += fmt.Sprintf(" + the first I/O on the other path %s", first)
	return b
}

var bounces = []struct {
	outage   time.Duration
	extended bool
}{{time.Second, false}, {5 * time.Second, false}, {30 * time.Second, true}, {120 * time.Second, true}}

var _ = Describe("two paths to a unit", pair.OfInitiator, func() {
	It("are one device, and I/O goes on when one is lost and comes back", kit.Takes(45), claim.Clauses(
		"SRP-MP-001", "SRP-MP-002", "SRP-MP-004", "SRP-MP-005"), func(ctx SpecContext) {
		j := join(ctx, 0, early)
		ids := make([]string, len(j.ports))
		for i, port := range j.ports {
			ids[i] = j.Client.Word(ctx, path.Join(port.Disks[0].DeviceDir(), "wwid"))
		}
		Expect(ids[0]).To(Equal(ids[1]), "the identifiers of both disks")
		probe := j.Probe(ctx, j.device, kit.ProbeOptions{Write: true})
		probe.Await(ctx, 20)
		Expect(j.device.Active(ctx)).To(HaveEach(true), "paths before the loss")

		struck := j.Mark("loss: a silent wire")
		heal := j.Lose(0, kit.BothWays)
		j.Until(ctx, "the path is given up", j.switched(early).Limit+slack, func() bool { return !j.device.Active(ctx)[0] })
		Expect(j.device.Active(ctx)[1]).To(BeTrue(), "the other path")
		probe.AwaitSuccess(ctx, 20)

		j.Mark("heal")
		heal(ctx)
		j.Until(ctx, "the port runs again", early.ReconnectDelay+slack, func() bool { return j.watches[0].Is(subject.Running, subject.Running) })
		running := time.Now()
		j.check(ctx)
		before := j.Completed(ctx, j.ports[0].Disks[0])
		j.Until(ctx, "the path carries I/O", slack, func() bool { return j.Completed(ctx, j.ports[0].Disks[0]) > before })
		j.Measure("port runs to I/O on the path", time.Since(running), verdict.Bound{
			Limit: checkInterval + kit.AtOnce, Formula: "an interval of checks 1s, and less than any timer",
		})
		ios := probe.Stop(ctx)
		j.Plot(ios)
		Expect(ios.Errors()).To(BeEmpty(), "I/O of the application")
		j.Measure("longest I/O of the application", ios.Stall(struck), j.switched(early))
		j.VerifyWrites(ctx, ios, j.device)
	})

	It("are lost both, and I/O fails within the bound", kit.Takes(35), claim.Clauses("SRP-MP-003"), func(ctx SpecContext) {
		j := join(ctx, 0, early)
		probe := j.Probe(ctx, j.device, kit.ProbeOptions{Write: true})
		probe.Await(ctx, 20)
		struck := j.Mark("loss: both wires are silent")
		heals := []func(context.Context){j.Lose(0, kit.BothWays), j.Lose(1, kit.BothWays)}
		j.Until(ctx, "both paths are given up", j.FailBound(5, early).Limit+slack, func() bool {
			active := j.device.Active(ctx)
			return !active[0] && !active[1]
		})
		probe.Await(ctx, 3)
		ios := probe.Stop(ctx)
		j.Measure("loss to first I/O error", ios.FirstError(struck).Sub(struck), j.FailBound(5, early))
		for rail, heal := range heals {
			heal(ctx)
			j.Until(ctx, "the port runs again", early.ReconnectDelay+slack, func() bool { return j.watches[rail].Is(subject.Running, subject.Running) })
		}
	})

	It("stay in use when a command is refused", kit.Takes(10), claim.Clauses("SRP-MP-006"), func(ctx SpecContext) {
		const unit, size = 1, subject.UnitSize / 2
		changer, can := pair.Current().Target.(subject.UnitChanger)
		if !can {
			specreport.Skip(verdict.NoHook, "the units of this target cannot be changed while it serves")
		}
		j := join(ctx, unit, early)
		resize := func(ctx context.Context, size int64) {
			GinkgoHelper()
			Expect(changer.RemoveUnit(ctx, unit)).To(Succeed())
			Expect(changer.AddUnit(ctx, unit, size)).To(Succeed())
		}
		DeferCleanup(resize, int64(subject.UnitSize))
		resize(ctx, size)
		for range 2 * len(j.ports) { // so that each path has its turn
			Expect(j.ReadAt(ctx, j.device, make([]byte, 4096), 0)).To(Succeed())
			Expect(j.ReadAt(ctx, j.device, make([]byte, 4096), size)).NotTo(Succeed(), "a read beyond the end of the unit")
		}
		Expect(j.device.Active(ctx)).To(HaveEach(true), "paths after commands that the target has refused")
	})

	for _, b := range bounces {
		decorators := []any{kit.Takes(30 + int(b.outage/time.Second)), claim.Clauses("SRP-MP-016")}
		if b.extended {
			decorators = append(decorators, kit.Extended)
		}
		It(fmt.Sprintf("are both up again after one had no carrier for %s", b.outage), append(decorators, func(ctx SpecContext) {
			j := join(ctx, 0, early)
			j.check(ctx)
			probe := j.Probe(ctx, j.device, kit.ProbeOptions{Write: true})
			probe.Await(ctx, 20)
			struck := j.Mark("loss: the carrier")
			heal := j.LoseCarrier(0)
			j.Until(ctx, "the carrier was away for so long", b.outage+kit.AtOnce, func() bool { return time.Since(struck) >= b.outage })
			j.Mark("heal")
			heal(ctx)
			j.Until(ctx, "both paths are up", early.ReconnectDelay+slack, func() bool { return j.whole(ctx) })
			probe.AwaitSuccess(ctx, 10)
			ios := probe.Stop(ctx)
			Expect(ios.Errors()).To(BeEmpty(), "I/O of the application")
			j.VerifyWrites(ctx, ios, j.device)
		})...)
	}

	It("lose no data and no path when one flaps", kit.Takes(330), kit.Extended, claim.Clauses("SRP-MP-015"), func(ctx SpecContext) {
		const period, count = 2 * time.Second, 75
		j := join(ctx, 0, soon)
		j.check(ctx)
		probe := j.Probe(ctx, j.device, kit.ProbeOptions{Write: true, Interval: 50 * time.Millisecond})
		probe.Await(ctx, 5)
		tick := time.NewTicker(period)
		defer tick.Stop()
		for range count {
			heal := j.Lose(0, kit.BothWays)
			<-tick.C
			heal(ctx)
			<-tick.C
		}
		j.Until(ctx, "both paths are up", soon.ReconnectDelay+slack, func() bool { return j.whole(ctx) })
		ios := probe.Stop(ctx)
		Expect(ios.Errors()).To(BeEmpty(), "I/O of the application")
		ports, err := j.Initiator.Ports(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(ports).To(ConsistOf(j.ports), "names, numbers and disks after all")
		j.VerifyWrites(ctx, ios, j.device)
	})
})
