// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"io"
	"reflect"
	"sync"
)

// news notices changes of a client's state and numbers them. Counters are no news.
type news struct {
	state  func() status
	out    io.Writer // gets a line of JSON for each change; nil if nobody wants them
	signal chan struct{}

	mu   sync.Mutex // guards the rest, and is held while a line is written, so that lines are in order
	last status
}

func newNews() *news { return &news{signal: make(chan struct{}, 1)} }

// changed says that something may have changed. It does not wait.
func (n *news) changed() {
	select {
	case n.signal <- struct{}{}:
	default: // somebody will look anyway
	}
}

// tell looks at the state now, writes it if it is new, and gives it.
func (n *news) tell() status {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := n.state()
	now.Change = n.last.Change
	if reflect.DeepEqual(now, n.last) {
		return now
	}
	now.Change++
	n.last = now
	if n.out != nil {
		_ = json.NewEncoder(n.out).Encode(now) // a reader that has gone wants no more
	}
	return now
}

// follow tells every change until ctx ends.
func (n *news) follow(ctx context.Context) {
	for {
		n.tell()
		select {
		case <-n.signal:
		case <-ctx.Done():
			return
		}
	}
}
