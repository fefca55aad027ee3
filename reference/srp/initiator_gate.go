// SPDX-License-Identifier: Apache-2.0

package srp

import (
	"context"
	"slices"
	"sync"
	"time"
)

// gate lets one attempt to log in be made at a time, for all ports of an initiator (Clause SRP-RECON-004). First logins go before others;
// of those, whoever has waited longest is next, so that each gets its attempt before any gets a second one (Clause SRP-RECON-008).
type gate struct {
	gap  time.Duration
	wake chan struct{} // one token: the queue has changed
	done chan struct{}
	stop context.CancelFunc

	mu    sync.Mutex // guards the rest
	queue []*attempt // in the order in which they came
}

// attempt is what one port wants from the gate. Fields are guarded by the gate's lock.
type attempt struct {
	run    func()
	urgent bool      // a first login
	due    time.Time // not before
}

func newGate(gap time.Duration) *gate {
	ctx, stop := context.WithCancel(context.Background())
	g := &gate{gap: gap, wake: make(chan struct{}, 1), done: make(chan struct{}), stop: stop}
	go g.work(ctx)
	return g
}

// put queues an attempt; one that is queued already gets another time.
func (g *gate) put(a *attempt, due time.Time) {
	g.mu.Lock()
	a.due = due
	if !slices.Contains(g.queue, a) {
		g.queue = append(g.queue, a)
	}
	g.mu.Unlock()
	select {
	case g.wake <- struct{}{}:
	default: // it looks anyway
	}
}

// drop takes an attempt out of the queue, and reports whether it was there: one that has begun is not.
func (g *gate) drop(a *attempt) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.Index(g.queue, a)
	if i < 0 {
		return false
	}
	g.queue = slices.Delete(g.queue, i, i+1)
	return true
}

// next takes the attempt whose turn it is. If there is none yet, it says when there will be; zero: nobody waits.
func (g *gate) next(now time.Time) (a *attempt, due time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, q := range g.queue {
		if a == nil || q.urgent && !a.urgent || q.urgent == a.urgent && q.due.Before(a.due) {
			a = q
		}
	}
	if a == nil {
		return nil, due
	}
	if a.due.After(now) {
		return nil, a.due
	}
	i := slices.Index(g.queue, a)
	g.queue = slices.Delete(g.queue, i, i+1)
	return a, due
}

// work makes the attempts.
func (g *gate) work(ctx context.Context) {
	defer close(g.done)
	for ctx.Err() == nil {
		a, due := g.next(time.Now())
		if a == nil {
			g.await(ctx, due)
			continue
		}
		a.run()
		timer := time.NewTimer(g.gap)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// await waits for a change of the queue, or until due.
func (g *gate) await(ctx context.Context, due time.Time) {
	var expired <-chan time.Time
	if !due.IsZero() {
		timer := time.NewTimer(time.Until(due))
		defer timer.Stop()
		expired = timer.C
	}
	select {
	case <-g.wake:
	case <-expired:
	case <-ctx.Done():
	}
}

// close waits for the attempt that is being made.
func (g *gate) close() {
	g.stop()
	<-g.done
}
