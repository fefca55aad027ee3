// SPDX-License-Identifier: Apache-2.0

package rdmatest

import (
	"errors"
	"io"
	"testing"

	"github.com/ibnbd/ibnbd/reference/rdma"
)

var closeTests = []test{
	{"a device refuses to close before its children", testCloseOrder},
	{"closing twice is fine", testCloseTwice},
	{"closing a connection tells the peer", testCloseTells},
	{"Poll and Post after Close", testUseAfterClose},
	{"Poll ends with Close", testCloseEndsPoll},
	{"a closed listener rejects what waits", testListenerRejects},
}

func testCloseOrder(t *testing.T, client, _ rdma.Device) {
	makers := map[string]func() (io.Closer, error){
		"region":   func() (io.Closer, error) { return client.Register(100, rdma.LocalWrite) },
		"window":   func() (io.Closer, error) { return client.NewWindow() },
		"listener": func() (io.Closer, error) { return client.Listen(0) },
	}
	for name, make := range makers {
		c, err := make()
		Must(t, err)
		if err := client.Close(); !errors.Is(err, rdma.ErrBusy) {
			t.Errorf("closing a device with a %s: %v, must wrap ErrBusy", name, err)
		}
		Close(t, c)
	}
}

func testCloseTwice(t *testing.T, client, server rdma.Device) {
	p := Connect(t, client, server, Config())
	Close(t, p.Client)
	Close(t, p.Client)
	l, err := server.Listen(0)
	Must(t, err)
	Close(t, l)
	Close(t, l)
	r, err := server.Register(1, rdma.LocalWrite)
	Must(t, err)
	Close(t, r)
	Close(t, r)
}

func testCloseTells(t *testing.T, client, server rdma.Device) {
	p := Connect(t, client, server, Config())
	Close(t, p.Server)
	Wait(t, p.Client.Lost(), "the peer to notice")
	if err := p.Client.Err(); !errors.Is(err, rdma.ErrDisconnected) {
		t.Errorf("error of the peer: %v, must wrap ErrDisconnected", err)
	}
}

func testUseAfterClose(t *testing.T, client, server rdma.Device) {
	p := Connect(t, client, server, Config())
	Must(t, p.Client.PostRecv(rdma.RecvWR{}))
	Close(t, p.Client)
	if _, err := p.Client.Poll(patient(t), make([]rdma.Completion, 4)); !errors.Is(err, rdma.ErrClosed) {
		t.Errorf("Poll after Close: %v, must wrap ErrClosed", err)
	}
	if err := p.Client.PostSend(rdma.SendWR{Op: rdma.OpSend}); !errors.Is(err, rdma.ErrClosed) {
		t.Errorf("PostSend after Close: %v, must wrap ErrClosed", err)
	}
	if err := p.Client.PostRecv(rdma.RecvWR{}); !errors.Is(err, rdma.ErrClosed) {
		t.Errorf("PostRecv after Close: %v, must wrap ErrClosed", err)
	}
}

func testCloseEndsPoll(t *testing.T, client, server rdma.Device) {
	p := Connect(t, client, server, Config())
	ctx, ended := patient(t), make(chan error, 1)
	go func() {
		_, err := p.Client.Poll(ctx, make([]rdma.Completion, 1))
		ended <- err
	}()
	Close(t, p.Client)
	if err := <-ended; !errors.Is(err, rdma.ErrClosed) {
		t.Errorf("Poll that a Close ended: %v, must wrap ErrClosed", err)
	}
}

func testListenerRejects(t *testing.T, client, server rdma.Device) {
	l, err := server.Listen(0)
	Must(t, err)
	const dials = 2
	ctx, dialled := patient(t), make(chan error, dials)
	for range dials {
		go func() {
			_, err := client.Dial(ctx, l.Addr(), Config(), nil)
			dialled <- err
		}()
	}
	first, err := l.Next(ctx)
	Must(t, err)
	Close(t, l)
	Must(t, first.Reject([]byte("closing")))
	for range dials {
		var reject *rdma.RejectError
		if err := <-dialled; !errors.As(err, &reject) {
			t.Errorf("dial: %v, must be a RejectError", err)
		}
	}
}
