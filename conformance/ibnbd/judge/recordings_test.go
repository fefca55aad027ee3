// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/conformance/audit/audittest"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/roce"
)

// recording is a run in the lab: what was done there, as the timeline must tell it. TestRecordings looks at the files in
// testdata; the program that makes them (see TestMakeRecordings) looks at the fresh ones in the same way.
type recording struct {
	name   string
	rails  []string
	lines  []string            // patterns of lines that follow each other
	never  []audit.Kind        // events that must not be there
	always []audit.Kind        // and that must
	config audit.Configuration // what the judge is told
	writes int                 // writes of the application: each must be answered well exactly once
	known  map[string]string   // broken clauses, and why
	passed []string            // clauses that this recording, and no other, shows to hold
}

var recordings = []recording{
	{
		name: "static-keys", rails: []string{"rail0"},
		lines: []string{
			`path 10.0.0.2 to 10.0.0.1, connection 0: connection request, 0 of 2, incarnation 1`,
			`accepted, queue depth 512, max I/O size 126976, max header size 4096, key refresh off`,
			`connection 0: INFO request, session name "static"`,
			`connection 0: INFO response, 1 chunk regions`,
			`session static, .*: OPEN "dev/lab" rw, .* status 0, device 0 of 32768 sectors`,
			`WRITE 4096 bytes at sector 0 of device 0, .* status 0`,
			`WRITE 65536 bytes at sector 128 of device 0, .* status 0`,
			`READ 4096 bytes at sector 0 of device 0, .* status 0`,
			`READ 65536 bytes at sector 128 of device 0, .* status 0`,
			`FLUSH of device 0, .* status 0`,
			`DISCARD 65536 bytes at sector 2048 of device 0, .* status 0`,
			`READ 4096 bytes at sector 4096 of device 0, .* status EIO`,
			`WRITE 4096 bytes at sector 4096 of device 0, .* status EIO`,
			`READ 4096 bytes at sector 512 of device 0, .* status 0`,
			`CLOSE device 0, .* status 0`,
			`session static, .*: session is down`,
		},
		never:  []audit.Kind{Unanswered, audit.Gap, Stray, LateInvalidation},
		passed: []string{"IBTRS-IO-014"},
		writes: 2,
	},
	{
		name: "ipv6", rails: []string{"rail0", "rail1"},
		lines: []string{
			`path fd00::2 to fd00::1, connection 0: connection request, 0 of 2, incarnation 1`,
			`session six, path fd00::2 to fd00::1: session is up`,
			`session six, path fd00:0:0:1::2 to fd00:0:0:1::1: path is connected`,
			`OPEN "dev/lab" rw, .* status 0, device 0 of 32768 sectors`,
			`WRITE 8192 bytes at sector 8 of device 0, .* status 0`,
			`READ 8192 bytes at sector 8 of device 0, .* status 0`,
			`CLOSE device 0, .* status 0`,
			`session six, .*: session is down`,
		},
		never:  []audit.Kind{Unanswered, audit.Gap, Stray},
		writes: 1,
	},
	{
		name: "failover", rails: []string{"rail0", "rail1"},
		lines: []string{
			`session over, path 10.0.0.2 to 10.0.0.1: session is up`,
			`session over, path 10.0.1.2 to 10.0.1.1: path is connected`,
			`session over, path 10.0.0.2 to 10.0.0.1, .*: WRITE 4096 bytes at sector \d+ of device 0, permit \d+, not answered before the path was lost`,
			`session over, path 10.0.0.2 to 10.0.0.1: path is lost, closed by the initiator`,
			`session over, path 10.0.1.2 to 10.0.1.1, .*: WRITE 4096 bytes at sector \d+ of device 0, permit \d+, after fail-over, .* status 0`,
			`session over, path 10.0.0.2 to 10.0.0.1, connection 0: connection request, 0 of 2, incarnation 2`,
			`session over, path 10.0.0.2 to 10.0.0.1: path is connected`,
			`session over, path 10.0.0.2 to 10.0.0.1, .*: WRITE 4096 bytes at sector (64|72|80|88) of device 0, .* status 0`,
			`session over, path 10.0.1.2 to 10.0.1.1: path is lost, closed by the initiator`,
			`session over, path 10.0.0.2 to 10.0.0.1, .*: WRITE 4096 bytes at sector (96|104) of device 0, .* status 0`,
			`session over, path 10.0.1.2 to 10.0.1.1, connection 0: connection request, 0 of 2, incarnation 1`,
			`session over, path 10.0.1.2 to 10.0.1.1: path is connected`,
			`session over, path 10.0.1.2 to 10.0.1.1, .*: WRITE 4096 bytes at sector 1\d\d of device 0, .* status 0`,
			`CLOSE device 0, .* status 0`,
			`session over, .*: session is down`,
		},
		never:  []audit.Kind{audit.Gap, Stray},
		writes: 18,
	},
	{
		name: "return", rails: []string{"rail0"},
		lines: []string{
			`session back, .*: OPEN "dev/lab" rw, .* status 0, device 0 of 32768 sectors`,
			`session back, .*: session is down`,
			`connection 0: connection request, 0 of 2, incarnation 2`,
			`session back, .*: session is up`,
			`session back, .*: OPEN "dev/lab" rw, .* status 0, device 0 of 32768 sectors`,
			`READ 4096 bytes at sector 2048 of device 0, .* status 0`,
			`CLOSE device 0, .* status 0`,
		},
		never:  []audit.Kind{audit.Gap, Stray, Unanswered},
		passed: []string{"IBNBD-FAIL-002"},
	},
	{
		name: "round-robin", rails: []string{"rail0", "rail1"},
		lines:  []string{`session turns, .*: heartbeat of the initiator`, `session turns, .*: session is down`},
		never:  []audit.Kind{audit.Gap, Stray, Unanswered},
		config: audit.Configuration{Policy: audit.RoundRobin},
		passed: []string{"IBTRS-MP-002"},
	},
	{
		name: "min-inflight", rails: []string{"rail0", "rail1"},
		lines:  []string{`session idlest, .*: session is down`},
		never:  []audit.Kind{audit.Gap, Stray, Unanswered},
		config: audit.Configuration{Policy: audit.MinInflight},
		passed: []string{"IBTRS-MP-003"},
	},
	{
		name: "losses", rails: []string{"rail0", "rail1"},
		lines: []string{
			`session lossy, path 10.0.1.2 to 10.0.1.1: path is connected`,
			`WRITE 16384 bytes at sector 0 of device 0, .* status 0`,
			`WRITE 16384 bytes at sector 160 of device 0, .* status 0`,
			`READ 16384 bytes at sector 0 of device 0, .* status 0`,
			`READ 16384 bytes at sector 160 of device 0, .* status 0`,
			`CLOSE device 0, .* status 0`,
			`session lossy, .*: path is lost, closed by the initiator`,
		},
		never:  []audit.Kind{audit.Gap, Stray, Unanswered, audit.FatalNAK},
		always: []audit.Kind{audit.Retransmission, audit.SequenceNAK},
		writes: 6,
	},
}

// files are the rails of a recording in a directory.
func (r recording) files(dir, extension string) []string {
	var paths []string
	for _, rail := range r.rails {
		paths = append(paths, filepath.Join(dir, r.name+"-"+rail+extension))
	}
	return paths
}

func TestRecordings(t *testing.T) {
	for _, r := range recordings {
		t.Run(r.name, func(t *testing.T) { r.examine(t, tests.Load(t, r.files("testdata", ".pcapng.gz")...)) })
	}
}

// examine finds in a capture what was done when it was recorded, and nothing wrong beside what is known.
func (r recording) examine(t *testing.T, c capture) {
	audittest.ExpectInOrder(t, tests.Timeline(t, c), r.lines)
	kinds := make(map[audit.Kind]int)
	written := make(map[uint64]int)
	report := tests.Run(t, c, r.config, func(event *audit.Event) {
		kinds[event.Kind]++
		e := Of(event)
		if e == nil {
			return
		}
		if q := e.Request; e.Kind == RequestAnswered && q != nil && q.HasIO && q.IO.Op() == ibnbd.OpWrite && e.Response.Errno == 0 {
			written[q.IO.Sector]++
		}
	})
	for sector, times := range written {
		if times != 1 {
			t.Errorf("the write at sector %d was answered well %d times", sector, times)
		}
	}
	if len(written) != r.writes {
		t.Errorf("%d writes were answered well, want %d", len(written), r.writes)
	}
	for _, kind := range r.never {
		if kinds[kind] > 0 {
			t.Errorf("%d events of kind %v", kinds[kind], kind)
		}
	}
	for _, kind := range r.always {
		if kinds[kind] == 0 {
			t.Errorf("no event of kind %v", kind)
		}
	}
	if n := report.Counters; n.Corrupted+n.Foreign+n.UnknownQP+n.Missing > 0 {
		t.Errorf("counters %+v", n)
	}
	broken := audittest.Failures(report)
	for key, message := range broken {
		if r.known[key] == "" {
			t.Errorf("%s is broken: %s", key, message)
		}
	}
	for key := range r.known {
		if broken[key] == "" {
			t.Errorf("%s is not broken any more", key)
		}
	}
	for _, f := range report.Findings {
		if f.Verdict == verdict.Inconclusive {
			t.Errorf("%s is inconclusive on a complete capture: %s", audittest.Key(f), f.Message)
		}
		if slices.Contains(r.passed, f.Clause.ID) && f.Verdict != verdict.Pass {
			t.Errorf("%s: verdict %s, %s", f.Clause.ID, f.Verdict, f.Message)
		}
	}
}

// TestLateCopy: what an initiator sends again while its neighbour does not answer lies in its network stack, and goes out when
// the neighbour is back: after the same request was carried by another path, whose permit is in other hands by then. The
// recording is cut: the silence, and most of what came before it.
func TestLateCopy(t *testing.T) {
	c := tests.Load(t, "testdata/late-copy-rail0.pcapng.gz", "testdata/late-copy-rail1.pcapng.gz")
	audittest.ExpectInOrder(t, tests.Timeline(t, c), []string{
		`path 10.0.1.2 to 10.0.1.1, connection 1: WRITE 4096 bytes at sector 336 of device 0, permit 0, .*answered .* status 0`,
		`path 10.0.0.2 to 10.0.0.1, connection 1: WRITE 4096 bytes at sector 336 of device 0, permit 0, not answered`,
		`path 10.0.0.2 to 10.0.0.1: path is lost, closed by the initiator`,
		`path 10.0.1.2 to 10.0.1.1, connection 1: WRITE 4096 bytes at sector 2608 of device 0, permit 0, .* status 0`,
	})
	if broken := audittest.Failures(tests.Judged(t, c)); len(broken) > 0 {
		t.Error(broken)
	}
}

// TestLateCopyMeanwhile has the copy come at other moments: before its permit is used again on the other path, while another
// request has it, and after. The disconnect request behind it stays where it was.
func TestLateCopyMeanwhile(t *testing.T) {
	c := tests.Load(t, "testdata/late-copy-rail0.pcapng.gz", "testdata/late-copy-rail1.pcapng.gz")
	ofCopy := func(f audit.Frame) bool { return f.Rail == "rail0" && (f.Number == 206 || f.Number == 207) }
	tried := 0
	for early := time.Duration(0); early < 200*time.Millisecond; early += time.Millisecond {
		moved := c.Clone()
		for i := range moved {
			if ofCopy(moved[i]) {
				moved[i].At = moved[i].At.Add(-early)
				tried++
			}
		}
		slices.SortStableFunc(moved, func(a, b audit.Frame) int { return a.At.Compare(b.At) })
		for _, f := range tests.Judged(t, moved).Findings {
			if f.Verdict == verdict.Fail || f.Verdict == verdict.Inconclusive && f.Clause.ID == "IBTRS-IO-019" {
				t.Errorf("%v earlier: %s: %s, %s", early, audittest.Key(f), f.Verdict, f.Message)
			}
		}
	}
	if tried != 2*200 {
		t.Errorf("%d frames were moved, want the two of the copy in 200 captures", tried)
	}
}

// TestBehindALoss: when a wire is whole again that was silent in one direction, what comes first is the middle of a stream: an
// acknowledgement of a heartbeat of long ago, before the heartbeat that was sent before it. The recording is cut: most of the
// silence, and of what came before it.
func TestBehindALoss(t *testing.T) {
	c := tests.Load(t, "testdata/behind-a-loss-rail0.pcapng.gz")
	audittest.ExpectInOrder(t, tests.Timeline(t, c), []string{
		`heartbeat of the initiator`, `heartbeat of the target`, `heartbeat acknowledged by the target after 10.45 s`, `heartbeat of the target, 1.9 ms after the last`,
	})
	if broken := audittest.Failures(tests.Judged(t, c)); len(broken) > 0 {
		t.Error(broken)
	}
}

// TestPowerLoss: an initiator that has lost power asks for a session of its old name while the target still has the old one.
func TestPowerLoss(t *testing.T) {
	c := tests.Load(t, "testdata/power-loss-rail0.pcapng.gz")
	audittest.ExpectInOrder(t, tests.Timeline(t, c), []string{
		`session session138, path 10.0.0.2 to 10.0.0.1: session is up`,
		`session session138, path 10.0.0.2 to 10.0.0.1, connection 0: INFO request, session name "session138"`,
	})
	if broken := audittest.Failures(tests.Judged(t, c)); len(broken) > 0 {
		t.Error(broken)
	}
}

// TestOvertaking: when both paths of a session are back at once, OPEN takes the one and SESS_INFO the other, whose wire is the
// slower: what was sent first is seen last.
func TestOvertaking(t *testing.T) {
	c := tests.Load(t, "testdata/overtaking-rail0.pcapng.gz", "testdata/overtaking-rail1.pcapng.gz")
	audittest.ExpectInOrder(t, tests.Timeline(t, c), []string{
		`session session196, path 10.0.0.2 to 10.0.0.1: session is down`,
		`path 10.0.1.2 to 10.0.1.1, connection 0: OPEN "dev/disk195" rw, permit 1`,
		`path 10.0.0.2 to 10.0.0.1, connection 0: SESS_INFO, permit 0`,
	})
	if broken := audittest.Failures(tests.Judged(t, c)); len(broken) > 0 {
		t.Error(broken)
	}
}

// TestStuckConnection: an initiator asks a connection that it has written on whether that was taken, with a write of nothing. That
// is no request, and no part of one.
func TestStuckConnection(t *testing.T) {
	c := tests.Load(t, "testdata/stuck-rail0.pcapng.gz", "testdata/stuck-rail1.pcapng.gz")
	audittest.ExpectInOrder(t, tests.Timeline(t, c), []string{
		`session session2, path 10.0.1.2 to 10.0.1.1, connection 1: stray message of the initiator: RDMA WRITE of 0 bytes`,
		`session session2, path 10.0.0.2 to 10.0.0.1: path is lost, closed by the initiator`,
	})
	if broken := audittest.Failures(tests.Judged(t, c)); len(broken) > 0 {
		t.Error(broken)
	}
}

// TestSlowTeardown: the paths of a session end one after another, and mainline's client takes its whole wait for one whose peer
// was silent at an earlier end. The heartbeats on the other path go on meanwhile.
func TestSlowTeardown(t *testing.T) {
	c := tests.Load(t, "testdata/slow-teardown-rail0.pcapng.gz", "testdata/slow-teardown-rail1.pcapng.gz")
	audittest.ExpectInOrder(t, tests.Timeline(t, c), []string{
		`path 10.0.1.2 to 10.0.1.1, connection 0: CLOSE device 0, .* status 0`,
		`path 10.0.0.2 to 10.0.0.1: path is lost, closed by the initiator`,
		`path 10.0.1.2 to 10.0.1.1, connection 0: heartbeat of the initiator`,
		`path 10.0.1.2 to 10.0.1.1, connection 0: heartbeat of the initiator`,
		`path 10.0.1.2 to 10.0.1.1, connection 0: heartbeat of the initiator`,
		`session session2, path 10.0.1.2 to 10.0.1.1: session is down`,
	})
	if broken := audittest.Failures(tests.Judged(t, c)); len(broken) > 0 {
		t.Error(broken)
	}
	// The same on a wire that loses the first path's wish to disconnect.
	closing := time.Date(2026, 11, 30, 14, 43, 53, 350e6, time.UTC)
	silent := slices.DeleteFunc(c.Clone(), func(f audit.Frame) bool { return f.Rail == "rail0" && f.At.After(closing) })
	if broken := audittest.Failures(tests.Judged(t, silent)); len(broken) > 0 {
		t.Error(broken)
	}
}

// TestFailoverBeforeDisconnect: an initiator that has given a path up may send its requests over another one before the
// disconnect of the first is on the wire. Nobody is blamed for that.
func TestFailoverBeforeDisconnect(t *testing.T) {
	c := tests.Load(t, "testdata/failover-rail0.pcapng.gz", "testdata/failover-rail1.pcapng.gz")
	e := &audittest.Finder{TB: t, Frames: c}
	first := e.Frames[e.FindCM(0, roce.AttrDREQ)].At
	for i := range e.Frames {
		p, ok := e.Packet(i)
		if ok && p.IsMAD() && p.Src.String() == client && e.Frames[i].At.Sub(first) < time.Second && !e.Frames[i].At.Before(first) {
			e.Frames[i].At = e.Frames[i].At.Add(200 * time.Millisecond)
		}
	}
	slices.SortStableFunc(e.Frames, func(a, b audit.Frame) int { return a.At.Compare(b.At) })
	for _, f := range tests.Judged(t, e.Frames).Findings {
		if f.Verdict == verdict.Fail || f.Verdict == verdict.Inconclusive {
			t.Errorf("%s: %s, %s", audittest.Key(f), f.Verdict, f.Message)
		}
	}
}
