// SPDX-License-Identifier: Apache-2.0

package mutants

import (
	"github.com/ibnbd/ibnbd/conformance/tester/provocations"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/roce"
)

// clientLimits are mutants that cannot live with all sizes that a server may have.
func clientLimits() []Mutant {
	return []Mutant{
		misled("no-depth-of-three", "takes no queue depth that is no power of two", "IBNBD-LIM-001",
			refusing(func(r *ibtrs.ConnResponse) bool { return r.QueueDepth&(r.QueueDepth-1) != 0 })),
		misled("no-large-chunks", "takes no chunks of 128 KiB", "IBNBD-LIM-002",
			refusing(func(r *ibtrs.ConnResponse) bool { return r.MaxIOSize+r.MaxHeaderSize == 128<<10 })),
		misled("no-large-headers", "takes no headers that are larger than its pages", "IBNBD-LIM-003",
			refusing(func(r *ibtrs.ConnResponse) bool { return r.MaxHeaderSize == 64<<10 })),
		misled("client-dies-of-a-huge-header", "dies of an accept with a huge header size", provocations.Alarming, func(h *hop) {
			h.seesAccept(func(r *ibtrs.ConnResponse) {
				if r.MaxHeaderSize > 64<<10 {
					h.die()
				}
			})
		}).provokedBy("an accept has a huge header size"),
	}
}

// clientRecovery are mutants of what a client does when its path was lost.
func clientRecovery() []Mutant {
	return []Mutant{
		misled("hangs-with-its-path", "does not notice that the server has gone, and goes on waiting for an answer", "IBTRS-PATH-013", func(h *hop) {
			const repeated = 64 // as often as the requests of all connections are repeated
			h.lose(repeated, managed(roce.AttrDREQ))
		}).with(transportRule(func(r *ibtrs.ClientRules) { r.IgnoreSilence = true })).
			provokedBy("a server disconnects instead of answering a read"),
		misled("gives-up-upon-a-reject", "takes the reject of a reconnect for the last word", "IBTRS-PATH-018", func(h *hop) {
			rejected := false
			h.seesReject(func(reason roce.RejReason, _ *ibtrs.ConnResponse) roce.RejReason {
				rejected = true
				return reason
			})
			h.seesAccept(func(r *ibtrs.ConnResponse) {
				if rejected {
					r.Magic = 0
				}
			})
		}),
	}
}
