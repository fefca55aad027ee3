// SPDX-License-Identifier: Apache-2.0

package mutants

import (
	"time"

	"github.com/ibnbd/ibnbd/reference/backend"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// nowhere is the immediate of a request that lies in no chunk, upon which a server closes the path.
const nowhere = ibtrs.Immediate(1<<28 - 1)

// immediates are mutants of immediate data and of the heartbeat.
func immediates() []row {
	return []row{
		server("negative-errno", "answers with the negative number of an error", "IBTRS-IMM-004", func(b *brokenServer) {
			b.editErrno(func(_ uint32, errno ibtrs.Errno) ibtrs.Errno {
				if errno == 0 {
					return 0
				}
				return ibtrs.MaxWireErrno + 1 - errno
			})
		}),
		server("truncates-errno", "has ENOTSUPP, 524, for what it cannot do, and cuts off what does not fit", "IBTRS-IMM-005", func(b *brokenServer) {
			b.editErrno(func(_ uint32, errno ibtrs.Errno) ibtrs.Errno {
				if errno == ibtrs.EOPNOTSUPP {
					return ibtrs.ENOTSUPP & ibtrs.MaxWireErrno
				}
				return errno
			})
			on(func(disk backend.Backend) backend.Backend { return unerasable{disk} })(b)
		}),
		serverKept("answers-for-chunk-zero", "answers every request as that of chunk 0", "IBTRS-IMM-003",
			func(b *brokenServer) { b.rules().FixedID = true }).by("requests that take turns in two chunks"),
		server("any-chunk", "answers a request for a chunk that does not exist", "IBTRS-IMM-006",
			func(b *brokenServer) { b.rules().AnyChunk = true }),
		server("any-offset", "answers a request behind the end of its chunk", "IBTRS-IMM-007",
			func(b *brokenServer) { b.rules().AnyChunk = true }),
		server("no-unknown-immediate", "closes the path upon an immediate that has no meaning", "IBTRS-IMM-008", func(b *brokenServer) {
			b.alterImmediates(func(imm ibtrs.Immediate) ibtrs.Immediate {
				switch imm.Type() {
				case ibtrs.ImmRequest, ibtrs.ImmHeartbeat, ibtrs.ImmHeartbeatAck:
					return imm
				}
				return nowhere
			})
		}),
		server("no-uncalled-acknowledge", "closes the path upon an acknowledge that it did not call for", "IBTRS-IMM-008", func(b *brokenServer) {
			b.alterImmediates(func(imm ibtrs.Immediate) ibtrs.Immediate {
				if imm == ibtrs.HeartbeatAck {
					return nowhere
				}
				return imm
			})
		}),
		server("shift-of-the-wrong-depth", "splits immediates as if the depth were the power of two below it", "IBTRS-IMM-013", func(b *brokenServer) {
			const below = 8 // the depth is 10
			b.alterRequests(func(w *request) {
				if w.chunk(b) >= below {
					w.imm = nowhere
				}
			})
		}),
		server("no-heartbeat-ack", "acknowledges no heartbeat", "IBTRS-HB-002",
			func(b *brokenServer) { b.rules().NoHeartbeatAck = true }),
		server("late-heartbeat-ack", "acknowledges a heartbeat after more than half an interval", "IBTRS-HB-002",
			func(b *brokenServer) {
				b.rules().EditHeartbeat = func(_ *ibtrs.ServerPath, imm ibtrs.Immediate) (ibtrs.Immediate, bool) {
					if imm == ibtrs.HeartbeatAck {
						<-time.After(ibtrs.DefaultTimers.HeartbeatInterval/2 + 200*time.Millisecond)
					}
					return imm, true
				}
			}),
		server("no-heartbeat-ack-elsewhere", "acknowledges no heartbeat that comes on a connection for I/O", "IBTRS-HB-012",
			func(b *brokenServer) { deafElsewhere(b.filter, toService) }),
	}
}
