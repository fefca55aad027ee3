// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/conformance/audit/audittest"
	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// recorded loads the two rails of a recording, each by itself, without what did not arrive.
func recorded(t *testing.T, name string) []capture {
	t.Helper()
	var rails []capture
	for _, rail := range []string{"rail0", "rail1"} {
		rails = append(rails, tests.Load(t, "testdata/"+name+"-"+rail+".pcapng.gz").Arrived())
	}
	return rails
}

// TestClocksApart: nobody is blamed for what came first by two clocks, however far they are apart, whether one runs faster than the
// other, or is set meanwhile.
func TestClocksApart(t *testing.T) {
	clocks := make(map[string]func(time.Time) time.Time)
	for _, by := range []time.Duration{
		50 * time.Microsecond, time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond, 20 * time.Millisecond, 100 * time.Millisecond,
		time.Second, 10 * time.Second, time.Hour, 50 * 365 * 24 * time.Hour,
	} {
		clocks[by.String()+" ahead"], clocks[by.String()+" behind"] = audittest.Ahead(by), audittest.Ahead(-by)
	}
	names := []string{"failover", "ipv6", "late-copy", "losses", "min-inflight", "overtaking", "round-robin", "stuck"}
	if audittest.RaceDetector {
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
				report := tests.JudgedFiles(t, audit.Files{Names: audittest.Files(t, both[0], both[1].ByClock(tells))})
				for key, message := range audittest.Failures(report) {
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
	want := audittest.Verdicts(tests.JudgedFiles(t, audit.Files{Names: audittest.Files(t, both...), OneClock: true}))
	for _, by := range []time.Duration{2 * time.Millisecond, -5 * time.Millisecond, time.Second, -time.Hour, 50 * 365 * 24 * time.Hour} {
		names := audittest.Files(t, both[0], both[1].ByClock(audittest.Ahead(by)))
		report := tests.JudgedFiles(t, audit.Files{Names: names})
		if diff := cmp.Diff(want, audittest.Verdicts(report)); diff != "" {
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
	if report := tests.JudgedFiles(t, audit.Files{Names: audittest.Files(t, both...)}); len(report.Clocks) > 0 {
		t.Errorf("clocks %v of one clock", report.Clocks)
	}
	names := audittest.Files(t, both[0], both[1].ByClock(audittest.Ahead(2*time.Millisecond)))
	if broken := audittest.Failures(tests.JudgedFiles(t, audit.Files{Names: names, OneClock: true})); broken["IBTRS-IO-019"] == "" {
		t.Errorf("permits are used on two paths at once, and nobody is blamed: %v", broken)
	}
}

// TestUndecidedOrder: what no skew explains is neither broken nor kept, and the reason is told.
func TestUndecidedOrder(t *testing.T) {
	both := recorded(t, "round-robin")
	middle := both[1][len(both[1])/2].At
	set := both[1].ByClock(func(at time.Time) time.Time {
		if at.Before(middle) {
			return at
		}
		return at.Add(10 * time.Millisecond)
	})
	for _, f := range tests.JudgedFiles(t, audit.Files{Names: audittest.Files(t, both[0], set)}).Findings {
		if f.Clause.ID != "IBTRS-IO-019" {
			continue
		}
		if f.Verdict != verdict.Inconclusive || f.Reason != verdict.ClocksApart || !strings.Contains(f.Message, "different clocks: session turns") || len(f.Frames) == 0 {
			t.Errorf("%s: %s, %s: %s %v", audittest.Key(f), f.Verdict, f.Reason, f.Message, f.Frames)
		}
	}
}

// TestThreeClocks: files are compared in a chain, when the first and the last have nothing in common.
func TestThreeClocks(t *testing.T) {
	both := recorded(t, "round-robin")
	third := both[1].ByClock(audittest.Ahead(-3 * time.Second))
	names := audittest.Files(t, both[0], third, both[1].ByClock(audittest.Ahead(time.Second)))
	clocks := tests.JudgedFiles(t, audit.Files{Names: names}).Clocks
	if len(clocks) != 2 || (clocks[0].Ahead+3*time.Second).Abs() > 2*time.Millisecond || (clocks[1].Ahead-time.Second).Abs() > 2*time.Millisecond {
		t.Errorf("clocks %v", clocks)
	}
}
