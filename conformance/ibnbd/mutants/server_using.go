// SPDX-License-Identifier: Apache-2.0

package mutants

import (
	"time"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/loopback"
	"github.com/ibnbd/ibnbd/reference/backend"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// Fields of the replies that a server makes.
var (
	replyRotational = of(ibnbd.Layout, "open_rsp", "rotational")
	replyLogical    = of(ibnbd.Layout, "open_rsp", "logical_block_size")
)

// on makes a server whose disk, that of the export under attack, is another.
func on(disk func(backend.Backend) backend.Backend) func(*brokenServer) {
	return func(b *brokenServer) { b.Exports[0].Backend = disk(b.Exports[0].Backend) }
}

// says makes a server that says something else in its replies of a size.
func says(size int, change func(reply []byte)) func(*brokenServer) {
	return func(b *brokenServer) { b.alterSentReplies(size, change) }
}

// opensAttacked says whether a request opens the export under attack.
func opensAttacked(w *request) bool {
	return w.is(ibnbd.TypeOpen) && w.devicePath() == loopback.Attacked
}

// modeOf is the access mode of an OPEN.
func modeOf(w *request) ibnbd.AccessMode { return ibnbd.AccessMode(openAccess.get(w.header)) }

// using are mutants of what a server is there for.
func using() []row {
	return []row{
		server("acknowledges-before-the-disk", "answers a write before the disk has done it", "IBTRS-IO-031", func(b *brokenServer) {
			b.Rules.AcknowledgeTooEarly = true
			on(func(disk backend.Backend) backend.Backend { return slowDisk{disk, 100 * time.Millisecond} })(b)
		}),
		server("discards-twice-as-much", "discards twice what it was told to", "IBNBD-IO-006", misreads(func(w *request) {
			if op, io := w.op(); io && op == ibnbd.OpDiscard {
				ioSize.set(w.header, 2*ioSize.get(w.header))
			}
		})),
		server("erases-twice-as-much", "erases twice what it was told to", "IBNBD-IO-032", misreads(func(w *request) {
			if op, io := w.op(); io && op == ibnbd.OpSecureErase {
				ioSize.set(w.header, 2*ioSize.get(w.header))
			}
		})),
		server("erases-nothing", "answers a secure erase with success, and erases nothing", "IBNBD-IO-032",
			on(func(disk backend.Backend) backend.Backend { return stickyDisk{disk} })),
		server("zeroes-nothing", "answers write-zeroes with success, and zeroes nothing", "IBNBD-IO-007",
			on(func(disk backend.Backend) backend.Backend { return uselessDisk{disk} })),
		server("zeroes-by-discard", "discards blocks instead of zeroing them", "IBNBD-IO-007", func(b *brokenServer) {
			b.Rules.ZeroesAreDiscard = true
			on(func(disk backend.Backend) backend.Backend { return idleDisk{disk} })(b)
		}),
		server("both-io-modes", "exports a device in both I/O modes at once", "IBNBD-OPEN-025",
			rule(func(r *ibnbd.ServerRules) { r.MixIOModes = true })),
		server("capacity-in-blocks", "tells the capacity in logical blocks", "IBNBD-OPEN-001", func(b *brokenServer) {
			b.Rules.BlocksAsCapacity = true
			disk, err := backend.NewMemory(b.Exports[0].Backend.Properties().Size, 4096)
			if err == nil {
				b.Exports[0].Backend = disk
			}
		}),
		server("block-size-in-sectors", "tells the logical block size in sectors", "IBNBD-OPEN-002",
			says(ibnbd.OpenResponseSize, func(m []byte) { replyLogical.set(m, replyLogical.get(m)/ibnbd.SectorSize) })),
		server("tells-rotational", "tells a client without the marker what the byte for it meant long ago", "IBNBD-COMPAT-004",
			says(ibnbd.OpenResponseSize, func(m []byte) { replyRotational.set(m, 1) })),
		server("no-migration", "lets no second writer in, even for a migration", "IBNBD-OPEN-008",
			answers(ibtrs.EPERM, func(w *request) bool { return opensAttacked(w) && modeOf(w) == ibnbd.Migration })),
		server("three-writers", "lets a third writer in", "IBNBD-OPEN-009", func(b *brokenServer) {
			writers := 0
			b.alterRequests(func(w *request) {
				if !opensAttacked(w) || modeOf(w) == ibnbd.ReadOnly {
					return
				}
				if writers++; writers == 3 {
					openAccess.set(w.header, uint64(ibnbd.ReadOnly))
				}
			})
		}),
		server("writes-beside-a-migration", "lets a writer in beside a migration when the first writer has gone", "IBNBD-OPEN-010", func(b *brokenServer) {
			gone := 0
			b.alterRequests(func(w *request) {
				switch {
				case w.is(ibnbd.TypeClose):
					gone++
				case opensAttacked(w) && modeOf(w) == ibnbd.ReadWrite && gone == 1:
					openAccess.set(w.header, uint64(ibnbd.ReadOnly))
				}
			})
		}),
		server("no-readers-beside-writers", "lets no reader in where somebody writes", "IBNBD-OPEN-011", func(b *brokenServer) {
			writer := false
			b.answerOdd(ibtrs.EPERM, func(w *request) bool {
				writer = writer || opensAttacked(w) && modeOf(w) != ibnbd.ReadOnly
				return writer && opensAttacked(w) && modeOf(w) == ibnbd.ReadOnly
			})
		}),
		server("keeps-writers", "counts a writer that has closed its device", "IBNBD-OPEN-019",
			rule(func(r *ibnbd.ServerRules) { r.KeepWriter = true })),
		server("closes-beside-a-write", "answers CLOSE while a write is with the disk", "IBNBD-OPEN-023", func(b *brokenServer) {
			b.Rules.CloseBeforeIO, b.Rules.NoWriteOrder = true, true // so that a read shows that the write has not ended
			on(func(disk backend.Backend) backend.Backend { return slowDisk{disk, 100 * time.Millisecond} })(b)
		}),
		server("names-of-a-hundred", "takes no session name of more than a hundred characters", "IBNBD-LIM-004", func(b *brokenServer) {
			b.alterInfoRequests(func(m []byte) {
				if m[atName+100] != 0 {
					m[atName] = '/'
				}
			})
		}),
		server("marker-for-everybody", "answers the marker to everybody", "IBNBD-COMPAT-006",
			rule(func(r *ibnbd.ServerRules) { r.AlwaysMarker = true })),
		server("all-features", "answers features that were not offered", "IBNBD-COMPAT-012", func(b *brokenServer) {
			features := of(ibnbd.Layout, "sess_info_rsp", "features")
			b.alterSentReplies(ibnbd.SessInfoSize, func(m []byte) {
				if nonzero(sessMarker, m) {
					features.set(m, uint64(ibnbd.AllFeatures))
				}
			})
		}),
		server("depth-one-has-a-bit", "now and then takes a bit of the offset for the chunk when its depth is 1", "IBTRS-IMM-012", func(b *brokenServer) {
			b.everySo(func(w *request) { w.imm = nowhere })
		}),
		server("queue-of-fifty", "loses its send queue after some requests when its depth is 1", "IBTRS-IO-032", func(b *brokenServer) {
			sent := 0
			b.rules().Intercept = func(_ *ibtrs.ServerPath, _ uint32, _ ibtrs.Errno, answer func()) {
				b.mu.Lock()
				sent++
				full := sent > manyRequests
				b.mu.Unlock()
				if !full {
					answer()
				}
			}
		}),
	}
}

// manyRequests are more than a bystander needs.
const manyRequests = 50

// everySo alters one request of many.
func (b *brokenServer) everySo(change func(w *request)) {
	seen := 0
	b.alterRequests(func(w *request) {
		if seen++; seen%manyRequests == 0 {
			change(w)
		}
	})
}
