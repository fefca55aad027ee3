// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"context"
	"fmt"
	"time"

	"github.com/onsi/ginkgo/v2"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/witness"
)

// AtOnce is the longest time that still counts as "at once": shorter than the shortest timer of the protocols, so that
// nothing that waits for a timer passes.
const AtOnce = 4 * time.Second

// samplePeriod is how often the kit looks at what gives no event, such as the state files of paths. Times that come from
// there are late by at most so much.
const samplePeriod = 100 * time.Millisecond

// Mark puts an event of the spec on its timeline and gives its time.
func (p *Pair) Mark(what string) time.Time {
	now := time.Now()
	p.happened(now, "spec", what)
	p.Lab.Fabric().Mark(what)
	return now
}

// happened puts an event on the timeline of the spec.
func (p *Pair) happened(at time.Time, where, what string) {
	witness.Happened(verdict.Event{At: at.Sub(p.began), Where: where, What: what})
}

// Measure states a time beside its bound. A time beyond it fails the spec's clauses when the spec has ended, so that every
// time of the spec is seen.
func (p *Pair) Measure(name string, value time.Duration, bound subject.Bound) {
	p.measured(verdict.Timing{Name: name, Value: value, AtLeast: bound.AtLeast, AtMost: bound.Limit, Formula: bound.Formula})
}

func (p *Pair) measured(t verdict.Timing) {
	p.exceeded = p.exceeded || !t.Within()
	witness.Measured(t)
}

// Until waits until something is so, looking every sample period, and fails the spec when it takes longer than limit.
func (p *Pair) Until(ctx context.Context, what string, limit time.Duration, so func() bool) {
	ginkgo.GinkgoHelper()
	begin := time.Now()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	sample := time.NewTicker(samplePeriod)
	defer sample.Stop()
	for !so() {
		select {
		case <-sample.C:
		case <-deadline.C:
			witness.Broke(verdict.BoundExceeded, "%s: not within %s", what, limit)
		case <-ctx.Done():
			ginkgo.Fail(fmt.Sprintf("%s: not after %s: %v", what, time.Since(begin).Round(time.Second), context.Cause(ctx)))
		}
	}
	p.happened(time.Now(), "spec", what)
}

// WithinTime states how long something takes beside a limit.
func (p *Pair) WithinTime(_ context.Context, what string, limit time.Duration, do func()) {
	begin := time.Now()
	do()
	p.measured(verdict.Timing{Name: what, Value: time.Since(begin), AtMost: limit, Formula: "less than any timer"})
}
