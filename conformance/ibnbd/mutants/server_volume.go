// SPDX-License-Identifier: Apache-2.0

package mutants

import (
	"bytes"
	"encoding/binary"
	"strings"
	"sync"
	"time"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/attacks"
	"github.com/ibnbd/ibnbd/reference/backend"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/rdma"
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
		server("stale-keys-of-high-chunks", "tells a key that does not work for every chunk behind the eighth", "IBTRS-INV-004", staleHighKeys),
		server("short-writes", "stores the first 64 KiB of a longer write", "IBNBD-IO-001",
			on(func(disk backend.Backend) backend.Backend { return shortDisk{disk} })),
		server("zeroes-inwards", "zeroes whole pages, and leaves the ends of a range", "IBNBD-IO-007",
			on(func(disk backend.Backend) backend.Backend { return pageDisk{disk} })),
		server("dies-of-an-empty-discard", "dies of a discard of no bytes", attacks.Survival, dies(func(w *request) bool {
			op, io := w.op()
			return io && op == ibnbd.OpDiscard && ioSize.get(w.header) == 0
		})).by("operations other than reads on no bytes"),
		server("reads-from-the-first-device", "reads from the device with id 0, whichever is meant", "IBNBD-IO-001", misreads(func(w *request) {
			if op, io := w.op(); io && op == ibnbd.OpRead {
				ioDevice.set(w.header, 0)
			}
		})),
		server("postpones-odd-writes", "does a write that begins within a page later than it says", "IBTRS-IO-031",
			on(func(disk backend.Backend) backend.Backend { return &tardyDisk{Backend: disk} })),
		server("names-of-twenty", "compares the first twenty characters of session names", "IBTRS-INFO-027", func(b *brokenServer) {
			b.alterInfoRequests(func(m []byte) { clear(m[atName+20:]) })
		}),
		server("first-request-makes-a-session", "makes a new session when a further path says that it may", "IBTRS-CONN-028", furtherPaths(func(r *ibtrs.ConnRequest) {
			if r.FirstConnection != 0 {
				r.GroupUUID = r.PathUUID
			}
		})),
		server("one-path-to-an-address", "rejects a second path of a session", "IBTRS-CONN-053", furtherPaths(func(r *ibtrs.ConnRequest) { r.Magic = 0 })),
		server("counts-writers-by-name", "does not count a writer under another name of a device", "IBNBD-OPEN-024", misreads(func(w *request) {
			if w.is(ibnbd.TypeOpen) && strings.HasPrefix(w.devicePath(), "//") {
				openAccess.set(w.header, uint64(ibnbd.ReadOnly))
			}
		})),
		server("a-reader-frees-the-writer", "takes a writer back when a reader closes the device", "IBNBD-OPEN-007",
			rule(func(r *ibnbd.ServerRules) { r.ReaderFreesWriter = true })).by(inSequences),
		server("forgets-by-sess-info", "closes what a session has open when SESS_INFO comes again", "IBNBD-IO-001",
			rule(func(r *ibnbd.ServerRules) { r.InfoForgets = true })).by(inSequences),
		server("ends-with-the-first-path", "closes what a session has open when the first of its paths goes", "IBNBD-OPEN-013",
			func(b *brokenServer) { b.rules().FirstPathEnds = true }).by(inSequences),
		server("zeroes-a-megabyte", "zeroes the first MiB of a longer range", "IBNBD-IO-007",
			on(func(disk backend.Backend) backend.Backend { return megabyteDisk{disk} })),
		server("two-flags-go-astray", "does a write with both preflush and sync elsewhere", "IBNBD-IO-001", forgetsFlagged),
		server("zeroes-nothing-with-fua", "answers write-zeroes with FUA, and zeroes nothing", "IBNBD-IO-007", misreads(func(w *request) {
			if op, io := w.op(); io && op == ibnbd.OpWriteZeroes && ioOpFlags.get(w.header)&ibnbd.FlagFUA != 0 {
				ioSize.set(w.header, 0)
			}
		})),
		server("keeps-the-last-key", "never takes back the key of the last chunk", "IBTRS-INV-005",
			func(b *brokenServer) { b.rules().LastKeyStays = true }),
		server("devices-without-case", "finds devices by their names in capitals, too", "IBNBD-OPEN-003", misreads(func(w *request) {
			if w.is(ibnbd.TypeOpen) {
				copy(w.header[openDevicePath.Offset:openDevicePath.End()], bytes.ToLower(w.header[openDevicePath.Offset:openDevicePath.End()]))
			}
		})),
		server("claims-outlive-sessions", "does not take a writer back when its session ends", attacks.Survival,
			rule(func(r *ibnbd.ServerRules) { r.EndKeepsWriter = true })).by("one chunk used again and again"),
		server("refusals-keep-claims", "does not take a writer back of which it has refused an I/O", attacks.Survival,
			rule(func(r *ibnbd.ServerRules) { r.RefusalKeepsWriter = true })).by("I/O beyond the end of a device"),
		server("drops-empty-writes", "does not answer an operation on no bytes", "IBNBD-IO-024", dropsEmpty),
	}
}

// inSequences is the attack that finds what takes several steps.
const inSequences = attacks.RandomSequences

// megabyteDisk zeroes so much at most.
type megabyteDisk struct{ backend.Backend }

func (d megabyteDisk) WriteZeroes(offset, length int64, keep bool) error {
	return d.Backend.WriteZeroes(offset, min(length, 1<<20), keep)
}

// forgetsFlagged does a write with two flags where nobody looks.
func forgetsFlagged(b *brokenServer) {
	const both, far = ibnbd.FlagPreflush | ibnbd.FlagSync, 15 << 20 / ibnbd.SectorSize
	b.alterRequests(func(w *request) {
		if op, io := w.op(); io && op == ibnbd.OpWrite && ioOpFlags.get(w.header)&both == both {
			ioSector.set(w.header, far)
		}
	})
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

// staleHighKeys tells keys that do not work.
func staleHighKeys(b *brokenServer) {
	const good = 8 // chunks
	b.edit(func(chunk uint32, work *rdma.SendWR) {
		if chunk >= good && len(work.Local) > 0 {
			at := work.Local[0]
			key := at.Region.Bytes()[at.Offset+4:]
			binary.LittleEndian.PutUint32(key, binary.LittleEndian.Uint32(key)^0x40000000)
		}
	})
}

// furtherPaths alters the connection requests of all paths of a session but the first.
func furtherPaths(change func(r *ibtrs.ConnRequest)) func(*brokenServer) {
	return func(b *brokenServer) {
		first := make(map[ibtrs.UUID]ibtrs.UUID) // path by group
		b.alterConnRequests(func(r *ibtrs.ConnRequest) {
			if path, known := first[r.GroupUUID]; !known {
				first[r.GroupUUID] = r.PathUUID
			} else if path != r.PathUUID {
				change(r)
			}
		})
	}
}

// shortDisk stores the begin of long writes.
type shortDisk struct{ backend.Backend }

func (d shortDisk) WriteAt(p []byte, offset int64, fua bool) error {
	return d.Backend.WriteAt(p[:min(len(p), 64<<10)], offset, fua)
}

// pageDisk zeroes whole pages alone.
type pageDisk struct{ backend.Backend }

func (d pageDisk) WriteZeroes(offset, length int64, keep bool) error {
	const page = 4096
	first, end := (offset+page-1)/page*page, (offset+length)/page*page
	if first >= end {
		return nil
	}
	return d.Backend.WriteZeroes(first, end-first, keep)
}

// tardyDisk does writes that begin within a page a while after it has said so, unless it is closed before.
type tardyDisk struct {
	backend.Backend

	mu     sync.Mutex
	closed bool
}

func (d *tardyDisk) WriteAt(p []byte, offset int64, fua bool) error {
	const page, pause = 4096, 200 * time.Millisecond
	if offset%page == 0 {
		return d.Backend.WriteAt(p, offset, fua)
	}
	data := bytes.Clone(p)
	time.AfterFunc(pause, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if !d.closed {
			_ = d.Backend.WriteAt(data, offset, fua) // a mutant tells nobody
		}
	})
	return nil
}

func (d *tardyDisk) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	return d.Backend.Close()
}
