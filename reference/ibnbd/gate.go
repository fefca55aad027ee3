// SPDX-License-Identifier: Apache-2.0

package ibnbd

import (
	"context"
	"sync"
)

// gate keeps OPENs apart from what is still under way to devices that were given up. A server gives the id of a closed device
// to the next that it opens, so that an old request would reach that one: a write its blocks, a CLOSE that is sent again on
// another path its mapping. So no OPEN is sent while anything is under way to a device that was given up, and no CLOSE while
// an OPEN is under way.
type gate struct {
	off   bool            // nothing waits, against the rules
	ended <-chan struct{} // closed when nothing is waited for any more

	mu      sync.Mutex // guards the rest
	opening int        // OPENs under way
	leaving int        // devices that were given up, to which something is under way
	news    chan struct{}
}

// beginOpen waits until nothing is under way to a device that was given up, or ctx ends. After it endOpen must be called.
func (g *gate) beginOpen(ctx context.Context) error {
	return g.wait(ctx, func() bool {
		if g.leaving > 0 && !g.off {
			return false
		}
		g.opening++
		return true
	})
}

func (g *gate) endOpen() { g.count(&g.opening, -1) }

// leave says that a device is given up. When nothing is under way to it any more, left must be called.
func (g *gate) leave() { g.count(&g.leaving, +1) }

func (g *gate) left() { g.count(&g.leaving, -1) }

// awaitOpens waits until no OPEN is under way, or ctx ends. The caller has called leave, so that none begins meanwhile.
func (g *gate) awaitOpens(ctx context.Context) error {
	return g.wait(ctx, func() bool { return g.opening == 0 || g.off })
}

func (g *gate) count(what *int, change int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if *what += change; *what == 0 && g.news != nil {
		close(g.news)
		g.news = nil
	}
}

// wait waits until is, which is called with the lock held, gives true.
func (g *gate) wait(ctx context.Context, is func() bool) error {
	for {
		g.mu.Lock()
		if is() {
			g.mu.Unlock()
			return nil
		}
		if g.news == nil {
			g.news = make(chan struct{})
		}
		news := g.news
		g.mu.Unlock()
		select {
		case <-news:
		case <-ctx.Done():
			return ctx.Err()
		case <-g.ended:
			return errClientClosed
		}
	}
}
