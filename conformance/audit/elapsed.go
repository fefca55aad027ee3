// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"fmt"
	"time"
)

// How much time passed between two frames a capture does not always tell: some have no times, clocks are set, and what stands
// between the frames of two clocks is not known. The tracker keeps the time up to which it is not known how long ago something was.

// noteClock takes what a frame says of the clock.
func (t *Tracker) noteClock(f Frame) {
	switch {
	case f.Untimed:
		t.counters.Untimed++
		t.vagueUntil = f.At.Add(1)
	case f.Stepped:
		t.vagueUntil = f.At
	}
	t.untimed, t.apart, t.file = f.Untimed, f.Apart, f.File
}

// tells reports whether it is known how much time has passed since an earlier time.
func (t *Tracker) tells(from time.Time) bool { return !from.Before(t.vagueUntil) }

// elapsed gives the time from one moment to another, or unknownTime.
func (t *Tracker) elapsed(from, to time.Time) time.Duration {
	if !t.tells(from) {
		return unknownTime
	}
	return to.Sub(from)
}

// unknownTime stands for a time that the capture does not tell.
const unknownTime time.Duration = -1

// after gives a time as in "answered after 2 ms".
func after(d time.Duration) string {
	if d < 0 {
		return "after an unknown time"
	}
	return "after " + shortTime(d)
}

// ago gives a time as in "the last one, 2 ms ago".
func ago(d time.Duration) string {
	if d < 0 {
		return ""
	}
	return ", " + shortTime(d) + " ago"
}

// tells is [Tracker.tells] at the time of the event.
func (e *Event) tells(from time.Time) bool { return !from.Before(e.vagueUntil) }

// Elapsed gives the time from an earlier moment to that of the event. Where the capture does not tell it, it is false, and the
// clause was tried without a decision.
func (r *Ruling) Elapsed(from time.Time) (time.Duration, bool) {
	if r.event.tells(from) {
		return r.event.At.Sub(from), true
	}
	r.unsureOfTime(r.tally())
	return 0, false
}

// unsureOfTime says that the clause was tried, and that it depends on a time that the capture does not tell.
func (r *Ruling) unsureOfTime(t *tally) {
	if t.timeless++; t.timeless == 1 {
		t.timelessAt, t.timelessIn = fmt.Sprintf("%s%v", place(r.event), r.event.Kind), r.event.Frames()
	}
}
