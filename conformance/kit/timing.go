// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/onsi/ginkgo/v2"

	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/specreport"
)

// AtOnce is the longest time that still counts as "at once": shorter than the shortest timer of the protocols, so that
// nothing that waits for a timer passes.
const AtOnce = 4 * time.Second

// SamplePeriod is how often the kit looks at what gives no event, such as the state files of paths. Times that come from
// there are late by at most so much.
const SamplePeriod = 100 * time.Millisecond

// Mark puts an event of the spec on its timeline and gives its time.
func (t *Testbed) Mark(what string) time.Time {
	now := time.Now()
	t.Happened(now, "spec", what)
	t.Lab.Fabric().Mark(what)
	return now
}

// Happened puts an event on the timeline of the spec.
func (t *Testbed) Happened(at time.Time, where, what string) {
	specreport.Happened(verdict.Event{At: at.Sub(t.began), Where: where, What: what})
}

// Measure states a time beside its bound. A time beyond it fails the spec's clauses when the spec has ended, so that every
// time of the spec is seen.
func (t *Testbed) Measure(name string, value time.Duration, bound verdict.Bound) {
	t.measured(verdict.Timing{Name: name, Value: value, AtLeast: bound.AtLeast, AtMost: bound.Limit, Formula: bound.Formula})
}

func (t *Testbed) measured(m verdict.Timing) {
	t.exceeded = t.exceeded || !m.Within()
	specreport.Measured(m)
}

// Until waits until something is so, looking every sample period, and fails the spec when it takes longer than limit.
func (t *Testbed) Until(ctx context.Context, what string, limit time.Duration, so func() bool) {
	ginkgo.GinkgoHelper()
	begin := time.Now()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	sample := time.NewTicker(SamplePeriod)
	defer sample.Stop()
	for !so() {
		select {
		case <-sample.C:
		case <-deadline.C:
			specreport.Broke(verdict.BoundExceeded, "%s: not within %s", what, limit)
		case <-ctx.Done():
			ginkgo.Fail(fmt.Sprintf("%s: not after %s: %v", what, time.Since(begin).Round(time.Second), context.Cause(ctx)))
		}
	}
	t.Happened(time.Now(), "spec", what)
}

// Follow looks at once, and then once in a period until the spec ends.
func (t *Testbed) Follow(ctx context.Context, period time.Duration, look func(context.Context)) {
	look(ctx)
	following, stop := context.WithCancel(context.WithoutCancel(ctx))
	var ended sync.WaitGroup
	ended.Go(func() {
		tick := time.NewTicker(period)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				look(following)
			case <-following.Done():
				return
			}
		}
	})
	t.AtEnd(func() { stop(); ended.Wait() })
}

// WithinTime states how long something takes beside a limit.
func (t *Testbed) WithinTime(_ context.Context, what string, limit time.Duration, do func()) {
	begin := time.Now()
	do()
	t.measured(verdict.Timing{Name: what, Value: time.Since(begin), AtMost: limit, Formula: "less than any timer"})
}
