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

// Tells reports whether it is known how much time has passed since an earlier time.
func (t *Tracker) Tells(from time.Time) bool { return !from.Before(t.vagueUntil) }

// Elapsed gives the time from one moment to another; it is negative if the capture does not tell it.
func (t *Tracker) Elapsed(from, to time.Time) time.Duration {
	if !t.Tells(from) {
		return unknownTime
	}
	return to.Sub(from)
}

// unknownTime stands for a time that the capture does not tell.
const unknownTime time.Duration = -1

// After gives a time as in "answered after 2 ms".
func After(d time.Duration) string {
	if d < 0 {
		return "after an unknown time"
	}
	return "after " + ShortTime(d)
}

// Ago gives a time as in "the last one, 2 ms ago".
func Ago(d time.Duration) string {
	if d < 0 {
		return ""
	}
	return ", " + ShortTime(d) + " ago"
}

// Tells is [Tracker.Tells] at the time of the event.
func (e *Event) Tells(from time.Time) bool { return !from.Before(e.vagueUntil) }

// Elapsed gives the time from an earlier moment to that of the event. Where the capture does not tell it, it is false, and the
// clause was tried without a decision.
func (r *Ruling) Elapsed(from time.Time) (time.Duration, bool) {
	if r.event.Tells(from) {
		return r.event.At.Sub(from), true
	}
	r.unsureOfTime(r.tally())
	return 0, false
}

// UnsureOfTime says of what a side has done that the clause was tried, and depends on a time that the capture does not tell.
func (r *Ruling) UnsureOfTime(side Side) { r.unsureOfTime(r.tallyOf(side)) }

func (r *Ruling) unsureOfTime(t *tally) {
	if t.timeless++; t.timeless == 1 {
		t.timelessAt, t.timelessIn = fmt.Sprintf("%s%v", place(r.event), r.event.Kind), r.event.Frames()
	}
}
