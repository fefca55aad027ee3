// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// isAcross reports whether a violation of the clause may be one of the clocks.
func (r *Ruling) isAcross() bool {
	across := r.bench.rule.Across
	return r.event.Apart && across != nil && across(r.event)
}

// UnsureOfOrder says that the clause was tried, and that clocks which are apart hide what came first.
func (r *Ruling) UnsureOfOrder(format string, args ...any) {
	t := r.tally()
	if t.orderless++; t.orderless == 1 {
		v := r.violation(format, args...)
		t.orderlessAt, t.orderlessIn = v.Text, v.Frames
	}
}

// clockFinding says that a clause cannot be decided by the clocks of the capture.
func (t *tally) clockFinding(f *Finding) {
	f.Verdict = verdict.Inconclusive
	if t.orderless > 0 {
		f.Reason, f.Frames = verdict.ClocksApart, t.orderlessIn
		f.Message = "cannot be decided because the files have different clocks: " + t.orderlessAt
		return
	}
	f.Reason, f.Frames = verdict.NoClock, t.timelessIn
	f.Message = "cannot be decided because the capture does not tell how much time passed: " + t.timelessAt
}
