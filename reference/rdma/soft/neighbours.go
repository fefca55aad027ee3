// SPDX-License-Identifier: Apache-2.0

package soft

import (
	"net/netip"
	"sync"
	"time"
)

// Neighbour discovery, with the times that Linux has too.
const (
	solicitEvery = time.Second
	solicitTries = 3
	freshFor     = 30 * time.Second // afterwards it is asked again, while the old answer stays in use
	maxWaiting   = 256              // packets that wait for one neighbour
	maxNeighbour = 1024             // entries, so that a hostile network cannot fill the memory
)

// neighbours finds the MAC address of an IP address on the link.
type neighbours struct {
	link *FrameLink

	mu     sync.Mutex
	table  map[netip.Addr]*neighbour
	closed bool
}

// neighbour is one entry.
type neighbour struct {
	mac     mac
	known   bool
	at      time.Time // of the last answer
	tries   int       // solicitations without an answer
	timer   *time.Timer
	waiting []*Packet
}

func (n *neighbours) init(l *FrameLink) {
	n.link = l
	n.table = make(map[netip.Addr]*neighbour)
}

func (n *neighbours) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
	for addr := range n.table {
		n.remove(addr)
	}
}

// remove forgets a neighbour and loses what waits for it. The caller holds mu.
func (n *neighbours) remove(addr netip.Addr) {
	e := n.table[addr]
	if e.timer != nil {
		e.timer.Stop()
	}
	for _, p := range e.waiting {
		p.Release()
	}
	delete(n.table, addr)
}

// lookup gives the MAC address of a neighbour. If it is not known, the packet waits for it and is not the caller's any
// more.
func (n *neighbours) lookup(addr netip.Addr, p *Packet) (mac, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	e := n.table[addr]
	if e == nil {
		e = n.add(addr)
	}
	if e == nil {
		p.Release()
		return mac{}, false
	}
	if e.timer == nil && time.Since(e.at) > freshFor {
		n.solicit(addr, e)
	}
	if e.known {
		return e.mac, true
	}
	if len(e.waiting) < maxWaiting {
		e.waiting = append(e.waiting, p)
	} else {
		p.Release()
	}
	return mac{}, false
}

// add makes an entry, if there is room.
func (n *neighbours) add(addr netip.Addr) *neighbour {
	if n.closed || len(n.table) >= maxNeighbour {
		return nil
	}
	e := &neighbour{}
	n.table[addr] = e
	return e
}

// solicit asks for a neighbour's address, and again until it is answered or given up.
func (n *neighbours) solicit(addr netip.Addr, e *neighbour) {
	n.link.solicit(addr)
	e.timer = time.AfterFunc(solicitEvery, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.closed || n.table[addr] != e || e.timer == nil {
			return
		}
		e.timer = nil
		if e.tries++; e.tries >= solicitTries {
			n.remove(addr)
			return
		}
		n.solicit(addr, e)
	})
}

// learn stores an answer, or what a neighbour said of itself, and sends what waited for it.
func (n *neighbours) learn(addr netip.Addr, at mac) {
	if at.group() {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	e := n.table[addr]
	if e == nil {
		if e = n.add(addr); e == nil {
			return
		}
	}
	if e.timer != nil {
		e.timer.Stop()
		e.timer = nil
	}
	e.mac, e.known, e.at, e.tries = at, true, time.Now(), 0
	if len(e.waiting) == 0 {
		return
	}
	var frames [][]byte
	for _, p := range e.waiting {
		frames = append(frames, p.frame(e.mac, n.link.mac))
	}
	_ = n.link.frames.Send(frames...) // what is lost here is lost as on any network
	for _, p := range e.waiting {
		p.Release()
	}
	e.waiting = nil
}

// heard learns from a packet of a neighbour, if nothing better is known.
func (n *neighbours) heard(addr netip.Addr, from mac) {
	n.mu.Lock()
	e := n.table[addr]
	known := e != nil && e.known
	n.mu.Unlock()
	if !known {
		n.learn(addr, from)
	}
}

// refresh is learn for what was not addressed to this link: it changes an entry and makes none.
func (n *neighbours) refresh(addr netip.Addr, at mac) {
	n.mu.Lock()
	known := n.table[addr] != nil
	n.mu.Unlock()
	if known {
		n.learn(addr, at)
	}
}
