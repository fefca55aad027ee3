// SPDX-License-Identifier: Apache-2.0

// Package news tells changes of a program's state.
package news

import (
	"context"
	"encoding/json"
	"io"
	"reflect"
	"sync"
)

// News notices changes of a state and numbers them. Counters are no news.
type News[S any] struct {
	State  func() S
	Change func(*S) *uint64 // where the number of the change is
	Out    io.Writer        // gets a line of JSON for each change; nil if nobody wants them
	signal chan struct{}

	mu   sync.Mutex // guards the rest, and is held while a line is written, so that lines are in order
	last S
}

// New makes news of a state whose field change points to.
func New[S any](change func(*S) *uint64) *News[S] {
	return &News[S]{Change: change, signal: make(chan struct{}, 1)}
}

// Changed says that something may have changed. It does not wait.
func (n *News[S]) Changed() {
	select {
	case n.signal <- struct{}{}:
	default: // somebody will look anyway
	}
}

// Tell looks at the state now, writes it if it is new, and gives it.
func (n *News[S]) Tell() S {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := n.State()
	number := n.Change(&now)
	*number = *n.Change(&n.last)
	if reflect.DeepEqual(now, n.last) {
		return now
	}
	*number++
	n.last = now
	if n.Out != nil {
		_ = json.NewEncoder(n.Out).Encode(now) // a reader that has gone wants no more
	}
	return now
}

// Follow tells every change until ctx ends.
func (n *News[S]) Follow(ctx context.Context) {
	for {
		n.Tell()
		select {
		case <-n.signal:
		case <-ctx.Done():
			return
		}
	}
}
