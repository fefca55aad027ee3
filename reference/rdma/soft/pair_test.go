// SPDX-License-Identifier: Apache-2.0

package soft_test

import (
	"context"
	"net/netip"
	"testing"

	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/rdma/rdmatest"
	"github.com/ibnbd/ibnbd/reference/rdma/soft"
)

var (
	addrA = netip.MustParseAddr("10.0.0.1")
	addrB = netip.MustParseAddr("10.0.0.2")
)

// testConn is what connections in these tests are made with.
var testConn = rdma.ConnConfig{
	SendQueue: 64, RecvQueue: 64, SendSGE: 4, RecvSGE: 4, InitiatorDepth: 4, ResponderResources: 4,
	RetryCount: 7, RNRRetryCount: 7, AckTimeout: 10,
}

// wallConn is testConn for connections in real time, where a busy machine may let a peer wait.
var wallConn = func() rdma.ConnConfig {
	cfg := testConn
	cfg.AckTimeout = 0
	return cfg
}()

// pair is two devices on a hub, a dialling and an accepting one, and a connection between them.
type pair struct {
	hub        *soft.Hub
	a, b       *soft.Device
	client     *soft.Conn
	server     *soft.Conn
	memA, memB rdma.Region
	listener   rdma.Listener
}

const testMemory = 1 << 20

const allRights = rdma.LocalWrite | rdma.RemoteRead | rdma.RemoteWrite | rdma.RemoteAtomic | rdma.WindowBind

// newPair makes the devices and their memory; connect makes the connection.
func newPair(t testing.TB, cfgA, cfgB soft.Config) *pair {
	t.Helper()
	p := &pair{hub: soft.NewHub()}
	p.a = openDevice(t, p.hub, addrA, cfgA)
	p.b = openDevice(t, p.hub, addrB, cfgB)
	p.memA = register(t, p.a)
	p.memB = register(t, p.b)
	return p
}

func openDevice(t testing.TB, hub *soft.Hub, addr netip.Addr, cfg soft.Config) *soft.Device {
	t.Helper()
	link, err := hub.Attach(addr, 0)
	if err != nil {
		t.Fatal(err)
	}
	d, err := soft.Open(link, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeAll(t, d) })
	return d
}

func register(t testing.TB, d rdma.Device) rdma.Region {
	t.Helper()
	r, err := d.Register(testMemory, allRights)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeAll(t, r) })
	return r
}

func closeAll(t testing.TB, closers ...interface{ Close() error }) {
	t.Helper()
	for _, c := range closers {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

// connected makes a pair with a connection.
func connected(t testing.TB, cfgA, cfgB soft.Config) *pair {
	t.Helper()
	p := newPair(t, cfgA, cfgB)
	p.connect(t, testConn)
	return p
}

// connect dials from a to b. Receives of the server: 32 of 4096 bytes each from the middle of its memory; of the client
// the same.
func (p *pair) connect(t testing.TB, cfg rdma.ConnConfig) {
	t.Helper()
	p.connectAt(t, cfg, netip.AddrPortFrom(p.b.Addr(), 7777))
}

// beside makes another connection between the devices, with the same memory.
func (p *pair) beside(t testing.TB) *pair {
	t.Helper()
	other := &pair{hub: p.hub, a: p.a, b: p.b, memA: p.memA, memB: p.memB}
	other.connectAt(t, testConn, netip.AddrPortFrom(p.b.Addr(), 7778))
	return other
}

func (p *pair) connectAt(t testing.TB, cfg rdma.ConnConfig, server netip.AddrPort) {
	t.Helper()
	l, err := p.b.Listen(server.Port())
	if err != nil {
		t.Fatal(err)
	}
	p.listener = l
	t.Cleanup(func() { closeAll(t, l) })
	type result struct {
		c   rdma.Conn
		err error
	}
	accepted := make(chan result, 1)
	go func() {
		r, err := l.Next(context.Background())
		if err != nil {
			accepted <- result{err: err}
			return
		}
		c, err := r.Accept(context.Background(), cfg, []byte("welcome"), recvs(p.memB, 32)...)
		accepted <- result{c, err}
	}()
	c, err := p.a.Dial(context.Background(), server, cfg, []byte("hello"), recvs(p.memA, 32)...)
	if err != nil {
		t.Fatal(err)
	}
	s := <-accepted
	if s.err != nil {
		t.Fatal(s.err)
	}
	p.client, p.server = c.(*soft.Conn), s.c.(*soft.Conn)
	t.Cleanup(func() { closeAll(t, c, s.c) })
}

const recvSize = 4096

func recvs(r rdma.Region, n int) []rdma.RecvWR {
	work := make([]rdma.RecvWR, n)
	for i := range work {
		work[i] = recvAt(r, i)
	}
	return work
}

func recvAt(r rdma.Region, i int) rdma.RecvWR {
	return rdma.RecvWR{ID: uint64(i), Local: []rdma.SGE{{Region: r, Offset: testMemory/2 + i*recvSize, Length: recvSize}}}
}

// part names a part of a region.
func part(r rdma.Region, offset, length int) []rdma.SGE {
	return []rdma.SGE{{Region: r, Offset: offset, Length: length}}
}

// one polls exactly one completion.
func one(t testing.TB, c rdma.Conn) rdma.Completion {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), rdmatest.Patience)
	defer cancel()
	var done [1]rdma.Completion
	if _, err := c.Poll(ctx, done[:]); err != nil {
		t.Fatal(err)
	}
	return done[0]
}

// must fails the test on an error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// pattern fills memory with bytes that differ by place and seed.
func pattern(b []byte, seed int) {
	for i := range b {
		b[i] = byte(i*7 + i>>8 + seed)
	}
}
