// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"strings"
	"testing"

	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// ofTime are the clauses that the first rail of the capture of RNBD shows to hold by how much time passed.
var ofTime = map[string]bool{"IBTRS-HB-001 initiator": true, "IBTRS-HB-001 target": true, "IBTRS-HB-002 initiator": true, "IBTRS-HB-002 target": true}

// TestUntimed: of a capture without times the order is judged, and what depends on time is said to be undecided.
func TestUntimed(t *testing.T) {
	timed := load(t, rnbdCapture[0])
	want := verdicts(judgedFiles(t, classic{}.write(timed)))
	for key := range ofTime {
		if want[key] != verdict.Pass {
			t.Fatalf("%s is %s in the capture with times", key, want[key])
		}
	}
	report := judgedFiles(t, ngOf(timed, le, nil, func(w *ng, _ int, f Frame) { w.simple(f) }))
	for _, f := range report.Findings {
		switch {
		case !ofTime[f.key()] && f.Verdict != want[f.key()]:
			t.Errorf("%s: %s, want %s: %s", f.key(), f.Verdict, want[f.key()], f.Message)
		case ofTime[f.key()] && (f.Verdict != verdict.Inconclusive || f.Reason != verdict.NoClock || !strings.Contains(f.Message, "how much time")):
			t.Errorf("%s: %s, %s: %s", f.key(), f.Verdict, f.Reason, f.Message)
		}
	}
	if n := report.Counters.Untimed; n != uint64(len(timed)) {
		t.Errorf("%d frames are without time, want %d", n, len(timed))
	}
	for _, p := range report.Statistics {
		if p.Latency != (Latency{}) {
			t.Errorf("latencies of nothing: %+v", p.Latency)
		}
	}
}

// TestUntimedTimeline: a line says that its time is not known, and claims no time between two frames.
func TestUntimedTimeline(t *testing.T) {
	frames := load(t, rnbdCapture[0])
	source := sourceOf(t, ngOf(frames, le, nil, func(w *ng, _ int, f Frame) { w.simple(f) }))
	defer source.Close()
	lines := 0
	_, err := Audit{Observe: func(e *Event) {
		if !e.Storage() {
			return
		}
		lines++
		if line := e.Line(); !strings.HasPrefix(line, "--:--:--.------  ") || strings.Contains(line, "after 0") || strings.Contains(line, "after -") {
			t.Errorf("line %q", line)
		}
	}}.Run(t.Context(), source)
	if err != nil || lines == 0 {
		t.Errorf("%d lines: %v", lines, err)
	}
}

// TestPartlyUntimed: frames without time among others leave undecided only what lies around them.
func TestPartlyUntimed(t *testing.T) {
	frames := load(t, rnbdCapture[0])
	report := judgedFiles(t, ngOf(frames, le, nil, func(w *ng, i int, f Frame) {
		if i == 5 {
			w.simple(f)
			return
		}
		inMicros(w, i, f)
	}))
	for _, f := range report.Findings {
		if f.Verdict == verdict.Fail || ofTime[f.key()] && f.Verdict != verdict.Pass {
			t.Errorf("%s: %s: %s", f.key(), f.Verdict, f.Message)
		}
	}
	if n := report.Counters.Untimed; n != 1 {
		t.Errorf("%d frames are without time", n)
	}
}
