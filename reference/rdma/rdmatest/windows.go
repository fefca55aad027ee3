// SPDX-License-Identifier: Apache-2.0

package rdmatest

import (
	"errors"
	"testing"

	"github.com/ibnbd/ibnbd/reference/rdma"
)

var windowTests = []test{
	{"a bound window can be used, by the key that was told before", testWindowUse},
	{"each bind gives another key", testWindowKeys},
	{"an invalidated key opens nothing", testWindowInvalidated},
	{"the peer takes a key back", testWindowTakenBack},
	{"a key opens its part alone", testWindowBounds},
	{"a key has its own rights", testWindowRights},
	{"a bound window cannot be bound again", testWindowBoundTwice},
	{"a shared window that is bound again has its new key alone", testSharedWindowBoundAgain},
	{"a peer cannot take back the key of a region", testRegionTakenBack},
	{"a region with a window refuses to close", testWindowHoldsRegion},
}

// newWindow makes a window that the test's clean-up closes.
func newWindow(t testing.TB, d rdma.Device) rdma.Window {
	t.Helper()
	w, err := d.NewWindow()
	Must(t, err)
	t.Cleanup(func() { Close(t, w) })
	return w
}

// bind makes the server open a part of its memory.
func bind(w rdma.Window, p *Pair, access rdma.Access) rdma.SendWR {
	return rdma.SendWR{
		ID: 100, Op: rdma.OpBind, Window: w, Signaled: true,
		Bind: rdma.Bind{Region: p.ServerMem, Offset: 4096, Length: 8192, Access: access},
	}
}

// writeTo writes to the server's memory with a key.
func writeTo(p *Pair, key uint32, offset, length int) rdma.SendWR {
	return rdma.SendWR{
		ID: 200, Op: rdma.OpWrite, Local: SGE(p.ClientMem, 0, length), RemoteAddr: p.ServerMem.Addr() + uint64(offset), RemoteKey: key, Signaled: true,
	}
}

// bound makes a pair whose server has bound a window with these rights.
func bound(t *testing.T, client, server rdma.Device, access rdma.Access) (*Pair, rdma.Window) {
	t.Helper()
	p := Connect(t, client, server, Config())
	w := newWindow(t, server)
	Must(t, p.Server.PostSend(bind(w, p, access)))
	expect(t, p.Server, rdma.Completion{ID: 100, Op: rdma.OpBind})
	return p, w
}

func testWindowUse(t *testing.T, client, server rdma.Device) {
	p := Connect(t, client, server, Config())
	w := newWindow(t, server)
	if w.Key() != 0 {
		t.Errorf("key of a window before its first bind: %#x", w.Key())
	}
	key := w.NextKey()
	Must(t, p.Client.PostRecv(rdma.RecvWR{}))
	Must(t, p.Server.PostSend(bind(w, p, rdma.RemoteWrite|rdma.RemoteRead), rdma.SendWR{Op: rdma.OpSend, Signaled: true}))
	if w.Key() != key {
		t.Errorf("key after the bind: %#x, was told to be %#x", w.Key(), key)
	}
	expect(t, p.Server, rdma.Completion{ID: 100, Op: rdma.OpBind})
	expect(t, p.Server, rdma.Completion{Op: rdma.OpSend})
	expect(t, p.Client, rdma.Completion{Recv: true, Op: rdma.OpSend})
	Fill(p.ClientMem.Bytes(), 1)
	Must(t, p.Client.PostSend(writeTo(p, key, 4096, 8192)))
	expect(t, p.Client, rdma.Completion{ID: 200, Op: rdma.OpWrite})
	same(t, "what was written", p.ServerMem.Bytes()[4096:4096+8192], p.ClientMem.Bytes()[:8192])
}

func testWindowKeys(t *testing.T, client, server rdma.Device) {
	p := Connect(t, client, server, Config())
	w := newWindow(t, server)
	seen := make(map[uint32]bool)
	for range 20 {
		Must(t, p.Server.PostSend(bind(w, p, rdma.RemoteWrite), rdma.SendWR{ID: 101, Op: rdma.OpInvalidate, Window: w, Signaled: true}))
		expect(t, p.Server, rdma.Completion{ID: 100, Op: rdma.OpBind})
		expect(t, p.Server, rdma.Completion{ID: 101, Op: rdma.OpInvalidate})
		if seen[w.Key()] || w.Key() == w.NextKey() {
			t.Errorf("key %#x comes again", w.Key())
		}
		seen[w.Key()] = true
	}
}

// refusedAccess expects that the client's work is refused.
func refusedAccess(t *testing.T, p *Pair) {
	t.Helper()
	if done := Poll(t, p.Client); done.Status != rdma.StatusRemoteAccess {
		t.Errorf("completion: %+v, must be a remote access error", done)
	}
	Wait(t, p.Client.Lost(), "the connection to be lost")
}

func testWindowInvalidated(t *testing.T, client, server rdma.Device) {
	p, w := bound(t, client, server, rdma.RemoteWrite)
	Must(t, p.Server.PostSend(rdma.SendWR{ID: 101, Op: rdma.OpInvalidate, Window: w, Signaled: true}))
	expect(t, p.Server, rdma.Completion{ID: 101, Op: rdma.OpInvalidate})
	Must(t, p.Client.PostSend(writeTo(p, w.Key(), 4096, 1)))
	refusedAccess(t, p)
}

func testWindowTakenBack(t *testing.T, client, server rdma.Device) {
	p, w := bound(t, client, server, rdma.RemoteWrite)
	key := w.Key()
	Must(t, p.Server.PostRecv(rdma.RecvWR{ID: 1, Local: SGE(p.ServerMem, 0, 64)}))
	Must(t, p.Client.PostSend(
		writeTo(p, key, 4096, 5000),
		rdma.SendWR{ID: 201, Op: rdma.OpSendInv, Local: SGE(p.ClientMem, 0, 10), RemoteKey: key, Signaled: true},
	))
	expect(t, p.Client, rdma.Completion{ID: 200, Op: rdma.OpWrite})
	expect(t, p.Client, rdma.Completion{ID: 201, Op: rdma.OpSendInv})
	expect(t, p.Server, rdma.Completion{ID: 1, Recv: true, Op: rdma.OpSendInv, Length: 10, InvKey: key})
	Must(t, p.Server.PostSend(bind(w, p, rdma.RemoteWrite)))
	expect(t, p.Server, rdma.Completion{ID: 100, Op: rdma.OpBind})
	Must(t, p.Client.PostSend(writeTo(p, w.Key(), 4096, 1)))
	expect(t, p.Client, rdma.Completion{ID: 200, Op: rdma.OpWrite})
	Must(t, p.Client.PostSend(writeTo(p, key, 4096, 1)))
	refusedAccess(t, p)
}

func testWindowBounds(t *testing.T, client, server rdma.Device) {
	p, w := bound(t, client, server, rdma.RemoteWrite)
	Must(t, p.Client.PostSend(writeTo(p, w.Key(), 4096+8191, 1)))
	expect(t, p.Client, rdma.Completion{ID: 200, Op: rdma.OpWrite})
	Must(t, p.Client.PostSend(writeTo(p, w.Key(), 4096+8191, 2)))
	refusedAccess(t, p)
}

func testWindowRights(t *testing.T, client, server rdma.Device) {
	p, w := bound(t, client, server, rdma.RemoteRead)
	Must(t, p.Client.PostSend(writeTo(p, w.Key(), 4096, 1)))
	refusedAccess(t, p)
}

func testWindowBoundTwice(t *testing.T, client, server rdma.Device) {
	p, w := bound(t, client, server, rdma.RemoteWrite)
	Must(t, p.Server.PostSend(bind(w, p, rdma.RemoteWrite)))
	if done := Poll(t, p.Server); done.Status != rdma.StatusBindError || done.Op != rdma.OpBind {
		t.Errorf("completion of a second bind: %+v, must be a bind error", done)
	}
	Wait(t, p.Server.Lost(), "the connection to be lost")
}

func testSharedWindowBoundAgain(t *testing.T, client, server rdma.Device) {
	p := Connect(t, client, server, Config())
	w, err := server.NewSharedWindow()
	Must(t, err)
	t.Cleanup(func() { Close(t, w) })
	Must(t, p.Server.PostSend(bind(w, p, rdma.RemoteWrite)))
	expect(t, p.Server, rdma.Completion{ID: 100, Op: rdma.OpBind})
	former := w.Key()
	Must(t, p.Server.PostSend(bind(w, p, rdma.RemoteWrite)))
	expect(t, p.Server, rdma.Completion{ID: 100, Op: rdma.OpBind})
	Must(t, p.Client.PostSend(writeTo(p, w.Key(), 4096, 1)))
	expect(t, p.Client, rdma.Completion{ID: 200, Op: rdma.OpWrite})
	Must(t, p.Client.PostSend(writeTo(p, former, 4096, 1)))
	refusedAccess(t, p)
}

func testRegionTakenBack(t *testing.T, client, server rdma.Device) {
	p := Connect(t, client, server, Config())
	Must(t, p.Server.PostRecv(rdma.RecvWR{ID: 1}))
	Must(t, p.Client.PostSend(rdma.SendWR{Op: rdma.OpSendInv, RemoteKey: p.ServerMem.Key(), Signaled: true}))
	if done := Poll(t, p.Server); done.Status == rdma.StatusSuccess { // who does not poll may not notice
		t.Errorf("completion of the receive: %+v, must have failed", done)
	}
	Wait(t, p.Server.Lost(), "the connection to be lost")
}

func testWindowHoldsRegion(t *testing.T, client, server rdma.Device) {
	p, w := bound(t, client, server, rdma.RemoteWrite)
	if err := p.ServerMem.Close(); !errors.Is(err, rdma.ErrBusy) {
		t.Errorf("closing a region under a window: %v, must wrap ErrBusy", err)
	}
	Close(t, w)
}
