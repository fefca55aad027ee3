// SPDX-License-Identifier: Apache-2.0

package script_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/script"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/rdma/soft"
)

// requester asks a scripted server for connection 0 of one and the same build, again and again.
type requester struct {
	t      *testing.T
	device *soft.Device
	server *script.Server
	conns  []rdma.Conn
}

func newRequester(t *testing.T) *requester {
	t.Helper()
	hub := soft.NewHub()
	k := &requester{t: t, device: open(t, hub, "10.0.0.1")}
	var err error
	k.server, err = script.Listen(script.Script{}, open(t, hub, "10.0.0.2"))
	must(t, err)
	return k
}

func open(t *testing.T, hub *soft.Hub, addr string) *soft.Device {
	t.Helper()
	link, err := hub.Attach(netip.MustParseAddr(addr), 0)
	must(t, err)
	d, err := soft.Open(link, soft.Config{TrustLink: true})
	must(t, err)
	t.Cleanup(func() { must(t, d.Close()) }) // fails when something of it is still in use
	return d
}

func (k *requester) ask() {
	k.t.Helper()
	request, err := ibtrs.ConnRequest{
		Magic: ibtrs.Magic, Version: ibtrs.Version, ConnectionCount: 2, Incarnation: 1, FirstConnection: ibtrs.FirstConnection,
	}.AppendBinary(nil)
	must(k.t, err)
	server := netip.AddrPortFrom(k.server.Addrs()[0], ibtrs.DefaultPort)
	c, err := k.device.Dial(k.t.Context(), server, rdma.ConnConfig{SendQueue: 8, RecvQueue: 8}, request)
	must(k.t, err)
	k.conns = append(k.conns, c)
}

func (k *requester) leave() {
	k.t.Helper()
	for _, c := range k.conns {
		must(k.t, c.Close())
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestConnectionAskedForTwice has a client ask for a connection that it has. Both are taken down in the end.
func TestConnectionAskedForTwice(t *testing.T) {
	k := newRequester(t)
	k.ask()
	k.ask()
	k.leave()
	if err := k.server.Close(); err == nil || !strings.Contains(err.Error(), "connection 0 of a path was asked for twice") {
		t.Errorf("the server closes with %v", err)
	}
}

// TestRequestAfterHangup has a client come back that does not count its builds, before the server knows that it had left.
func TestRequestAfterHangup(t *testing.T) {
	k := newRequester(t)
	k.ask()
	k.server.Do(func() { k.server.Paths[0].HungUp = true })
	k.ask()
	if builds := len(k.server.Paths); builds != 2 {
		t.Errorf("the server has seen %d builds of a path, must be 2", builds)
	}
	k.leave()
	must(t, k.server.Close())
}
