// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/conformance/clauses/claim"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/pair"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/conformance/kit"
)

// secondsPerFault is what one fault usually costs with mainline: detection and reconnect come before their bounds.
const secondsPerFault = 55

var _ = Describe("failover", kit.Takes(secondsPerFault), func() {
	for _, f := range faults {
		Describe("on "+f.name, func() {
			It("with one path: I/O fails within the bound, and everything comes back after heal",
				claimsWithoutPath(f), func(ctx SpecContext) { runWithoutPath(ctx, f, 1) })
			if f.server {
				It("with two paths: I/O fails within the bound, and both come back after heal",
					claimsWithoutPath(f), func(ctx SpecContext) { runWithoutPath(ctx, f, 2) })
				return
			}
			for _, w := range workloads {
				It("with two paths"+w.while+": no I/O fails, none stalls beyond the bound, and the path comes back after heal",
					claimsWithPath(w), w.labels, func(ctx SpecContext) { runWithPath(ctx, f, w, 1, 2) })
			}
		})
	}
})

// promisesKept is the clause that an initiator keeps the times that it promises.
const promisesKept = "IBTRS-PATH-025"

func claimsWithPath(w workload) Labels {
	ids := []string{"IBNBD-FAIL-005", "IBTRS-PATH-012", "IBTRS-PATH-004", "IBTRS-PATH-006", promisesKept}
	if len(w.probes) > 0 {
		ids = append(ids, writesKept)
	}
	return claim.Clauses(ids...)
}

func claimsWithoutPath(f fault) Labels {
	ids := []string{"IBNBD-FAIL-006", "IBTRS-PATH-006", "IBNBD-SYSFS-024", promisesKept}
	if f.server {
		ids = append(ids, "IBNBD-FAIL-001")
	}
	if f.announced {
		ids = append(ids, "IBNBD-FAIL-011")
	}
	return claim.Clauses(ids...)
}

// workload is what an application does meanwhile: a probe each.
type workload struct {
	while  string // for the name of the spec
	probes []kit.ProbeOptions
	labels Labels
}

var (
	writing = workload{probes: []kit.ProbeOptions{{Write: true}}}
	mixed   = workload{" while reading and writing", []kit.ProbeOptions{{Write: true}, {}}, kit.Extended}

	// One that sends, and one that leaves all to the heartbeats, are enough for a usual run.
	workloads = []workload{writing, {while: " while idle"}, {" while reading", []kit.ProbeOptions{{}}, kit.Extended}, mixed}
)

// runWithPath breaks some of the rails of a session while the others are whole.
func runWithPath(ctx SpecContext, f fault, w workload, broken, paths int) {
	p := pair.Current()
	device := mapOver(ctx, p, paths)
	timers := f.timers(ctx, p, device)
	watch := p.Watch(ctx, device)
	app := start(ctx, p, device, w)
	lost := firstPaths(p, broken)

	struck := p.Mark("fault: " + f.name)
	heal := f.strikeAll(ctx, p, broken)
	p.Until(ctx, "the path is seen to be lost", timers.Detection().Limit+slack, func() bool { return watch.NoneConnected(lost) })
	app.goesOn(ctx)
	healed := p.Mark("heal")
	heal(ctx)
	p.Until(ctx, "the path is connected again", timers.Reconnect().Limit+slack, watch.AllConnected)

	for _, path := range lost {
		p.Measure("path loss noticed", watch.LostAfter(path, struck), timers.Detection())
		p.Measure("heal to reconnected", watch.BackAfter(path, healed), timers.Reconnect())
	}
	for _, ios := range app.stop(ctx) {
		p.Measure("I/O stall with another path", ios.Stall(struck), timers.StallWithPath())
	}
	app.expectWhole(ctx)
}

// runWithoutPath takes away every path of a session.
func runWithoutPath(ctx SpecContext, f fault, paths int) {
	p := pair.Current()
	device := mapOver(ctx, p, paths)
	timers := f.timers(ctx, p, device)
	watch := p.Watch(ctx, device)
	probe := p.Probe(ctx, device, kit.ProbeOptions{Write: true})
	probe.Await(ctx, 20)

	broken := p.Mark("fault: " + f.name)
	heal := f.strikeAll(ctx, p, paths)
	p.Until(ctx, "the device is closed", timers.Detection().Limit+slack, func() bool { return allAre("closed", watch) })
	probe.Await(ctx, 5)
	healed := p.Mark("heal")
	heal(ctx)
	p.Until(ctx, "the device is open again", timers.Reconnect().Limit+slack, func() bool { return allAre("open", watch) })
	back := watch.Since()
	p.Until(ctx, "all paths are connected", timers.Reconnect().Limit+slack, func() bool { return watch.AllConnected() })
	probe.AwaitSuccess(ctx, 10)
	ios := probe.Stop(ctx)

	p.Plot(ios)
	p.Measure("I/O pending without a path", ios.Stall(broken), timers.ErrorWithoutPath())
	p.Measure("fault to first I/O error", ios.FirstError(broken).Sub(broken), timers.ErrorWithoutPath())
	p.Measure("heal to device open", back.Sub(healed), timers.Reconnect())
	Expect(ios.Errors()).NotTo(BeEmpty(), "I/O must fail while no path is left")
	if !f.forgets {
		p.VerifyWrites(ctx, ios, device)
	}
}

// firstPaths are the paths over the first rails.
func firstPaths(p *pair.Pair, count int) []subject.PathAddr {
	var paths []subject.PathAddr
	for rail := range count {
		paths = append(paths, p.Path(rail))
	}
	return paths
}

// slack is added to how long a spec waits, not to what it accepts: so that a late event is measured and shown beside its
// bound instead of ending the spec as a time-out.
const slack = 60 * time.Second

func mapOver(ctx SpecContext, p *pair.Pair, paths int) subject.Device {
	GinkgoHelper()
	r := p.Request(p.Export(ctx, subject.ExportSpec{}))
	r.Paths = firstPaths(p, paths)
	d := p.Map(ctx, r)
	Expect(p.Initiator.SetPolicy(ctx, d.Session, "rr")).To(Succeed())
	return d
}

// mapOverRail maps a device over one rail alone.
func mapOverRail(ctx SpecContext, p *pair.Pair, rail int) subject.Device {
	GinkgoHelper()
	r := p.Request(p.Export(ctx, subject.ExportSpec{}))
	r.Paths = []subject.PathAddr{p.Path(rail)}
	return p.Map(ctx, r)
}
