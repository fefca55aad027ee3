// SPDX-License-Identifier: Apache-2.0

package soft

import (
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
)

// Hub joins any number of devices in one process: a lossless network with no wire. What should go wrong on it is made to
// with [Device.Inject]. It starts no goroutine and makes no system call, so that it also works in a testing/synctest
// bubble, under fake time.
type Hub struct {
	mu    sync.RWMutex
	ports map[netip.Addr]*hubLink

	lost atomic.Uint64
}

// NewHub gives a hub with nothing attached.
func NewHub() *Hub { return &Hub{ports: make(map[netip.Addr]*hubLink)} }

// Lost is the number of packets that nobody was there to take: unknown address, port down, or queue full.
func (h *Hub) Lost() uint64 { return h.lost.Load() }

// hubQueue is how many packets a port holds for a device that does not keep up; more are lost. hubSoftQueue is where
// Link.Wait begins to wait.
const (
	hubQueue     = 1 << 15
	hubSoftQueue = 1 << 9
)

// DefaultHubMTU lets the largest path MTU, 4096 bytes, through.
const DefaultHubMTU = 4200

// Attach gives a new link with the given address; mtu is in bytes, 0 for [DefaultHubMTU]. Two links cannot have the same
// address at the same time.
func (h *Hub) Attach(addr netip.Addr, mtu int) (Link, error) {
	if err := checkLinkAddr(addr); err != nil {
		return nil, err
	}
	if mtu == 0 {
		mtu = DefaultHubMTU
	}
	l := &hubLink{hub: h, addr: addr, mtu: mtu, ready: make(chan struct{}, 1), room: make(chan struct{}, 1)}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ports[addr] != nil {
		return nil, fmt.Errorf("soft: attach %s to the hub: the address is in use", addr)
	}
	h.ports[addr] = l
	return l, nil
}

// SetDown cuts the cable of the link with this address, or mends it: while it is down, everything to and from it is lost.
// It reports whether there is such a link.
func (h *Hub) SetDown(addr netip.Addr, down bool) bool {
	l := h.port(addr)
	if l == nil {
		return false
	}
	l.down.Store(down)
	return true
}

func (h *Hub) port(addr netip.Addr) *hubLink {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.ports[addr]
}

func (h *Hub) lose(packets []*Packet) {
	h.lost.Add(uint64(len(packets)))
	for _, p := range packets {
		p.Release()
	}
}

// hubLink is one port of a hub with the queue of what has come in.
type hubLink struct {
	hub  *Hub
	addr netip.Addr
	mtu  int
	down atomic.Bool

	mu     sync.Mutex
	queue  []*Packet
	closed bool

	taken []*Packet     // what Receive gave last; its storage is the next queue
	ready chan struct{} // one token: there may be something to receive
	room  chan struct{} // one token: the queue has been emptied

	sendMu   sync.Mutex // guards the two below, a cache of the last destination
	lastTo   netip.Addr
	lastPort *hubLink
}

func (l *hubLink) Addr() netip.Addr   { return l.addr }
func (l *hubLink) MTU() int           { return l.mtu }
func (l *hubLink) SourcePort() uint16 { return 0 }

// Send hands the packets over, run by run of the same destination.
func (l *hubLink) Send(packets []*Packet) error {
	if l.down.Load() {
		l.hub.lose(packets)
		return nil
	}
	for len(packets) > 0 {
		dst := packets[0].Dst()
		n := 1
		for n < len(packets) && packets[n].Dst() == dst {
			n++
		}
		l.peer(dst).take(l.hub, packets[:n])
		packets = packets[n:]
	}
	return nil
}

// peer finds the port with address dst, nil if there is none.
func (l *hubLink) peer(dst netip.Addr) *hubLink {
	l.sendMu.Lock()
	defer l.sendMu.Unlock()
	if l.lastTo != dst || l.lastPort == nil || l.lastPort.isClosed() {
		l.lastTo, l.lastPort = dst, l.hub.port(dst)
	}
	return l.lastPort
}

func (l *hubLink) isClosed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}

// take queues packets for the device of this port. What does not fit is lost.
func (l *hubLink) take(h *Hub, packets []*Packet) {
	if l == nil || l.down.Load() {
		h.lose(packets)
		return
	}
	l.mu.Lock()
	fit := min(len(packets), hubQueue-len(l.queue))
	if l.closed {
		fit = 0
	}
	wake := len(l.queue) == 0 && fit > 0
	l.queue = append(l.queue, packets[:fit]...)
	l.mu.Unlock()
	if wake {
		post(l.ready)
	}
	h.lose(packets[fit:])
}

// post leaves a token in a channel of one place.
func post(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (l *hubLink) Receive() ([]*Packet, error) {
	for {
		l.mu.Lock()
		if len(l.queue) > 0 {
			l.taken, l.queue = l.queue, l.taken[:0]
			l.mu.Unlock()
			post(l.room)
			return l.taken, nil
		}
		closed := l.closed
		l.mu.Unlock()
		if closed {
			return nil, errLinkClosed
		}
		<-l.ready
	}
}

// Wait waits until the last destination has taken what it was sent.
func (l *hubLink) Wait() {
	l.sendMu.Lock()
	peer := l.lastPort
	l.sendMu.Unlock()
	if peer == nil {
		return
	}
	for peer.full() {
		<-peer.room
	}
	post(peer.room) // for others who wait on it
}

func (l *hubLink) full() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.closed && len(l.queue) > hubSoftQueue
}

func (l *hubLink) Close() error {
	l.hub.mu.Lock()
	if l.hub.ports[l.addr] == l {
		delete(l.hub.ports, l.addr)
	}
	l.hub.mu.Unlock()
	l.mu.Lock()
	l.closed = true
	queue := l.queue
	l.queue = nil
	l.mu.Unlock()
	l.hub.lose(queue)
	post(l.ready)
	post(l.room)
	return nil
}
