// SPDX-License-Identifier: Apache-2.0

package mutants

import (
	"github.com/ibnbd/ibnbd/conformance/ibnbd/attacks"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/rdma/soft"
	"github.com/ibnbd/ibnbd/reference/roce"
)

// dies makes a server that a request ends.
func dies(upon func(w *request) bool) func(*brokenServer) {
	return func(b *brokenServer) {
		b.alterRequests(func(w *request) {
			if upon(w) {
				b.die()
			}
		})
	}
}

// lives are mutants that something which a client does is too much for, and one that does not notice a loss.
func lives() []row {
	return []row{
		server("outlives-a-connection", "goes on with a path that has lost a connection", "IBTRS-PATH-003",
			func(b *brokenServer) { b.rules().OutliveConnection = true }),
		server("dies-of-a-magic", "dies of a wrong magic", attacks.Survival, func(b *brokenServer) {
			b.alterConnRequests(func(r *ibtrs.ConnRequest) {
				if r.Magic != ibtrs.Magic {
					b.die()
				}
			})
		}).by("connection request with another magic"),
		server("dies-of-reverse-order", "dies when the last connection comes first", attacks.Survival, func(b *brokenServer) {
			begun := map[ibtrs.UUID]bool{}
			b.alterConnRequests(func(r *ibtrs.ConnRequest) {
				if !begun[r.PathUUID] && r.CID != 0 {
					b.die()
				}
				begun[r.PathUUID] = true
			})
		}).by("connections of a path in reverse order"),
		server("dies-of-an-early-goodbye", "dies when a client goes after its first connection", attacks.Survival, func(b *brokenServer) {
			asked := 0 // connections of the last path
			b.alterConnRequests(func(r *ibtrs.ConnRequest) {
				if asked++; r.CID == 0 {
					asked = 1
				}
			})
			b.onDisconnect(func() {
				if asked == 1 {
					b.die()
				}
			})
		}).by("client that goes away after its first connection"),
		server("dies-of-two-descriptors", "dies of a read with two descriptors", attacks.Survival,
			dies(func(w *request) bool { return w.reads() && messageCount.get(w.message) > 1 })).
			by("read that counts two descriptors"),
		server("dies-beyond-the-end", "dies of a sector that does not fit into a file offset", attacks.Survival,
			dies(func(w *request) bool {
				op, io := w.op()
				return io && op != ibnbd.OpFlush && ioSector.get(w.header) > 1<<54
			})).by("I/O beyond the end of a device"),
		server("dies-of-a-hundred", "dies of the hundredth connection", attacks.Survival, func(b *brokenServer) {
			asked := 0
			b.alterConnRequests(func(*ibtrs.ConnRequest) {
				if asked++; asked == 100 {
					b.die()
				}
			})
		}).by("a hundred connects and disconnects"),
		server("dies-of-an-empty-name", "dies of an empty session name", attacks.SurvivalDeadly, func(b *brokenServer) {
			b.alterInfoRequests(func(m []byte) {
				if m[atName] == 0 {
					b.die()
				}
			})
		}).by("empty session name"),
		server("dies-of-an-endless-path", "dies of a device path without end", attacks.SurvivalDeadly,
			dies(func(w *request) bool { return w.is(ibnbd.TypeOpen) && w.header[openDevicePath.End()-1] != 0 })).
			by("OPEN of a path without a NUL"),
		server("dies-of-a-heartbeat", "dies of a heartbeat on a connection for I/O", attacks.SurvivalWarning, func(b *brokenServer) {
			service := map[uint32]bool{} // queue pairs that something else than I/O came for
			b.alterReceived(withImmediate, func(p *soft.Packet) {
				if immediateNumber(p).Type() == ibtrs.ImmHeartbeat && !service[p.DestQP()] {
					b.die()
				}
			})
			b.alterReceived(func(p *soft.Packet) bool { return p.OpCode() == roce.RCSendOnly }, func(p *soft.Packet) { service[p.DestQP()] = true })
		}).by("heartbeat on a connection for I/O"),
		server("dies-of-fua", "dies of a read with the flag FUA", attacks.SurvivalWarning,
			dies(func(w *request) bool {
				op, io := w.op()
				return io && op == ibnbd.OpRead && ioOpFlags.get(w.header)&uint64(ibnbd.FlagFUA) != 0
			})).by("read with the flag FUA"),
	}
}
