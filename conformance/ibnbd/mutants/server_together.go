// SPDX-License-Identifier: Apache-2.0

package mutants

import (
	"encoding/binary"
	"strings"
	"sync"
	"time"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/attacks"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/loopback"
	"github.com/ibnbd/ibnbd/reference/backend"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/rdma/soft"
	"github.com/ibnbd/ibnbd/reference/roce"
)

// together are mutants that go wrong when several things happen at once, or at places of their own.
func together() []row {
	return []row{
		server("loses-updates-in-a-page", "writes a part of a page by reading and writing all of it, two at a time", "IBNBD-IO-001",
			on(func(disk backend.Backend) backend.Backend { return wholePages{disk} })).by("writes at once of neighbouring blocks"),
		server("cuts-at-four-megabytes", "stores of a write what lies in front of the next 4 MiB", "IBNBD-IO-001",
			on(func(disk backend.Backend) backend.Backend { return extents{disk} })).by("writes across every power of two of the place on a device"),
		server("writers-in-a-race", "does not see a writer that came just before", "IBNBD-OPEN-007", writersInARace).by("OPENs for writing of several sessions at once"),
		server("forgets-chunks-of-lost-paths", "answers nothing in chunks that a path of the session had in use when it was lost", "IBTRS-IMM-003", forgetsChunks).
			by("every chunk on one path after another was lost with requests in them"),
		server("keeps-keys-of-the-refused", "keeps the key of a chunk whose request names no open device", "IBTRS-INV-005", func(b *brokenServer) {
			b.rules().KeepKeyOf = func(header []byte) bool {
				m, err := ibnbd.ParseIORequest(header)
				return err == nil && m.DeviceID > 100
			}
		}).by("keys of chunks whose requests are refused"),
		server("aligns-reads", "writes the data of a read to the multiple of 512 in front of its address", "IBTRS-IO-010", misreads(func(w *request) {
			if d := w.descriptor(); d != nil {
				binary.LittleEndian.PutUint64(d, binary.LittleEndian.Uint64(d)&^511)
			}
		})).by("reads to addresses that fit no block"),
		server("capacity-of-the-first", "tells the capacity of the device that a session has opened first", "IBNBD-OPEN-001", firstCapacity).
			by("OPENs of two different devices in one session"),
		server("one-id-for-all", "tells id 0 for every device", "IBNBD-OPEN-014", says(ibnbd.OpenResponseSize, func(reply []byte) { replyDeviceID.set(reply, 0) })).
			by("writes to two devices of a session by turns"),
		server("no-slash-in-front", "finds no device by a path that begins with a slash", "IBNBD-OPEN-016", func(b *brokenServer) {
			b.answerOdd(ibtrs.ENOENT, func(w *request) bool { return w.is(ibnbd.TypeOpen) && strings.HasPrefix(w.devicePath(), "/") })
		}).by("device paths that are almost the same"),
		server("refuses-the-largest", "answers EINVAL to a write of the largest size", "IBTRS-IO-027", func(b *brokenServer) {
			b.answerOdd(ibtrs.EINVAL, func(w *request) bool {
				op, io := w.op()
				return io && op == ibnbd.OpWrite && ioSize.get(w.header) == uint64(b.Transport.Geometry.MaxIOSize)
			})
		}).by("writes and reads of sizes up to the largest between other blocks"),
		server("waits-for-the-deaf", "answers nobody while a client has no room for its answer", attacks.Survival, waitsForTheDeaf).
			by("client that has no room for answers"),
	}
}

// wholePages writes whole pages, and takes its time between reading and writing one.
type wholePages struct{ backend.Backend }

func (d wholePages) Properties() backend.Properties {
	p := d.Backend.Properties()
	p.Immediate = false
	return p
}

func (d wholePages) WriteAt(p []byte, offset int64, fua bool) error {
	const page, pause = 4096, time.Millisecond
	first := offset / page * page
	pages := make([]byte, (offset+int64(len(p))-first+page-1)/page*page)
	if err := d.Backend.ReadAt(pages, first); err != nil {
		return err
	}
	time.Sleep(pause)
	copy(pages[offset-first:], p)
	return d.Backend.WriteAt(pages, first, fua)
}

// extents stores a write up to the end of the extent that it begins in.
type extents struct{ backend.Backend }

func (d extents) WriteAt(p []byte, offset int64, fua bool) error {
	const extent = 4 << 20
	room := extent - offset%extent
	return d.Backend.WriteAt(p[:min(int64(len(p)), room)], offset, fua)
}

// writersInARace does not count a writer that comes within a moment of another.
func writersInARace(b *brokenServer) {
	const moment = 20 * time.Millisecond
	var last time.Time
	b.alterRequests(func(w *request) {
		if !w.is(ibnbd.TypeOpen) || w.devicePath() != loopback.Attacked || openAccess.get(w.header) != uint64(ibnbd.ReadWrite) {
			return
		}
		if time.Since(last) < moment {
			openAccess.set(w.header, uint64(ibnbd.ReadOnly))
		}
		last = time.Now()
	})
}

// forgetsChunks answers no request on a path of a session in a chunk that another had used when it was lost.
func forgetsChunks(b *brokenServer) {
	type chunk struct {
		session *ibtrs.ServerSession
		number  uint32
	}
	var mu sync.Mutex
	used, lost := make(map[*ibtrs.ServerPath][]uint32), make(map[chunk]bool)
	b.rules().Intercept = func(p *ibtrs.ServerPath, number uint32, _ ibtrs.Errno, answer func()) {
		mu.Lock()
		used[p] = append(used[p], number)
		forgotten := lost[chunk{p.Session(), number}]
		mu.Unlock()
		if !forgotten {
			answer()
		}
	}
	b.Transport.Transition = func(p *ibtrs.ServerPath, _, to ibtrs.PathState) {
		mu.Lock()
		defer mu.Unlock()
		if to == ibtrs.StateClosing {
			for _, number := range used[p] {
				lost[chunk{p.Session(), number}] = true
			}
		}
	}
}

// firstCapacity has the replies to a client tell the capacity of its first.
func firstCapacity(b *brokenServer) {
	capacity := of(ibnbd.Layout, "open_rsp", "capacity")
	first := make(map[uint32]uint64) // by queue pair of the client
	match := func(p *soft.Packet) bool {
		return p.OpCode() == roce.RCWriteOnly && len(p.Data()) == ibnbd.OpenResponseSize
	}
	b.alterSent(match, func(p *soft.Packet) {
		if told, known := first[p.DestQP()]; known {
			capacity.set(p.Data(), told)
		} else {
			first[p.DestQP()] = capacity.get(p.Data())
		}
	})
}

// waitsForTheDeaf answers nobody when a client has lately said that it is not ready to receive.
func waitsForTheDeaf(b *brokenServer) {
	const lately = time.Second
	var said time.Time
	b.alterReceived(func(p *soft.Packet) bool {
		return p.OpCode() == roce.RCAcknowledge && len(p.Ext()) > 0 && roce.Syndrome(p.Ext()[0]).Class() == roce.SyndromeRNRNAK
	}, func(*soft.Packet) { said = time.Now() })
	b.rules().Intercept = func(_ *ibtrs.ServerPath, _ uint32, _ ibtrs.Errno, answer func()) {
		b.mu.Lock()
		waits := time.Since(said) < lately
		b.mu.Unlock()
		if !waits {
			answer()
		}
	}
}
