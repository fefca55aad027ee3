// SPDX-License-Identifier: Apache-2.0

package audittest

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/reference/roce"
)

// Stepped sets the clock before frame k.
func (c Capture) Stepped(k int, by time.Duration) Capture {
	set := slices.Clone(c)
	for i := k; i < len(set); i++ {
		set[i].At = set[i].At.Add(by)
	}
	return set
}

// steadily judges frames that stand in one file in this order.
func (j Judge) steadily(t *testing.T, c Capture) (*audit.Report, []audit.ClockStep) {
	t.Helper()
	t.Helper()
	report := j.judgedBytes(t, classic{}.write(c))
	var steps []audit.ClockStep
	for _, clock := range report.Clocks {
		steps = append(steps, clock.Steps...)
	}
	return report, steps
}

// queueDelay and stillness are those of the source that brings frames into order.
const (
	queueDelay = 20 * time.Millisecond
	stillness  = time.Second
)

// showsStep reports whether a step before frame k can be told from one frame with a wrong time: several behind it have times
// before it, and there is no silence in front of it that may be the mistake.
func (c Capture) showsStep(k int, by time.Duration) bool {
	few, before := min(k+8, len(c)-1), max(k-2, 0)
	return c[few].At.Add(by+queueDelay).Before(c[k-1].At) && c[k-1].At.Sub(c[before].At) < stillness
}

// ClockSteps sets the clock of a capture: nobody is blamed for that, by however much and wherever.
func (j Judge) ClockSteps(t *testing.T, c Capture) {
	positions := 12
	if RaceDetector {
		positions = 3
	}
	c = c.Arrived()
	known := Failures(j.Judged(t, c))
	for i, by := range []time.Duration{
		-time.Hour, -time.Second, -25 * time.Millisecond, -2 * time.Millisecond, -time.Millisecond,
		time.Millisecond, time.Second, 3 * time.Second, 10 * time.Second, time.Hour,
	} {
		t.Run(by.String(), func(t *testing.T) {
			random := rand.New(rand.NewPCG(uint64(i), 3))
			for range positions {
				k := 1 + random.IntN(len(c)-1)
				report, steps := j.steadily(t, c.Stepped(k, by))
				for key, message := range Failures(report) {
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

// ClockStepIsTold sets the clock before frame 100: the report says so, and the times behind it go on as before.
func (j Judge) ClockStepIsTold(t *testing.T, c Capture) {
	middle := slices.IndexFunc(c, func(f audit.Frame) bool { return f.Number == 100 })
	took := c[len(c)-1].At.Sub(c[0].At)
	for _, test := range []struct {
		by   time.Duration
		says string
	}{
		{-time.Hour, "the clock of a.pcap is set back by 1h0m0s or more before frame 100"},
		{+time.Hour, "the clock of a.pcap jumps ahead by about 1h0m0"},
		{-48 * 365 * time.Hour, "before frame 100"},
	} {
		report := j.judgedBytes(t, classic{}.write(c.Stepped(middle, test.by)))
		if len(report.Clocks) != 1 {
			t.Fatalf("set by %v: clocks %v", test.by, report.Clocks)
		}
		if text := report.Clocks[0].String(); !strings.Contains(strings.Replace(text, report.Clocks[0].File, "a.pcap", 1), test.says) {
			t.Errorf("set by %v: %q, want %q", test.by, text, test.says)
		}
		if got := report.End.Sub(report.Start); (got - took).Abs() > 100*time.Millisecond {
			t.Errorf("set by %v: the capture takes %v, want %v", test.by, got, took)
		}
		if broken := Failures(report); len(broken) > 0 {
			t.Errorf("set by %v: %v", test.by, broken)
		}
	}
}

// SingleWrongTime has one frame with a wrong time: it takes none with it.
func (j Judge) SingleWrongTime(t *testing.T, c Capture) {
	want := Verdicts(j.Judged(t, c))
	for _, by := range []time.Duration{-time.Hour, -time.Second, 2 * time.Second, time.Hour} {
		wrong := slices.Clone(c)
		wrong[100].At = wrong[100].At.Add(by)
		report, steps := j.steadily(t, wrong)
		if diff := cmp.Diff(want, Verdicts(report)); diff != "" || len(steps) > 0 {
			t.Errorf("wrong by %v: steps %v, verdicts (-right +wrong):\n%s", by, steps, diff)
		}
	}
}

// QueuesOfACard has the packets of one side written late, as by a tool that writes what comes from two queues of a card: they are
// brought into order.
func (j Judge) QueuesOfACard(t *testing.T, c Capture) {
	c = c.Arrived()
	plain := j.Judged(t, c)
	want := Verdicts(plain)
	for _, late := range []time.Duration{50 * time.Microsecond, 300 * time.Microsecond, time.Millisecond} {
		var p roce.Packet
		written := make(map[audit.FrameID]time.Time)
		for _, f := range c {
			written[f.FrameID] = f.At
			if p.Decode(f.Data) == nil && strings.HasSuffix(p.Src.String(), ".1") {
				written[f.FrameID] = f.At.Add(late)
			}
		}
		turned := slices.Clone(c)
		slices.SortStableFunc(turned, func(a, b audit.Frame) int { return written[a.FrameID].Compare(written[b.FrameID]) })
		report, steps := j.steadily(t, turned)
		if diff := cmp.Diff(want, Verdicts(report)); diff != "" || len(steps) > 0 {
			t.Errorf("one queue %v late: steps %v, verdicts (-in order +turned):\n%s", late, steps, diff)
		}
		if diff := cmp.Diff(plain.Counters, report.Counters); diff != "" {
			t.Errorf("one queue %v late: counters (-in order +turned):\n%s", late, diff)
		}
	}
}

// ByClock gives each frame the time of another clock.
func (c Capture) ByClock(clock func(time.Time) time.Time) Capture {
	c = c.Clone()
	for i := range c {
		c[i].At = clock(c[i].At)
	}
	return c
}

// Ahead is a clock that is ahead by a fixed time.
func Ahead(by time.Duration) func(time.Time) time.Time {
	return func(at time.Time) time.Time { return at.Add(by) }
}

// BothEnds has the packets of a capture once more, as captured at the other end of the rail by another clock: both are one
// recording. The initiator is at an address.
func (j Judge) BothEnds(t *testing.T, c Capture, initiator string) {
	const way = 40 * time.Microsecond
	plain := j.Judged(t, c)
	for _, by := range []time.Duration{0, 2 * time.Millisecond, -2 * time.Millisecond, 700 * time.Millisecond, -time.Hour, 50 * 365 * 24 * time.Hour} {
		near, far := c.Clone(), c.Clone()
		for i := range c {
			if p := roceOf(c[i].Data); p != nil && p.Src.String() == initiator {
				far[i].At = far[i].At.Add(way)
			} else {
				near[i].At = near[i].At.Add(way)
			}
			far[i].At = far[i].At.Add(by)
		}
		report := j.JudgedFiles(t, audit.Files{Names: Files(t, near, far)})
		if diff := cmp.Diff(Verdicts(plain), Verdicts(report)); diff != "" {
			t.Errorf("%v ahead: verdicts (-one end +both):\n%s", by, diff)
		}
		got, want := report.Counters, plain.Counters
		if got.Doubles != want.RoCE || got.Retransmitted != want.Retransmitted || got.Missing+got.Late+got.Reordered != want.Missing+want.Late+want.Reordered {
			t.Errorf("%v ahead: counters %+v", by, got)
		}
		if by != 0 && (len(report.Clocks) != 1 || (report.Clocks[0].Ahead-by).Abs() > way) || by == 0 && len(report.Clocks) > 0 {
			t.Errorf("%v ahead: clocks %v", by, report.Clocks)
		}
	}
}

// FileForEachDirection has what either side sends in a file of its own, as an optical tap or tcpdump -Q gives it.
func (j Judge) FileForEachDirection(t *testing.T, c Capture) {
	want := Verdicts(j.Judged(t, c))
	for _, by := range []time.Duration{0, 2 * time.Millisecond, -2 * time.Millisecond, time.Second, -time.Hour} {
		var out, in Capture
		for _, f := range c {
			if p := roceOf(f.Data); p != nil && strings.HasSuffix(p.Src.String(), ".1") {
				in = append(in, f)
			} else {
				out = append(out, f)
			}
		}
		report := j.JudgedFiles(t, audit.Files{Names: Files(t, out, in.ByClock(Ahead(by)))})
		if diff := cmp.Diff(want, Verdicts(report)); diff != "" {
			t.Errorf("%v ahead: verdicts (-one file +two):\n%s", by, diff)
		}
		if by != 0 && (len(report.Clocks) != 1 || (report.Clocks[0].Ahead-by).Abs() > time.Millisecond) {
			t.Errorf("%v ahead: clocks %v", by, report.Clocks)
		}
	}
}
