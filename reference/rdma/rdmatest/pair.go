// SPDX-License-Identifier: Apache-2.0

package rdmatest

import (
	"context"
	"io"
	"net/netip"
	"testing"
	"time"

	"github.com/ibnbd/ibnbd/reference/rdma"
)

// Patience is how long anything in a test of this package may take. It is reached only when the test fails.
const Patience = 20 * time.Second

// MemorySize is the size of the regions of a [Pair] in bytes.
const MemorySize = 1 << 20

// AllRights are all rights that a region can have.
const AllRights = rdma.LocalWrite | rdma.RemoteRead | rdma.RemoteWrite | rdma.RemoteAtomic | rdma.WindowBind

// Config is a connection's configuration that suits most tests.
func Config() rdma.ConnConfig {
	return rdma.ConnConfig{
		SendQueue: 32, RecvQueue: 32, SendSGE: 2, RecvSGE: 2, InitiatorDepth: 4, ResponderResources: 4,
		RetryCount: 7, RNRRetryCount: 7,
	}
}

// Pair is a connection between two devices, with a region at each side. The test's clean-up closes all of it.
type Pair struct {
	Client, Server       rdma.Conn
	ClientMem, ServerMem rdma.Region
}

// Connect makes a pair: client dials server.
func Connect(t testing.TB, client, server rdma.Device, cfg rdma.ConnConfig) *Pair {
	t.Helper()
	p := &Pair{ClientMem: Register(t, client, AllRights), ServerMem: Register(t, server, AllRights)}
	l, err := server.Listen(0)
	Must(t, err)
	defer Close(t, l)
	accepted := make(chan rdma.Conn, 1)
	go func() {
		defer close(accepted)
		ctx, cancel := context.WithTimeout(context.Background(), Patience)
		defer cancel()
		r, err := l.Next(ctx)
		if err != nil {
			t.Error(err)
			return
		}
		c, err := r.Accept(ctx, cfg, nil)
		if err != nil {
			t.Error(err)
			return
		}
		accepted <- c
	}()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	p.Client, err = client.Dial(ctx, l.Addr(), cfg, nil)
	p.Server = <-accepted
	if p.Server != nil {
		t.Cleanup(func() { Close(t, p.Server) })
	}
	Must(t, err)
	t.Cleanup(func() { Close(t, p.Client) })
	if p.Server == nil {
		t.FailNow()
	}
	Wait(t, p.Server.Established(), "the server's connection to be established")
	return p
}

// Register makes a region of MemorySize bytes that the test's clean-up closes.
func Register(t testing.TB, d rdma.Device, access rdma.Access) rdma.Region {
	t.Helper()
	r, err := d.Register(MemorySize, access)
	Must(t, err)
	t.Cleanup(func() { Close(t, r) })
	return r
}

// SGE names a part of a region.
func SGE(r rdma.Region, offset, length int) []rdma.SGE {
	return []rdma.SGE{{Region: r, Offset: offset, Length: length}}
}

// Poll waits for one completion.
func Poll(t testing.TB, c rdma.Conn) rdma.Completion {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	var done [1]rdma.Completion
	if _, err := c.Poll(ctx, done[:]); err != nil {
		t.Fatalf("poll: %v", err)
	}
	return done[0]
}

// Wait waits for a channel to be closed.
func Wait(t testing.TB, c <-chan struct{}, what string) {
	t.Helper()
	timer := time.NewTimer(Patience)
	defer timer.Stop()
	select {
	case <-c:
	case <-timer.C:
		t.Fatalf("waited in vain for %s", what)
	}
}

// Must ends the test on an error.
func Must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Close closes something and fails the test if it refuses.
func Close(t testing.TB, c io.Closer) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

// Fill fills memory with bytes that differ by place and seed.
func Fill(b []byte, seed int) {
	for i := range b {
		b[i] = byte(i*7 + i>>8 + seed)
	}
}

// unreachablePort gives an address of a device where nobody listens.
func unreachablePort(t testing.TB, d rdma.Device) netip.AddrPort {
	t.Helper()
	l, err := d.Listen(0)
	Must(t, err)
	addr := l.Addr()
	Close(t, l)
	return addr
}
