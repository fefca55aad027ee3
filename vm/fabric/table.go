// SPDX-License-Identifier: Apache-2.0

package fabric

import (
	"slices"
	"sync"
	"sync/atomic"
)

// link is what is plugged into a rail: a [Port] or a [Station].
type link interface {
	Name() string
	Close() error
	// put queues a copy of a frame; false says that it is lost, because nobody is there or the queue is full.
	put(frame []byte) bool
	// flush sends out what is queued, without waiting for a slow reader.
	flush()
	counters() *counters
}

// batch collects the links that frames were queued for, so that each is flushed once.
type batch struct {
	dirty []link
}

func (b *batch) send(frame []byte, to link) bool {
	if !to.put(frame) {
		return false
	}
	if !slices.Contains(b.dirty, to) {
		b.dirty = append(b.dirty, to)
	}
	return true
}

func (b *batch) flush() {
	for i, l := range b.dirty {
		l.flush()
		b.dirty[i] = nil
	}
	b.dirty = b.dirty[:0]
}

// addressesKept bounds what one rail learns, whatever the guests send.
const addressesKept = 4096

// switchTable knows the links of a rail and behind which of them an address is. It is read without a lock and replaced as a
// whole when it changes, which is seldom. Addresses do not age: they go with their link, or move when they show up elsewhere.
type switchTable struct {
	mu  sync.Mutex // held by who replaces it
	now atomic.Pointer[tableState]
}

type tableState struct {
	links     []link
	addresses map[MAC][]link // each a list of one, ready to return
}

func (t *switchTable) state() *tableState {
	if s := t.now.Load(); s != nil {
		return s
	}
	return &tableState{}
}

func (t *switchTable) links() []link { return t.state().links }

// route learns that source is behind from, and returns where a frame to destination goes; from may be among that. Before
// a link has joined, or after it left, nothing is learned of it.
func (t *switchTable) route(source, destination MAC, from link) []link {
	s := t.state()
	if known := s.addresses[source]; (known == nil || known[0] != from) && !source.multicast() {
		s = t.learn(source, from)
	}
	if one := s.addresses[destination]; one != nil {
		return one
	}
	return s.links
}

func (t *switchTable) learn(address MAC, l link) *tableState {
	t.mu.Lock()
	defer t.mu.Unlock()
	old := t.state()
	if !slices.Contains(old.links, l) || len(old.addresses) >= addressesKept {
		return old
	}
	s := old.copy()
	s.addresses[address] = []link{l}
	t.now.Store(s)
	return s
}

func (t *switchTable) join(l link) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.state().copy()
	s.links = append(s.links, l)
	t.now.Store(s)
}

// leave takes a link out; forget only takes out its addresses.
func (t *switchTable) leave(l link) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.state().copy()
	s.links = slices.DeleteFunc(s.links, func(other link) bool { return other == l })
	s.forget(l)
	t.now.Store(s)
}

func (t *switchTable) forget(l link) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.state().copy()
	s.forget(l)
	t.now.Store(s)
}

func (s *tableState) forget(l link) {
	for address, one := range s.addresses {
		if one[0] == l {
			delete(s.addresses, address)
		}
	}
}

func (s *tableState) copy() *tableState {
	c := &tableState{links: slices.Clone(s.links), addresses: make(map[MAC][]link, len(s.addresses)+1)}
	for address, one := range s.addresses {
		c.addresses[address] = one
	}
	return c
}
