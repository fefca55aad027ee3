// SPDX-License-Identifier: Apache-2.0

package target

import (
	"context"
	"net/netip"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/conformance/clauses/claim"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/attacks"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/pair"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/conformance/kit"
	"github.com/ibnbd/ibnbd/conformance/verdict/finding"
	"github.com/ibnbd/ibnbd/conformance/verdict/specreport"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

var _ = Describe(attacks.Group, func() {
	for _, a := range attacks.All() {
		It(a.Name, claim.Clauses(append([]string{a.Survives()}, a.Clauses...)...), takes(a), func(ctx SpecContext) { endure(ctx, a) })
	}
})

// endure runs an attack and waits until the target has forgotten the attacker.
func endure(ctx SpecContext, a attacks.Attack) {
	p := pair.Current()
	if a.Depth != 0 {
		opts := p.TargetOptions()
		opts.QueueDepth = a.Depth
		p.RestartTarget(ctx, opts)
	}
	killed := false
	DeferCleanup(func(ctx context.Context) {
		if killed {
			return
		}
		Eventually(p.Target.Sessions).WithContext(ctx).Should(BeEmpty(), "sessions of clients that have gone")
	})
	err := attacks.Execute(ctx, reach(ctx, p), a)
	if killed = finding.Of(err).Breaks(a.Survives()); killed {
		p.TargetHost.Machine().Kill() // nobody need wait for what it will not answer any more
	}
	specreport.Conclude(err, a.Survives())
}

// DeadlyLabel marks attacks that are known to have killed a target.
const DeadlyLabel = "deadly"

// takes says how long an attack takes: where it kills, the next spec needs new guests.
func takes(a attacks.Attack) []any {
	const usual, deadly = 1, 20
	if a.Survives() == attacks.SurvivalDeadly {
		return append(kit.Takes(deadly), Label(DeadlyLabel))
	}
	return kit.Takes(usual)
}

// reach gives a tester its place on both rails and two exports.
func reach(ctx SpecContext, p *pair.Pair) tester.Target {
	var t tester.Target
	for rail := range 2 {
		t.Rails = append(t.Rails, tester.Rail{
			Device: p.Station(rail), Addr: netip.AddrPortFrom(p.TargetAddr(rail), ibtrs.DefaultPort),
		})
	}
	for i := range t.Exports {
		t.Exports[i] = p.Export(ctx, subject.ExportSpec{SizeMiB: 1, Discard: true}).Path
	}
	return t
}
