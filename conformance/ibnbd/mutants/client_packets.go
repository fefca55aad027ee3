// SPDX-License-Identifier: Apache-2.0

package mutants

import (
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/rdma"
)

// preflushed sets the flag preflush in a write.
func preflushed(_ *ibtrs.Path, _ uint32, _ *rdma.SendWR, message []byte) {
	if blockType.get(message) == ibnbd.TypeIO && ioOpFlags.get(message)&0xFF == uint64(ibnbd.OpWrite) {
		ioOpFlags.set(message, ioOpFlags.get(message)|ibnbd.FlagPreflush)
	}
}

// discardsTwice makes a discard twice as long.
func discardsTwice(_ *ibtrs.Path, _ uint32, _ *rdma.SendWR, message []byte) {
	if blockType.get(message) == ibnbd.TypeIO && ioOpFlags.get(message)&0xFF == uint64(ibnbd.OpDiscard) {
		ioSize.set(message, 2*ioSize.get(message))
	}
}

// clientPackets are mutants of clients that only packets show.
func clientPackets() []row {
	return []row{
		clientWith(ordinary, "reverse-connect-order", "connects its connections from the last to the first", "IBTRS-CONN-008",
			transportRule(func(r *ibtrs.ClientRules) { r.ReverseOrder = true })).alsoBreaks("IBTRS-CONN-059"),
		clientWith(comesBack, "returns-as-another-path", "asks for a path that was lost as for a further one of its session", "IBTRS-CONN-058",
			transportRule(func(r *ibtrs.ClientRules) {
				r.EditConnRequest = func(_ *ibtrs.Path, cid int, c *ibtrs.ConnRequest) {
					if cid == 0 && c.Incarnation > 1 {
						c.FirstConnection = 0
					}
				}
			})),
		clientWith(ordinary, "new-path-uuid-on-reconnect", "gives a path another UUID when it connects it again", "IBTRS-CONN-012",
			transportRule(func(r *ibtrs.ClientRules) { r.NewPathUUID = true })),
		clientWith(anyoneCreates, "never-first-connection", "never sets the first-connection flag", "IBTRS-CONN-063",
			transportRule(func(r *ibtrs.ClientRules) { r.NeverFirst = true })),
		clientWith(ordinary, "info-request-twice", "sends the INFO request twice", "IBTRS-INFO-001",
			transportRule(func(r *ibtrs.ClientRules) { r.DoubleInfo = true })),
		clientWith(ordinary, "no-invalidate-flag", "does not ask the server to take the key of a read back", "IBTRS-IO-038",
			transportRule(func(r *ibtrs.ClientRules) { r.NoInvalidateFlag = true })),
		clientWith(keysKept, "one-receive-for-two", "gives one receive back for a response that took two", "IBTRS-IO-029",
			transportRule(func(r *ibtrs.ClientRules) { r.RepostOne = true })),
		clientWith(idle, "no-heartbeat-of-client", "sends no heartbeat", "IBTRS-HB-001 initiator",
			transportRule(func(r *ibtrs.ClientRules) { r.NoHeartbeat = true })).slowly(),
		clientWith(pathLost, "reconnects-without-delay", "connects a lost path again without a pause", "IBTRS-PATH-009",
			transportRule(func(r *ibtrs.ClientRules) { r.NoDelay = true })),
		clientWith(writeCache, "flush-by-write", "sends a flush as a transport write", "IBNBD-IO-005",
			blockRule(func(r *ibnbd.ClientRules) { r.FlushAsWrite = true })),
		clientWith(noFeatures, "preflush-unasked", "flushes before writes by a flag that the server has not agreed to", "IBNBD-MSG-021",
			transportRule(func(r *ibtrs.ClientRules) { r.EditRequest = preflushed })),
		clientWith(shortDiscards, "discards-at-length", "discards more than the server allows", "IBNBD-IO-027",
			transportRule(func(r *ibtrs.ClientRules) { r.EditRequest = discardsTwice })),
		clientWith(versionOne, "write-zeroes-to-version-1", "sends write-zeroes to a server of version 1", "IBNBD-COMPAT-009",
			blockRule(func(r *ibnbd.ClientRules) { r.WriteZeroesAnyway = true })),
	}
}
