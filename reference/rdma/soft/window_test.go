// SPDX-License-Identifier: Apache-2.0

package soft_test

import (
	"testing"
	"testing/synctest"

	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/rdma/soft"
)

// bindOnServer opens the first page of the server's memory with a window, on this connection.
func bindOnServer(t *testing.T, p *pair, w rdma.Window) (key uint32) {
	t.Helper()
	must(t, p.server.PostSend(rdma.SendWR{
		ID: 100, Op: rdma.OpBind, Window: w, Signaled: true,
		Bind: rdma.Bind{Region: p.memB, Offset: 0, Length: 4096, Access: rdma.RemoteWrite},
	}))
	if done := one(t, p.server); done.Status != rdma.StatusSuccess || done.ID != 100 {
		t.Fatalf("completion of the bind: %+v", done)
	}
	return w.Key()
}

// writeByKey writes a byte to the first page of the server's memory, on this connection, and gives how that ended.
func writeByKey(t *testing.T, p *pair, key uint32) rdma.Status {
	t.Helper()
	must(t, p.client.PostSend(rdma.SendWR{
		Op: rdma.OpWrite, Local: part(p.memA, 0, 1), RemoteAddr: p.memB.Addr(), RemoteKey: key, Signaled: true,
	}))
	return one(t, p.client).Status
}

func newWindow(t *testing.T, d *soft.Device, shared bool) rdma.Window {
	t.Helper()
	open := d.NewWindow
	if shared {
		open = d.NewSharedWindow
	}
	w, err := open()
	must(t, err)
	t.Cleanup(func() { closeAll(t, w) })
	return w
}

// TestAPeerTakesBackItsOwnKey by SEND with invalidate: it opens nothing any more. A peer that ignores the rule keeps it.
func TestAPeerTakesBackItsOwnKey(t *testing.T) {
	for _, tt := range []struct {
		name  string
		rules soft.Rules
		after rdma.Status // of a WRITE by the key
	}{
		{"conforming", soft.Rules{}, rdma.StatusRemoteAccess},
		{"KeepInvalidatedKey", soft.Rules{KeepInvalidatedKey: true}, rdma.StatusSuccess},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := connected(t, soft.Config{}, soft.Config{Rules: tt.rules})
				key := bindOnServer(t, p, newWindow(t, p.b, false))
				must(t, p.client.PostSend(rdma.SendWR{Op: rdma.OpSendInv, RemoteKey: key, Signaled: true}))
				if sent := one(t, p.client); sent.Status != rdma.StatusSuccess {
					t.Errorf("the SEND: %+v", sent)
				}
				if received := one(t, p.server); received.Status != rdma.StatusSuccess || received.InvKey != key {
					t.Errorf("the receive: %+v, must name key %#x", received, key)
				}
				if status := writeByKey(t, p, key); status != tt.after {
					t.Errorf("writing by the key afterwards: %s, must be %s", status, tt.after)
				}
			})
		})
	}
}

// TestAPeerTakesBackNoOtherKey lets a peer try it with keys that are not its own: the connection breaks, and the key goes
// on working for those whose it is, until the owner takes it back.
func TestAPeerTakesBackNoOtherKey(t *testing.T) {
	for _, tt := range []struct {
		name    string
		shared  bool // the window belongs to no connection
		foreign bool // the window was bound on another connection
	}{
		{name: "of another connection", foreign: true},
		{name: "shared, bound on its own connection", shared: true},
		{name: "shared, bound on another connection", shared: true, foreign: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := connected(t, soft.Config{}, soft.Config{})
				peer := p.beside(t)
				w, binder := newWindow(t, p.b, tt.shared), peer
				if tt.foreign {
					binder = p
				}
				key := bindOnServer(t, binder, w)
				must(t, peer.client.PostSend(rdma.SendWR{Op: rdma.OpSendInv, RemoteKey: key, Signaled: true}))
				if sent := one(t, peer.client); sent.Status != rdma.StatusRemoteOperation {
					t.Errorf("the SEND: %+v", sent)
				}
				if received := one(t, peer.server); received.Status != rdma.StatusLocalQPOperation {
					t.Errorf("the receive: %+v", received)
				}
				<-peer.server.Lost()
				closeAll(t, peer.client, peer.server)
				if status := writeByKey(t, p, key); status != rdma.StatusSuccess {
					t.Errorf("writing by the key afterwards: %s", status)
				}
				must(t, p.server.PostSend(rdma.SendWR{ID: 101, Op: rdma.OpInvalidate, Window: w, Signaled: true}))
				if done := one(t, p.server); done.Status != rdma.StatusSuccess || done.ID != 101 {
					t.Errorf("the owner takes the key back: %+v", done)
				}
			})
		})
	}
}
