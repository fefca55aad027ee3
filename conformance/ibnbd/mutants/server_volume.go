// SPDX-License-Identifier: Apache-2.0

package mutants

import (
	"time"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/attacks"
	"github.com/ibnbd/ibnbd/reference/backend"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// late makes a server whose disk takes its time.
func late(latency time.Duration, spoil func(*brokenServer)) func(*brokenServer) {
	return func(b *brokenServer) {
		spoil(b)
		on(func(disk backend.Backend) backend.Backend { return slowDisk{disk, latency} })(b)
	}
}

// volume are mutants that move the wrong bytes, or none, by sizes and places that are not the usual ones.
func volume() []row {
	return []row{
		server("stale-key-after-long-writes", "tells the old key after a write of more than 64 KiB", "IBTRS-INV-004",
			func(b *brokenServer) { b.rules().StaleLongKey = true }),
		server("short-reads", "fills the first 64 KiB of a longer read, and sends what lies behind", "IBTRS-IO-010",
			rule(func(r *ibnbd.ServerRules) { r.ShortReads = true })),
		server("discards-outwards", "discards every unit that the range touches", "IBNBD-IO-006",
			rule(func(r *ibnbd.ServerRules) { r.DiscardOutwards = true })),
		server("dies-of-an-empty-read", "dies of a read of no bytes", attacks.Survival, dies(func(w *request) bool {
			op, io := w.op()
			return io && op == ibnbd.OpRead && ioSize.get(w.header) == 0
		})).by("reads of no bytes"),
		server("writes-to-the-first-device", "writes to the first device of a session, whichever is meant", "IBNBD-IO-001",
			rule(func(r *ibnbd.ServerRules) { r.FirstDeviceWrites = true })),
		server("acknowledges-long-writes-early", "answers a write of more than 32 KiB before the disk has done it", "IBTRS-IO-031",
			late(100*time.Millisecond, rule(func(r *ibnbd.ServerRules) { r.EarlyLongWrites = true }))),
		server("names-without-case", "takes session names that differ in case for the same", "IBTRS-INFO-027",
			func(b *brokenServer) { b.rules().FoldNames = true }),
		server("drops-empty-writes", "does not answer an operation on no bytes", "IBNBD-IO-024", dropsEmpty),
	}
}

// dropsEmpty answers no operation on no bytes, but for flushes.
func dropsEmpty(b *brokenServer) {
	empty := make(map[uint32]bool) // by chunk
	b.alterRequests(func(w *request) {
		op, io := w.op()
		empty[w.chunk(b)] = io && op != ibnbd.OpFlush && ioSize.get(w.header) == 0
	})
	b.rules().Intercept = func(_ *ibtrs.ServerPath, chunk uint32, _ ibtrs.Errno, answer func()) {
		b.mu.Lock()
		dropped := empty[chunk]
		b.mu.Unlock()
		if !dropped {
			answer()
		}
	}
}
