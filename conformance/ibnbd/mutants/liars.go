// SPDX-License-Identifier: Apache-2.0

package mutants

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/attacks"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/loopback"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/conformance/mutant"
	"github.com/ibnbd/ibnbd/conformance/verdict/matrix"
	"github.com/ibnbd/ibnbd/reference/backend"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// liar makes a mutant of a server that keeps its keys and is broken as a whole.
func liar(name, what string, breaks []string, spoil func(b *brokenServer)) row {
	return row{mutant.Mutant{Name: name, What: what, Breaks: breaks, Kind: matrix.Liar, Trial: serverTrial{kept, spoil, nil}}}
}

// few requests are enough for a bystander to be served at first.
const few = 12

// eventually has all answers from some request on given in another way.
func (b *brokenServer) eventually(otherwise func(answer func())) {
	requests := 0
	b.rules().Intercept = func(_ *ibtrs.ServerPath, _ uint32, _ ibtrs.Errno, answer func()) {
		b.mu.Lock()
		requests++
		begun := requests > few
		b.mu.Unlock()
		if begun {
			otherwise(answer)
		} else {
			answer()
		}
	}
}

// readByOthers is the attack that has the most requests.
const readByOthers = "reads by another session of what was just acknowledged"

// liars are servers that are broken as a whole and look like servers nevertheless.
func liars() []row {
	served := []string{"IBNBD-IO-001", attacks.Survival}
	return []row{
		liar("dies-of-anything-odd", "dies of whatever no conforming client sends", []string{attacks.Survival}, func(b *brokenServer) {
			b.alterConnRequests(func(r *ibtrs.ConnRequest) {
				if r.Magic != ibtrs.Magic || r.Version != ibtrs.Version || r.CID >= r.ConnectionCount || r.Reserved != [11]byte{} {
					b.die()
				}
			})
			dies(func(w *request) bool { return !known(w) || nonzero(blockPadding, w.header) })(b)
		}),
		liar("always-succeeds", "answers every request with success", []string{
			"IBNBD-MSG-011", "IBNBD-OPEN-003", "IBNBD-OPEN-005", "IBNBD-OPEN-007", "IBNBD-IO-002", "IBNBD-IO-003", "IBNBD-IO-011",
			"IBNBD-IO-015", "IBNBD-IO-016",
		}, func(b *brokenServer) { b.editErrno(func(uint32, ibtrs.Errno) ibtrs.Errno { return 0 }) }),
		liar("falls-silent", "answers a few requests, and then nothing", served, func(b *brokenServer) { b.eventually(func(func()) {}) }).by(readByOthers),
		liar("answers-late", "answers a few requests, and then so late that nobody waits any more", served, func(b *brokenServer) {
			b.eventually(func(answer func()) { time.AfterFunc(2*mutant.ShortWait, answer) })
		}).by(readByOthers),
		liar("answers-twice", "answers some requests twice", []string{"IBTRS-IMM-003"}, func(b *brokenServer) {
			b.rules().Intercept = func(_ *ibtrs.ServerPath, chunk uint32, _ ibtrs.Errno, answer func()) {
				answer()
				if chunk == 1 { // which the bystander leaves alone
					answer()
				}
			}
		}),
		liar("loses-every-hundredth-write", "acknowledges every hundredth write without doing it", []string{"IBNBD-IO-001"},
			on(func(disk backend.Backend) backend.Backend { return &forgetfulDisk{Backend: disk} })),
		liar("reorders", "does every tenth write behind the one that follows it", []string{"IBNBD-IO-001"},
			on(func(disk backend.Backend) backend.Backend { return &disorderlyDisk{Backend: disk} })),
		liar("pretends-to-reconnect", "takes a path that comes back, and answers nothing on it", []string{"IBNBD-FAIL-014"}, func(b *brokenServer) {
			b.rules().Intercept = func(p *ibtrs.ServerPath, _ uint32, _ ibtrs.Errno, answer func()) {
				if p.Incarnation() == 1 {
					answer()
				}
			}
		}),
		losesPower("forgets-flushes", "answers a flush without flushing", "IBNBD-FAIL-018", rule(func(r *ibnbd.ServerRules) { r.IgnoreFlush = true })),
		losesPower("preflush-hides-fua", "does not see FUA beside preflush", "IBNBD-IO-009", withoutFUA(func(flags, _ uint64) bool { return flags&ibnbd.FlagPreflush != 0 })),
		losesPower("long-writes-without-fua", "does not see FUA of a write of more than 8 KiB", "IBNBD-IO-009", withoutFUA(func(_, size uint64) bool { return size > 8<<10 })),
		losesPower("flushes-one-device", "flushes the first device of a session, whichever is meant", "IBNBD-FAIL-018", misreads(func(w *request) {
			if op, io := w.op(); io && op == ibnbd.OpFlush {
				ioDevice.set(w.header, 0)
			}
		})),
		losesPower("forgets-fua", "takes a FUA write for any other", "IBNBD-IO-009", rule(func(r *ibnbd.ServerRules) { r.IgnoreFUA = true })),
		losesPower("file-mode-in-the-cache", "opens a device for block I/O that is to be opened as a file", "IBNBD-IO-030", misreads(opensBlocks)),
	}
}

// withoutFUA takes the flag from some writes.
func withoutFUA(from func(flags, size uint64) bool) func(*brokenServer) {
	return misreads(func(w *request) {
		flags := ioOpFlags.get(w.header)
		if op, io := w.op(); io && op == ibnbd.OpWrite && from(flags, ioSize.get(w.header)) {
			ioOpFlags.set(w.header, flags&^ibnbd.FlagFUA)
		}
	})
}

// crashTrial is a server on a disk with a volatile cache, which loses power.
type crashTrial struct{ spoil func(b *brokenServer) }

func losesPower(name, what, clause string, spoil func(b *brokenServer)) row {
	return row{mutant.Mutant{Name: name, What: what, Breaks: []string{clause}, Kind: matrix.Liar, Trial: crashTrial{spoil}}}
}

// specs are those of what a crash must not undo.
func (t crashTrial) Specs(clauses []string) []mutant.Spec {
	var all []mutant.Spec
	for _, d := range attacks.Durabilities() {
		if !slices.ContainsFunc(d.Clauses, func(id string) bool { return slices.Contains(clauses, id) }) {
			continue
		}
		all = append(all, mutant.Spec{
			Name: d.Name,
			Run:  func(ctx context.Context, on mutant.Subject) (mutant.Findings, error) { return t.crash(ctx, d, on) },
		})
	}
	return all
}

// crash lets a server of its own lose power.
func (t crashTrial) crash(ctx context.Context, d attacks.Durability, on mutant.Subject) (mutant.Findings, error) {
	var disks []volatileDisk // which outlive the server
	var unmade error
	l, err := loopback.Start(func(cfg *ibnbd.ServerConfig) {
		cfg.Transport.Timers.Teardown = mutant.ShortWait
		for i, e := range cfg.Exports {
			disk, err := newVolatileDisk(e.Backend)
			unmade = errors.Join(unmade, err)
			cfg.Exports[i].Backend = disk
			disks = append(disks, disk)
		}
		if on.Broken {
			t.spoil(newBrokenServer(cfg))
		}
	})
	if err = errors.Join(err, unmade); err != nil {
		return nil, fmt.Errorf("start a server: %w", err)
	}
	target := l.Target()
	target.Patience = on.Patience
	err = d.Endure(ctx, target, attacks.Crash{
		Happens: func(context.Context) error {
			return l.Restart(func() {
				for _, disk := range disks {
					disk.memory.PowerLoss()
				}
			})
		},
		Over: func(context.Context) (tester.Target, error) { return target, nil },
	})
	if closed := l.Close(); closed != nil && !on.Broken {
		err = errors.Join(err, fmt.Errorf("the server has left something behind: %w", closed))
	}
	return mutant.FindingsOf(ctx, err, on)
}
