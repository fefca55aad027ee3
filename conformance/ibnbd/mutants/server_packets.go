// SPDX-License-Identifier: Apache-2.0

package mutants

// serverPackets are mutants of servers that only packets show.
func serverPackets() []row {
	return []row{
		serverWith(ordinary, "heartbeat-before-info", "sends a heartbeat in front of the INFO response", "IBTRS-INFO-020",
			func(b *brokenServer) { b.rules().EarlyHeartbeat = true }),
		serverWith(ordinary, "response-before-data", "responds to a read, and then writes its data", "IBTRS-IO-010",
			func(b *brokenServer) { b.rules().ResponseFirst = true }),
		serverWith(noInvalidation, "invalidates-unasked", "takes the key of every read back, asked or not", "IBTRS-IO-012",
			func(b *brokenServer) { b.rules().AlwaysInvalidated = true }),
		serverWith(ordinary, "response-by-write", "answers by RDMA write although keys are refreshed", "IBTRS-INV-002",
			func(b *brokenServer) { b.rules().WrongResponseForm = true }),
		serverWith(idle, "no-heartbeat-of-server", "sends no heartbeat", "IBTRS-HB-001 target",
			func(b *brokenServer) { b.rules().NoHeartbeat = true }).slowly(),
	}
}
