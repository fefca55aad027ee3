// SPDX-License-Identifier: Apache-2.0

package mutants

import (
	"github.com/ibnbd/ibnbd/conformance/ibnbd/provocations"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/roce"
)

// clientLimits are mutants that cannot live with all sizes that a server may have.
func clientLimits() []row {
	return []row{
		misled("no-depth-of-three", "takes no queue depth that is no power of two", "IBNBD-LIM-001",
			refusing(func(r *ibtrs.ConnResponse) bool { return r.QueueDepth&(r.QueueDepth-1) != 0 })),
		misled("no-large-chunks", "takes no chunks of 128 KiB", "IBNBD-LIM-002",
			refusing(func(r *ibtrs.ConnResponse) bool { return r.MaxIOSize+r.MaxHeaderSize == 128<<10 })),
		misled("no-large-headers", "takes no headers that are larger than its pages", "IBNBD-LIM-003",
			refusing(func(r *ibtrs.ConnResponse) bool { return r.MaxHeaderSize == 64<<10 })),
		misled("client-dies-of-a-huge-header", "dies of an accept with a huge header size", provocations.SurvivalWarning, func(f *filter) {
			f.alterAccepts(func(r *ibtrs.ConnResponse) {
				if r.MaxHeaderSize > 64<<10 {
					f.die()
				}
			})
		}).provokedBy("an accept has a huge header size").slowly(),
	}
}

// clientRecovery are mutants of what a client does when its path was lost.
func clientRecovery() []row {
	return []row{
		misled("hangs-with-its-path", "does not notice that the server has gone, and goes on waiting for an answer", "IBNBD-FAIL-006", func(f *filter) {
			const repeated = 64 // as often as the requests of all connections are repeated
			f.lose(repeated, managed(roce.AttrDREQ))
		}).with(transportRule(func(r *ibtrs.ClientRules) { r.IgnoreSilence = true })).
			provokedBy("a server disconnects instead of answering a read"),
		misled("gives-up-upon-a-reject", "takes the reject of a reconnect for the last word", "IBTRS-PATH-018", func(f *filter) {
			rejected := false
			f.alterRejects(func(reason roce.RejReason, _ *ibtrs.ConnResponse) roce.RejReason {
				rejected = true
				return reason
			})
			f.alterAccepts(func(r *ibtrs.ConnResponse) {
				if rejected {
					r.Magic = 0
				}
			})
		}),
		client("stays-away", "does not try again when it has found a server dead", "IBTRS-HB-009",
			transportRule(func(r *ibtrs.ClientRules) { r.StayAway = true })).bySilence(),
		client("tries-once", "gives a path up when one attempt to connect it again has failed", "IBTRS-PATH-006",
			func(cfg *ibnbd.ClientConfig) { cfg.Transport.MaxReconnectAttempts = 1 }).bySilence(),
		client("needs-all-paths", "takes its session for lost when one of two paths is", "IBTRS-PATH-015",
			transportRule(func(r *ibtrs.ClientRules) { r.LostWithFirst = true })).alsoBreaks("IBNBD-FAIL-005"),
		client("fails-no-request-over", "fails the requests of a lost path although another is whole", "IBNBD-FAIL-005",
			transportRule(func(r *ibtrs.ClientRules) { r.NoFailover = true })).alsoBreaks("IBTRS-PATH-019"),
		client("knows-one-path", "sends nothing on a path that was added", "IBTRS-MP-009",
			transportRule(func(r *ibtrs.ClientRules) { r.FirstPathOnly = true })),
	}
}

// clientWaits are mutants of what becomes of requests that wait, and of a disk whose server is gone.
func clientWaits() []row {
	return []row{
		client("has-no-line-for-chunks", "fails requests for which there is no chunk", "IBTRS-IO-020",
			transportRule(func(r *ibtrs.ClientRules) { r.NoPermitLine = true })),
		client("wakes-upon-traffic", "has a request that waits for a chunk wait until another wants one", "IBNBD-FAIL-030",
			transportRule(func(r *ibtrs.ClientRules) { r.WakeOnTraffic = true })),
		client("forgets-its-requests", "never ends the requests of a lost path", "IBTRS-IO-030",
			transportRule(func(r *ibtrs.ClientRules) { r.ForgetOnLoss = true })),
		client("loss-is-success", "ends the requests of a lost path without an error", "IBNBD-FAIL-006",
			transportRule(func(r *ibtrs.ClientRules) { r.SucceedOnLoss = true })),
		client("waits-for-a-path", "has requests wait until there is a path", "IBNBD-IO-019", func(cfg *ibnbd.ClientConfig) {
			cfg.Rules.QueueWhenClosed, cfg.Transport.Rules.WaitForPath = true, true
		}),
		client("serves-what-is-closed", "ends the I/O of a closed device without an error", "IBNBD-IO-019",
			blockRule(func(r *ibnbd.ClientRules) { r.ServeWhenClosed = true })),
		client("closes-what-is-closed", "cannot unmap a device without telling the server", "IBNBD-FAIL-009",
			blockRule(func(r *ibnbd.ClientRules) { r.CloseWhenClosed = true })),
		client("keeps-no-order", "sends a newer request while one that was given up is under way to the same blocks", "IBNBD-FAIL-029",
			blockRule(func(r *ibnbd.ClientRules) { r.NoOrder = true })),
		client("sends-again-what-was-given-up", "sends requests that were given up again on another path, behind newer ones", "IBNBD-FAIL-029",
			func(cfg *ibnbd.ClientConfig) { cfg.Rules.NoOrder, cfg.Transport.Rules.SendGivenUp = true, true }).
			provokedBy("an application goes whose write is on a path that is lost", "a disk is unmapped whose write is on a path that is lost"),
		client("maps-when-it-can", "has map wait until there is a path", "IBNBD-FAIL-010",
			blockRule(func(r *ibnbd.ClientRules) { r.MapWhenLost = true })),
	}
}
