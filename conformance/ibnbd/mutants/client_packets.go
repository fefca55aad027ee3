// SPDX-License-Identifier: Apache-2.0

package mutants

import (
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// clientPackets are mutants of clients that only packets show.
func clientPackets() []row {
	return []row{
		clientWith(ordinary, "reverse-connect-order", "connects its connections from the last to the first", "IBTRS-CONN-008",
			transportRule(func(r *ibtrs.ClientRules) { r.ReverseOrder = true })),
		clientWith(ordinary, "new-path-uuid-on-reconnect", "gives a path another UUID when it connects it again", "IBTRS-CONN-012",
			transportRule(func(r *ibtrs.ClientRules) { r.NewPathUUID = true })),
		clientWith(anyoneCreates, "never-first-connection", "never sets the first-connection flag", "IBTRS-CONN-013",
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
		clientWith(versionOne, "write-zeroes-to-version-1", "sends write-zeroes to a server of version 1", "IBNBD-COMPAT-009",
			blockRule(func(r *ibnbd.ClientRules) { r.WriteZeroesAnyway = true })),
	}
}
