// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/conformance/audit/audittest"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/roce"
)

// baseCase is one of the re-encoded captures that this project did not write.
const baseCase = "../../audit/testdata/cases/base.pcap.gz"

func TestEncodings(t *testing.T) { tests.Encodings(t, tests.Load(t, baseCase), 82) }

// completeCaptures are captures and recordings that are complete.
func completeCaptures() map[string]func(testing.TB) capture {
	all := map[string]func(testing.TB) capture{
		"rnbd":  func(tb testing.TB) capture { return load(tb, rnbdCapture...) },
		"rail0": func(tb testing.TB) capture { return load(tb, rnbdCapture[0]) },
	}
	for _, r := range recordings {
		all[r.name] = func(tb testing.TB) capture { return loadRecording(tb, r.name) }
	}
	return all
}

// onEach runs a test over some of the whole captures; under the race detector over the first only.
func onEach(t *testing.T, test func(*testing.T, capture), names ...string) {
	for i, name := range names {
		if audittest.RaceDetector && i > 0 {
			return
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, completeCaptures()[name](t))
		})
	}
}

func TestDamageNeverBlames(t *testing.T) {
	names := []string{"rnbd"}
	for _, r := range recordings {
		names = append(names, r.name)
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) { tests.Damage(t, completeCaptures()[name](t)) })
	}
}

func TestDoubled(t *testing.T) { onEach(t, tests.Doubled, "static-keys", "losses", "rail0") }

func TestClockSteps(t *testing.T) {
	onEach(t, tests.ClockSteps, "failover", "rnbd", "losses", "round-robin")
}

func TestClockStepIsTold(t *testing.T) { tests.ClockStepIsTold(t, load(t, rnbdCapture[0])) }

func TestSingleWrongTime(t *testing.T) { tests.SingleWrongTime(t, load(t, rnbdCapture[0])) }

func TestQueuesOfACard(t *testing.T) { onEach(t, tests.QueuesOfACard, "rnbd", "round-robin") }

func TestBothEnds(t *testing.T) { tests.BothEnds(t, load(t, rnbdCapture[0]), client) }

func TestFileForEachDirection(t *testing.T) {
	onEach(t, tests.FileForEachDirection, "rail0", "round-robin")
}

// ofTime are the clauses that the first rail of the capture of RNBD shows to hold by how much time passed.
var ofTime = []string{"IBTRS-HB-001 initiator", "IBTRS-HB-001 target", "IBTRS-HB-002 initiator", "IBTRS-HB-002 target"}

func TestUntimed(t *testing.T) { tests.Untimed(t, load(t, rnbdCapture[0]), ofTime...) }

func TestUntimedTimeline(t *testing.T) { tests.UntimedTimeline(t, load(t, rnbdCapture[0])) }

func TestPartlyUntimed(t *testing.T) { tests.PartlyUntimed(t, load(t, rnbdCapture[0]), ofTime...) }

func FuzzTracker(f *testing.F) { tests.FuzzTracker(f, load(f, rnbdCapture...)) }

// TestDamageInventsNothing: what is told of a damaged capture was also in the whole one, with the same frames.
func TestDamageInventsNothing(t *testing.T) {
	whole := load(t, rnbdCapture...)
	told := make(map[string]bool)
	answered := func(note func(q *Request)) func(*audit.Event) {
		return func(e *audit.Event) {
			if e.Kind == RequestAnswered && Of(e).Request != nil {
				note(Of(e).Request)
			}
		}
	}
	tests.Run(t, whole, audit.Configuration{}, answered(func(q *Request) { told[q.text()+q.Frames[0].String()] = true }))
	for round, c := range audittest.Losses(whole) {
		tests.Run(t, c, audit.Configuration{}, answered(func(q *Request) {
			if q.Parsed && !q.Incomplete && q.ChunkKnown && !told[q.text()+q.Frames[0].String()] {
				t.Errorf("seed %d: %s was not in the whole capture", round, q.text())
			}
		}))
	}
}

// TestLateAcknowledgement: who acknowledges a heartbeat late is blamed when the next heartbeat comes in its turn, and not when
// that comes later by as much, as behind a clock that was set.
func TestLateAcknowledgement(t *testing.T) {
	const late = 3 * time.Second
	e := search(t, rnbdCapture[0])
	beat := e.Find(0, func(p *roce.Packet) bool {
		return p.BTH.OpCode == roce.RCWriteOnlyImm && p.ImmDt.Value == 0x80000000 && p.Src.String() == client
	})
	answered := beat + 1
	for p, ok := e.Packet(answered); !ok || p.BTH.OpCode != roce.RCWriteOnlyImm || p.Src.String() != server; p, ok = e.Packet(answered) {
		answered++
	}
	delayed := e.Frames.Clone()
	for i := answered; i <= answered+1; i++ { // and what acknowledges it in turn
		delayed[i].At = delayed[i].At.Add(late)
	}
	slices.SortStableFunc(delayed, func(a, b audit.Frame) int { return a.At.Compare(b.At) })
	if broken := audittest.Failures(tests.Judged(t, delayed)); broken["IBTRS-HB-002 target"] == "" {
		t.Errorf("nobody is blamed for an acknowledgement %v late: %v", late, broken)
	}
	for _, f := range tests.Judged(t, e.Frames.Stepped(answered, late)).Findings {
		if f.Verdict == verdict.Fail {
			t.Errorf("clock set by %v: %s: %s", late, audittest.Key(f), f.Message)
		}
	}
}

// TestSnapLength: frames cut behind their headers are tracked, and what they do not show is not invented.
func TestSnapLength(t *testing.T) {
	c := load(t, rnbdCapture...).Clone()
	for i := range c {
		c[i].Data = c[i].Data[:min(len(c[i].Data), 80)]
	}
	report := tests.Judged(t, c)
	if report.Counters.Cut == 0 {
		t.Errorf("counters %+v", report.Counters)
	}
	if broken := audittest.Failures(report); len(broken) > 0 {
		t.Errorf("broken: %v", broken)
	}
}

// watched is the protocol, and keeps what follows it.
func watched(f **follower) *audit.Protocol {
	p := *Protocol
	p.Follow = func(t *audit.Tracker) audit.Follower {
		*f = newFollower(t, &p, []uint16{ibtrs.DefaultPort})
		return *f
	}
	return &p
}

// TestHalfOpenFlood: a million connections that are never finished take no more memory than a few thousand, and drive no
// established one out.
func TestHalfOpenFlood(t *testing.T) {
	e := search(t, rnbdCapture...)
	var sessions *follower
	tracker := audit.NewTracker(audit.Options{Protocols: []*audit.Protocol{watched(&sessions)}, SkipICRC: true, MaxHalfOpen: 64, MaxSessions: 64})
	request := e.Frames[e.FindCM(0, 0x10)]
	answered := 0
	tracker.Observe(func(e *audit.Event) {
		if e.Kind == RequestAnswered && Of(e).Request != nil {
			answered++
		}
	})
	half := len(e.Frames) / 2
	for _, f := range e.Frames[:half] {
		tracker.Add(f)
	}
	p, _ := e.Packet(e.FindCM(0, 0x10))
	data, mad := request.Data, p.PayloadOffset
	flood := uint32(1_000_000)
	if audittest.RaceDetector {
		flood /= 10
	}
	for i := range flood {
		binary.BigEndian.PutUint32(data[mad+24:], 1<<31+i)
		binary.BigEndian.PutUint32(data[mad+24+32:], i<<8)
		binary.BigEndian.PutUint32(data[mad+reqPrivate+12:], i)
		binary.BigEndian.PutUint32(data[mad+reqPrivate+28:], i)
		tracker.Add(request)
	}
	if n := tracker.Held(); n.HalfOpen > 64 || n.Flows > 300 || n.IDs > 300 {
		t.Errorf("the tracker keeps %+v", n)
	}
	if len(sessions.sessions) > 64 || len(sessions.groups) > 300 {
		t.Errorf("%d sessions and %d paths are kept", len(sessions.sessions), len(sessions.groups))
	}
	before := answered
	for _, f := range e.Frames[half:] {
		tracker.Add(f)
	}
	if answered-before < 20 || tracker.Counters().ForgottenHalf < uint64(flood)-1000 {
		t.Errorf("%d answers after the flood, counters %+v", answered-before, tracker.Counters())
	}
}
