// SPDX-License-Identifier: Apache-2.0

// Package target has the specs by which a target in a lab is attacked. The initiator is the suite's own, in this process.
package target

import (
	"context"
	"errors"
	"time"

	. "github.com/onsi/ginkgo/v2"

	"github.com/ibnbd/ibnbd/conformance/clauses/claim"
	"github.com/ibnbd/ibnbd/conformance/kit"
	"github.com/ibnbd/ibnbd/conformance/srp/attacks"
	"github.com/ibnbd/ibnbd/conformance/srp/pair"
	"github.com/ibnbd/ibnbd/conformance/srp/tester"
	"github.com/ibnbd/ibnbd/conformance/verdict/finding"
	"github.com/ibnbd/ibnbd/conformance/verdict/specreport"
)

var _ = Describe(attacks.Group, func() {
	for _, a := range attacks.All() {
		It(a.Name, kit.Takes(1+int(a.Takes/time.Second)), claim.Clauses(append([]string{attacks.Survival, attacks.Undisturbed}, a.Clauses...)...),
			func(ctx SpecContext) { endure(ctx, a) })
	}
})

// endure runs an attack.
func endure(ctx SpecContext, a attacks.Attack) {
	p := pair.Current()
	err := attacks.Execute(ctx, p.Tested(), a)
	if finding.Of(err).Breaks(attacks.Survival) {
		p.TargetHost.Machine().Kill() // nobody need wait for what it will not answer any more
	}
	specreport.Conclude(err, attacks.Survival)
}

// How long a target may take for what it does by itself.
const (
	longestHalfOpen = time.Minute
	longestVanished = 2 * time.Minute
)

var _ = Describe("a target, by itself,", kit.Extended, func() {
	It("frees a login that is never confirmed", kit.Takes(int(longestHalfOpen/time.Second)), claim.Clauses("SRP-TGT-003"),
		func(ctx SpecContext) { await(ctx, longestHalfOpen, attacks.HalfOpen) })
	It("gives up an initiator that vanishes", kit.Takes(int(longestVanished/time.Second)), claim.Clauses("SRP-LOGOUT-007"),
		func(ctx SpecContext) { await(ctx, longestVanished, attacks.Vanished) })
})

// await has something done that the target must notice within a time.
func await(ctx SpecContext, within time.Duration, run func(context.Context, *tester.Tester, time.Duration) error) {
	t := tester.New(pair.Current().Tested())
	err := run(ctx, t, within)
	specreport.Conclude(errors.Join(err, t.Close()), "")
}
