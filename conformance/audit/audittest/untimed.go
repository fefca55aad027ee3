// SPDX-License-Identifier: Apache-2.0

package audittest

import (
	"slices"
	"strings"
	"testing"

	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// Untimed has a capture without times: the order is judged, and what depends on time, some clauses and sides that hold, is said to
// be undecided.
func (j Judge) Untimed(t *testing.T, timed Capture, ofTime ...string) {
	want := Verdicts(j.judgedBytes(t, classic{}.write(timed)))
	for _, key := range ofTime {
		if want[key] != verdict.Pass {
			t.Fatalf("%s is %s in the capture with times", key, want[key])
		}
	}
	report := j.judgedBytes(t, ngOf(timed, le, nil, func(w *ng, _ int, f audit.Frame) { w.simple(f) }))
	for _, f := range report.Findings {
		depends := slices.Contains(ofTime, Key(f))
		switch {
		case !depends && f.Verdict != want[Key(f)]:
			t.Errorf("%s: %s, want %s: %s", Key(f), f.Verdict, want[Key(f)], f.Message)
		case depends && (f.Verdict != verdict.Inconclusive || f.Reason != verdict.NoClock || !strings.Contains(f.Message, "how much time")):
			t.Errorf("%s: %s, %s: %s", Key(f), f.Verdict, f.Reason, f.Message)
		}
	}
	if n := report.Counters.Untimed; n != uint64(len(timed)) {
		t.Errorf("%d frames are without time, want %d", n, len(timed))
	}
	for _, p := range report.Statistics {
		if p.Latency != (audit.Latency{}) {
			t.Errorf("latencies of nothing: %+v", p.Latency)
		}
	}
}

// UntimedTimeline has a capture without times: a line says that its time is not known, and claims no time between two frames.
func (j Judge) UntimedTimeline(t *testing.T, frames Capture) {
	files := audit.Files{Names: written(t, ngOf(frames, le, nil, func(w *ng, _ int, f audit.Frame) { w.simple(f) }))}
	source, err := files.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	lines := 0
	j.judge(t, source, audit.Configuration{}, func(e *audit.Event) {
		if !e.Storage() {
			return
		}
		lines++
		if line := e.Line(); !strings.HasPrefix(line, "--:--:--.------  ") || strings.Contains(line, "after 0") || strings.Contains(line, "after -") {
			t.Errorf("line %q", line)
		}
	})
	if lines == 0 {
		t.Error("the timeline is empty")
	}
}

// PartlyUntimed has a frame without time among others: only what lies around it is left undecided, of which nothing depends on
// time.
func (j Judge) PartlyUntimed(t *testing.T, frames Capture, ofTime ...string) {
	report := j.judgedBytes(t, ngOf(frames, le, nil, func(w *ng, i int, f audit.Frame) {
		if i == 5 {
			w.simple(f)
			return
		}
		inMicros(w, i, f)
	}))
	for _, f := range report.Findings {
		if f.Verdict == verdict.Fail || slices.Contains(ofTime, Key(f)) && f.Verdict != verdict.Pass {
			t.Errorf("%s: %s: %s", Key(f), f.Verdict, f.Message)
		}
	}
	if n := report.Counters.Untimed; n != 1 {
		t.Errorf("%d frames are without time", n)
	}
}
