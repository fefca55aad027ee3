// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// rails loads the rails of a recording, each by itself, without what did not arrive.
func rails(t *testing.T, files ...string) []capture {
	t.Helper()
	var list []capture
	for _, file := range files {
		var arrived capture
		for _, f := range loadFiles(t, file) {
			if !f.Lost {
				arrived = append(arrived, f)
			}
		}
		list = append(list, arrived)
	}
	return list
}

func recorded(t *testing.T, name string) []capture {
	t.Helper()
	return rails(t, "testdata/"+name+"-rail0.pcapng.gz", "testdata/"+name+"-rail1.pcapng.gz")
}

// byClock gives each frame the time of another clock.
func (c capture) byClock(clock func(time.Time) time.Time) capture {
	c = c.clone()
	for i := range c {
		c[i].At = clock(c[i].At)
	}
	return c
}

// ahead is a clock that is ahead by a fixed time.
func ahead(by time.Duration) func(time.Time) time.Time {
	return func(at time.Time) time.Time { return at.Add(by) }
}

// written writes captures to files.
func writtenTo(t *testing.T, captures ...capture) []string {
	t.Helper()
	dir := t.TempDir()
	var names []string
	for i, c := range captures {
		name := filepath.Join(dir, fmt.Sprintf("rail%d.pcap", i))
		if err := os.WriteFile(name, classic{}.write(c), 0o644); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	return names
}

func (f Files) judged(t *testing.T) *Report {
	t.Helper()
	source, err := f.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	report, err := Audit{}.Run(t.Context(), source)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// TestClocksApart: nobody is blamed for what came first by two clocks, however far they are apart, whether one runs faster than the
// other, or is set meanwhile.
func TestClocksApart(t *testing.T) {
	clocks := make(map[string]func(time.Time) time.Time)
	for _, by := range []time.Duration{
		50 * time.Microsecond, time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond, 20 * time.Millisecond, 100 * time.Millisecond,
		time.Second, 10 * time.Second, time.Hour, 50 * 365 * 24 * time.Hour,
	} {
		clocks[by.String()+" ahead"], clocks[by.String()+" behind"] = ahead(by), ahead(-by)
	}
	names := []string{"failover", "ipv6", "late-copy", "losses", "min-inflight", "overtaking", "round-robin", "stuck"}
	if raceDetector {
		names = names[:2]
	}
	for _, name := range names {
		both := recorded(t, name)
		begin, middle := both[1][0].At, both[1][len(both[1])/2].At
		for _, ppm := range []time.Duration{50, 500} {
			clocks[fmt.Sprintf("%d ppm fast", ppm)] = func(at time.Time) time.Time { return at.Add(at.Sub(begin) * ppm / 1e6) }
			clocks[fmt.Sprintf("%d ppm slow", ppm)] = func(at time.Time) time.Time { return at.Add(-at.Sub(begin) * ppm / 1e6) }
		}
		for _, by := range []time.Duration{time.Millisecond, 10 * time.Millisecond, time.Second, time.Hour} {
			clocks[fmt.Sprintf("set forwards by %v", by)] = func(at time.Time) time.Time {
				if at.Before(middle) {
					return at
				}
				return at.Add(by)
			}
			clocks[fmt.Sprintf("set backwards by %v", by)] = func(at time.Time) time.Time {
				if at.Before(middle) {
					return at
				}
				return at.Add(-by)
			}
		}
		for clock, tells := range clocks {
			t.Run(name+"/"+clock, func(t *testing.T) {
				report := Files{Names: writtenTo(t, both[0], both[1].byClock(tells))}.judged(t)
				for key, message := range failures(report) {
					t.Errorf("%s: %s", key, message)
				}
			})
		}
	}
}

// TestSkewIsTaken: where permits go from rail to rail all the time, the skew of two clocks is found out, told and taken out, so that
// the verdicts are those of one clock.
func TestSkewIsTaken(t *testing.T) {
	both := recorded(t, "round-robin")
	want := verdicts(Files{Names: writtenTo(t, both...), OneClock: true}.judged(t))
	for _, by := range []time.Duration{2 * time.Millisecond, -5 * time.Millisecond, time.Second, -time.Hour, 50 * 365 * 24 * time.Hour} {
		names := writtenTo(t, both[0], both[1].byClock(ahead(by)))
		report := Files{Names: names}.judged(t)
		if diff := cmp.Diff(want, verdicts(report)); diff != "" {
			t.Errorf("%v ahead: verdicts (-one clock +two):\n%s", by, diff)
		}
		if len(report.Clocks) != 1 || (report.Clocks[0].Ahead-by).Abs() > 2*time.Millisecond || report.Clocks[0].File != names[1] {
			t.Errorf("%v ahead: clocks %v", by, report.Clocks)
			continue
		}
		if text, way := report.Clocks[0].String(), map[bool]string{true: "ahead of", false: "behind"}[by > 0]; !strings.Contains(text, way+" that of "+names[0]) {
			t.Errorf("%v ahead: %q", by, text)
		}
	}
}

// TestOneClock: who knows that the clocks are one has what came first judged; nothing is said of clocks that agree.
func TestOneClock(t *testing.T) {
	both := recorded(t, "round-robin")
	if report := (Files{Names: writtenTo(t, both...)}).judged(t); len(report.Clocks) > 0 {
		t.Errorf("clocks %v of one clock", report.Clocks)
	}
	names := writtenTo(t, both[0], both[1].byClock(ahead(2*time.Millisecond)))
	if broken := failures(Files{Names: names, OneClock: true}.judged(t)); broken["IBTRS-IO-019"] == "" {
		t.Errorf("permits are used on two paths at once, and nobody is blamed: %v", broken)
	}
}

// TestUndecidedOrder: what no skew explains is neither broken nor kept, and the reason is told.
func TestUndecidedOrder(t *testing.T) {
	both := recorded(t, "round-robin")
	middle := both[1][len(both[1])/2].At
	set := both[1].byClock(func(at time.Time) time.Time {
		if at.Before(middle) {
			return at
		}
		return at.Add(10 * time.Millisecond)
	})
	for _, f := range (Files{Names: writtenTo(t, both[0], set)}).judged(t).Findings {
		if f.Clause.ID != "IBTRS-IO-019" {
			continue
		}
		if f.Verdict != verdict.Inconclusive || f.Reason != verdict.ClocksApart || !strings.Contains(f.Message, "different clocks: session turns") || len(f.Frames) == 0 {
			t.Errorf("%s: %s, %s: %s %v", f.key(), f.Verdict, f.Reason, f.Message, f.Frames)
		}
	}
}

// TestBothEnds: the same packets captured at both ends of a rail, by two clocks, are one recording.
func TestBothEnds(t *testing.T) {
	const way = 40 * time.Microsecond
	for name, load := range map[string]func(testing.TB) capture{"rnbd": ofCapture(rnbdCapture[0]), "srp": ofCapture(srpCapture...)} {
		c := load(t)
		plain := judged(t, c, Configuration{})
		for _, by := range []time.Duration{0, 2 * time.Millisecond, -2 * time.Millisecond, 700 * time.Millisecond, -time.Hour, 50 * 365 * 24 * time.Hour} {
			near, far := c.clone(), c.clone()
			for i := range c {
				if p := roceOf(c[i].Data); p != nil && p.Src.String() == client {
					far[i].At = far[i].At.Add(way)
				} else {
					near[i].At = near[i].At.Add(way)
				}
				far[i].At = far[i].At.Add(by)
			}
			report := Files{Names: writtenTo(t, near, far)}.judged(t)
			if diff := cmp.Diff(verdicts(plain), verdicts(report)); diff != "" {
				t.Errorf("%s, %v ahead: verdicts (-one end +both):\n%s", name, by, diff)
			}
			got, want := report.Counters, plain.Counters
			if got.Doubles != want.RoCE || got.Retransmitted != want.Retransmitted || got.Missing+got.Late+got.Reordered != want.Missing+want.Late+want.Reordered {
				t.Errorf("%s, %v ahead: counters %+v", name, by, got)
			}
			if by != 0 && (len(report.Clocks) != 1 || (report.Clocks[0].Ahead-by).Abs() > way) || by == 0 && len(report.Clocks) > 0 {
				t.Errorf("%s, %v ahead: clocks %v", name, by, report.Clocks)
			}
		}
	}
}

// TestFileForEachDirection: what either side sends is in a file of its own, as an optical tap or tcpdump -Q gives it.
func TestFileForEachDirection(t *testing.T) {
	for name, load := range map[string]func(testing.TB) capture{"rnbd": ofCapture(rnbdCapture[0]), "round-robin": ofRecording("round-robin")} {
		c := load(t)
		want := verdicts(judged(t, c, Configuration{}))
		for _, by := range []time.Duration{0, 2 * time.Millisecond, -2 * time.Millisecond, time.Second, -time.Hour} {
			var out, in capture
			for _, f := range c {
				if p := roceOf(f.Data); p != nil && strings.HasSuffix(p.Src.String(), ".1") {
					in = append(in, f)
				} else {
					out = append(out, f)
				}
			}
			report := Files{Names: writtenTo(t, out, in.byClock(ahead(by)))}.judged(t)
			if diff := cmp.Diff(want, verdicts(report)); diff != "" {
				t.Errorf("%s, %v ahead: verdicts (-one file +two):\n%s", name, by, diff)
			}
			if by != 0 && (len(report.Clocks) != 1 || (report.Clocks[0].Ahead-by).Abs() > time.Millisecond) {
				t.Errorf("%s, %v ahead: clocks %v", name, by, report.Clocks)
			}
		}
	}
}

// TestThreeClocks: files are compared in a chain, when the first and the last have nothing in common.
func TestThreeClocks(t *testing.T) {
	both := recorded(t, "round-robin")
	third := both[1].byClock(ahead(-3 * time.Second))
	names := writtenTo(t, both[0], third, both[1].byClock(ahead(time.Second)))
	clocks := Files{Names: names}.judged(t).Clocks
	if len(clocks) != 2 || (clocks[0].Ahead+3*time.Second).Abs() > 2*time.Millisecond || (clocks[1].Ahead-time.Second).Abs() > 2*time.Millisecond {
		t.Errorf("clocks %v", clocks)
	}
}
