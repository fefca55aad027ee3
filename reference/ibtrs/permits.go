// SPDX-License-Identifier: Apache-2.0

package ibtrs

import (
	"context"
	"math/bits"
	"sync"
)

// permits hands out the numbers of the session's chunks, the lowest free one first. Whoever finds none waits in line.
// It is the only flow control of the protocol (Clause IBTRS-IO-018).
type permits struct {
	mu      sync.Mutex // guards the rest
	free    []uint64   // a bit for each free permit
	used    int
	first   *permitWaiter // the line
	last    *permitWaiter
	stopped error // why nobody gets a permit any more
	lazy    bool  // the line is looked at when somebody wants a permit, and not when one is given back: [ClientRules].WakeOnTraffic
}

// permitWaiter is a place in the line. It can be used again and again, by one waiter at a time.
type permitWaiter struct {
	next  *permitWaiter
	given chan int // one place; the permit, or -1 when the line was dissolved
}

func newPermits(depth int) *permits {
	p := &permits{free: make([]uint64, (depth+63)/64)}
	for k := range depth {
		p.free[k/64] |= 1 << (k % 64)
	}
	return p
}

// try takes the lowest free permit, or reports that there is none. Whoever waits in line goes first.
func (p *permits) try() (permit int, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped != nil || p.first != nil {
		return 0, false
	}
	return p.lowest()
}

func (p *permits) lowest() (permit int, ok bool) {
	for i, word := range p.free {
		if word != 0 {
			b := bits.TrailingZeros64(word)
			p.free[i] &^= 1 << b
			p.used++
			return i*64 + b, true
		}
	}
	return 0, false
}

// take waits for a permit until ctx ends.
func (p *permits) take(ctx context.Context, w *permitWaiter) (int, error) {
	p.mu.Lock()
	if p.stopped != nil {
		defer p.mu.Unlock()
		return 0, p.stopped
	}
	p.serveLate()
	if p.first == nil {
		if k, ok := p.lowest(); ok {
			p.mu.Unlock()
			return k, nil
		}
	}
	p.enqueue(w)
	p.mu.Unlock()

	select {
	case k := <-w.given:
		return p.given(k)
	case <-ctx.Done():
		if !p.leave(w) { // the permit was given at the same moment
			if k := <-w.given; k >= 0 {
				p.release(k)
			}
		}
		return 0, ctx.Err()
	}
}

func (p *permits) given(k int) (int, error) {
	if k >= 0 {
		return k, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return 0, p.stopped
}

func (p *permits) enqueue(w *permitWaiter) {
	w.next = nil
	if p.first == nil {
		p.first = w
	} else {
		p.last.next = w
	}
	p.last = w
}

// leave takes w out of the line and reports whether it was still in it.
func (p *permits) leave(w *permitWaiter) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	var before *permitWaiter
	for at := p.first; at != nil; before, at = at, at.next {
		if at != w {
			continue
		}
		if before == nil {
			p.first = w.next
		} else {
			before.next = w.next
		}
		if p.last == w {
			p.last = before
		}
		return true
	}
	return false
}

// serveLate gives the line what is free, if that was not done when it became so.
func (p *permits) serveLate() {
	for p.lazy && p.first != nil {
		k, ok := p.lowest()
		if !ok {
			return
		}
		w := p.first
		p.first = w.next
		w.given <- k
	}
}

// release gives a permit back: to the first in line, if there is one.
func (p *permits) release(k int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w := p.first; w != nil && !p.lazy {
		p.first = w.next
		w.given <- k
		return
	}
	p.free[k/64] |= 1 << (k % 64)
	p.used--
}

// inUse is the number of permits that are not free.
func (p *permits) inUse() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.used
}

// stop dissolves the line, for good.
func (p *permits) stop(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = err
	for ; p.first != nil; p.first = p.first.next {
		p.first.given <- -1
	}
}
