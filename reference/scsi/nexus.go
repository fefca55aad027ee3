// SPDX-License-Identifier: Apache-2.0

package scsi

import (
	"slices"
	"sync"
	"sync/atomic"
)

// Nexus is one initiator that uses a set of units. The transport makes one for each pair of initiator and target port, and
// ends it with Close.
type Nexus struct {
	luns *LUNs

	waiting atomic.Int32 // unit attentions, so that nobody locks to find none
	mu      sync.Mutex   // guards the rest; is taken last
	pending map[*Unit][]Code
}

// NewNexus lets an initiator use the units. Its first command to each of them reports why, usually [PowerOnOrReset] or
// [NexusLoss], by a unit attention.
func NewNexus(l *LUNs, why Code) *Nexus {
	n := &Nexus{luns: l, pending: map[*Unit][]Code{}}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.nexuses[n] = struct{}{}
	for _, u := range l.units {
		u.join(n)
		n.raise(u, why)
	}
	return n
}

// Close takes the initiator away. Its tasks must have ended, or been aborted.
func (n *Nexus) Close() {
	n.luns.mu.Lock()
	defer n.luns.mu.Unlock()
	delete(n.luns.nexuses, n)
	for _, u := range n.luns.units {
		u.leave(n)
	}
}

// join counts how often a nexus has the unit.
func (u *Unit) join(n *Nexus) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.nexuses[n]++
}

func (u *Unit) leave(n *Nexus) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.nexuses[n]--; u.nexuses[n] <= 0 {
		delete(u.nexuses, n)
		n.forget(u)
	}
}

// raise queues a unit attention, unless the same is waiting.
func (n *Nexus) raise(u *Unit, code Code) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if slices.Contains(n.pending[u], code) {
		return
	}
	n.pending[u] = append(n.pending[u], code)
	n.waiting.Add(1)
}

// attention takes the oldest unit attention of a unit.
func (n *Nexus) attention(u *Unit) (code Code, ok bool) {
	if n.waiting.Load() == 0 {
		return 0, false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	codes := n.pending[u]
	if len(codes) == 0 {
		return 0, false
	}
	n.pending[u] = codes[1:]
	n.waiting.Add(-1)
	return codes[0], true
}

// forget drops the unit attentions of a unit.
func (n *Nexus) forget(u *Unit) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.waiting.Add(-int32(len(n.pending[u])))
	delete(n.pending, u)
}

// Has tells whether the initiator may use a unit of that name.
func (n *Nexus) Has(lun LUN) bool { return n.luns.unit(lun) != nil }
