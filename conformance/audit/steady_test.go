// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/reference/roce"
)

// stepped sets the clock before frame k.
func (c capture) stepped(k int, by time.Duration) capture {
	set := slices.Clone(c)
	for i := k; i < len(set); i++ {
		set[i].At = set[i].At.Add(by)
	}
	return set
}

// steadily judges frames that stand in one file in this order.
func steadily(t *testing.T, c capture) (*Report, []ClockStep) {
	t.Helper()
	s := newSteady(&captureSource{frames: c})
	report, err := Audit{}.Run(t.Context(), Merge(s))
	if err != nil {
		t.Fatal(err)
	}
	return report, s.Steps()
}

// showsStep reports whether a step before frame k can be told from one frame with a wrong time: several behind it have times
// before it, and there is no silence in front of it that may be the mistake.
func (c capture) showsStep(k int, by time.Duration) bool {
	few, before := min(k+8, len(c)-1), max(k-2, 0)
	return c[few].At.Add(by+queueDelay).Before(c[k-1].At) && c[k-1].At.Sub(c[before].At) < stillness
}

// TestClockSteps: nobody is blamed for a clock that is set, by however much and wherever.
func TestClockSteps(t *testing.T) {
	positions := 12
	if raceDetector {
		positions = 3
	}
	for name, load := range map[string]func(testing.TB) capture{
		"rnbd": ofCapture(rnbdCapture...), "srp": ofCapture(srpCapture...), "failover": ofRecording("failover"),
		"losses": ofRecording("losses"), "round-robin": ofRecording("round-robin"),
	} {
		if raceDetector && name != "failover" {
			continue
		}
		c := load(t)
		known := failures(judged(t, c, Configuration{}))
		for i, by := range []time.Duration{
			-time.Hour, -time.Second, -25 * time.Millisecond, -2 * time.Millisecond, -time.Millisecond,
			time.Millisecond, time.Second, 3 * time.Second, 10 * time.Second, time.Hour,
		} {
			t.Run(fmt.Sprintf("%s/%v", name, by), func(t *testing.T) {
				random := rand.New(rand.NewPCG(uint64(i), 3))
				for range positions {
					k := 1 + random.IntN(len(c)-1)
					report, steps := steadily(t, c.stepped(k, by))
					for key, message := range failures(report) {
						if known[key] == "" {
							t.Errorf("set before frame %d: %s: %s", k, key, message)
						}
					}
					if c.showsStep(k, by) && len(steps) != 1 {
						t.Errorf("set before frame %d, of %d: steps %v", k, len(c), steps)
					}
				}
			})
		}
	}
}

// TestClockStepIsTold: the report says when a clock was set, and the times behind it go on as before.
func TestClockStepIsTold(t *testing.T) {
	c := load(t, rnbdCapture[0])
	middle := slices.IndexFunc(c, func(f Frame) bool { return f.Number == 100 })
	took := c[len(c)-1].At.Sub(c[0].At)
	for _, test := range []struct {
		by   time.Duration
		says string
	}{
		{-time.Hour, "the clock of a.pcap is set back by 1h0m0s or more before frame 100"},
		{+time.Hour, "the clock of a.pcap jumps ahead by about 1h0m0"},
		{-48 * 365 * time.Hour, "before frame 100"},
	} {
		report := judgedFiles(t, classic{}.write(c.stepped(middle, test.by)))
		if len(report.Clocks) != 1 {
			t.Fatalf("set by %v: clocks %v", test.by, report.Clocks)
		}
		if text := report.Clocks[0].String(); !strings.Contains(strings.Replace(text, report.Clocks[0].File, "a.pcap", 1), test.says) {
			t.Errorf("set by %v: %q, want %q", test.by, text, test.says)
		}
		if got := report.End.Sub(report.Start); (got - took).Abs() > 100*time.Millisecond {
			t.Errorf("set by %v: the capture takes %v, want %v", test.by, got, took)
		}
		if broken := failures(report); len(broken) > 0 {
			t.Errorf("set by %v: %v", test.by, broken)
		}
	}
}

// TestSingleWrongTime: a frame whose time alone is wrong takes none with it.
func TestSingleWrongTime(t *testing.T) {
	c := load(t, rnbdCapture[0])
	want := verdicts(judged(t, c, Configuration{}))
	for _, by := range []time.Duration{-time.Hour, -time.Second, 2 * time.Second, time.Hour} {
		wrong := slices.Clone(c)
		wrong[100].At = wrong[100].At.Add(by)
		report, steps := steadily(t, wrong)
		if diff := cmp.Diff(want, verdicts(report)); diff != "" || len(steps) > 0 {
			t.Errorf("wrong by %v: steps %v, verdicts (-right +wrong):\n%s", by, steps, diff)
		}
	}
}

// TestQueuesOfACard: what a tool writes out of order because it comes from two queues of a card is brought into order.
func TestQueuesOfACard(t *testing.T) {
	for name, load := range map[string]func(testing.TB) capture{"rnbd": ofCapture(rnbdCapture...), "round-robin": ofRecording("round-robin")} {
		c := load(t)
		plain := judged(t, c, Configuration{})
		want := verdicts(plain)
		for _, late := range []time.Duration{50 * time.Microsecond, 300 * time.Microsecond, time.Millisecond} {
			var p roce.Packet
			written := make(map[FrameID]time.Time)
			for _, f := range c {
				written[f.FrameID] = f.At
				if p.Decode(f.Data) == nil && strings.HasSuffix(p.Src.String(), ".1") {
					written[f.FrameID] = f.At.Add(late)
				}
			}
			turned := slices.Clone(c)
			slices.SortStableFunc(turned, func(a, b Frame) int { return written[a.FrameID].Compare(written[b.FrameID]) })
			report, steps := steadily(t, turned)
			if diff := cmp.Diff(want, verdicts(report)); diff != "" || len(steps) > 0 {
				t.Errorf("%s, one queue %v late: steps %v, verdicts (-in order +turned):\n%s", name, late, steps, diff)
			}
			if diff := cmp.Diff(plain.Counters, report.Counters); diff != "" {
				t.Errorf("%s, one queue %v late: counters (-in order +turned):\n%s", name, late, diff)
			}
		}
	}
}

// TestLateAcknowledgement: who acknowledges a heartbeat late is blamed when the next heartbeat comes in its turn, and not when
// that comes later by as much, as behind a clock that was set.
func TestLateAcknowledgement(t *testing.T) {
	const late = 3 * time.Second
	e := search(t, rnbdCapture[0])
	beat := e.find(0, func(p *roce.Packet) bool {
		return p.BTH.OpCode == roce.RCWriteOnlyImm && p.ImmDt.Value == 0x80000000 && p.Src.String() == client
	})
	answered := beat + 1
	for p, ok := e.packet(answered); !ok || p.BTH.OpCode != roce.RCWriteOnlyImm || p.Src.String() != server; p, ok = e.packet(answered) {
		answered++
	}
	delayed := e.frames.clone()
	for i := answered; i <= answered+1; i++ { // and what acknowledges it in turn
		delayed[i].At = delayed[i].At.Add(late)
	}
	slices.SortStableFunc(delayed, func(a, b Frame) int { return a.At.Compare(b.At) })
	if broken := failures(judged(t, delayed, Configuration{})); broken["IBTRS-HB-002 target"] == "" {
		t.Errorf("nobody is blamed for an acknowledgement %v late: %v", late, broken)
	}
	for _, f := range judged(t, e.frames.stepped(answered, late), Configuration{}).Findings {
		if f.Verdict == verdict.Fail {
			t.Errorf("clock set by %v: %s: %s", late, f.key(), f.Message)
		}
	}
}
