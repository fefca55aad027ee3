// SPDX-License-Identifier: Apache-2.0

package rdmatest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/ibnbd/ibnbd/reference/rdma"
)

var connectionTests = []test{
	{"private data arrives in full length on both sides", testPrivateData},
	{"private data that is too long is refused", testPrivateDataTooLong},
	{"a reject carries its private data", testReject},
	{"nobody listens", testNobodyListens},
	{"a dial ends with its context", testDialCancelled},
	{"Next ends with its context and with the listener", testNextEnds},
	{"Poll ends with its context", testPollCancelled},
	{"a port can have one listener", testPortTaken},
	{"a request is answered once", testAnsweredOnce},
	{"receives posted with Dial and Accept are there at once", testEarlyReceives},
	{"disconnecting tells the peer", testDisconnect},
	{"Lost is closed before Poll tells the error", testLostFirst},
	{"many connections at the same time", testManyConnections},
}

// listen makes a listener that the test's clean-up closes.
func listen(t testing.TB, d rdma.Device) rdma.Listener {
	t.Helper()
	l, err := d.Listen(0)
	Must(t, err)
	t.Cleanup(func() { Close(t, l) })
	return l
}

// serve answers the next request of a listener in a goroutine and gives what became of it.
func serve(l rdma.Listener, answer func(context.Context, rdma.Request) error) <-chan error {
	done := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), Patience)
		defer cancel()
		r, err := l.Next(ctx)
		if err == nil {
			err = answer(ctx, r)
		}
		done <- err
	}()
	return done
}

// patient is a context that ends the test when it gets nowhere.
func patient(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	t.Cleanup(cancel)
	return ctx
}

func testPrivateData(t *testing.T, client, server rdma.Device) {
	request, reply := make([]byte, rdma.MaxRequestData), make([]byte, rdma.MaxReplyData)
	Fill(request, 1)
	Fill(reply, 2)
	l := listen(t, server)
	var accepted rdma.Conn
	served := serve(l, func(ctx context.Context, r rdma.Request) (err error) {
		if !bytes.Equal(r.PrivateData(), request) {
			t.Errorf("private data of the request: %x", r.PrivateData())
		}
		if r.RemoteAddr().Addr() != client.Addr() || r.LocalAddr() != l.Addr() {
			t.Errorf("request from %s to %s", r.RemoteAddr(), r.LocalAddr())
		}
		accepted, err = r.Accept(ctx, Config(), reply)
		return err
	})
	c, err := client.Dial(patient(t), l.Addr(), Config(), request)
	Must(t, err)
	defer Close(t, c)
	Must(t, <-served)
	defer Close(t, accepted)
	if !bytes.Equal(c.PeerData(), reply) {
		t.Errorf("private data of the reply: %x", c.PeerData())
	}
	if !bytes.Equal(accepted.PeerData(), request) {
		t.Errorf("private data of the request, at the connection: %x", accepted.PeerData())
	}
	if c.RemoteAddr() != l.Addr() || c.LocalAddr() != accepted.RemoteAddr() || accepted.LocalAddr() != l.Addr() {
		t.Errorf("addresses: %s to %s, and %s from %s", c.LocalAddr(), c.RemoteAddr(), accepted.LocalAddr(), accepted.RemoteAddr())
	}
}

func testPrivateDataTooLong(t *testing.T, client, server rdma.Device) {
	l := listen(t, server)
	var limit *rdma.LimitError
	_, err := client.Dial(patient(t), l.Addr(), Config(), make([]byte, rdma.MaxRequestData+1))
	if !errors.As(err, &limit) || limit.Max != rdma.MaxRequestData {
		t.Errorf("dial with a byte too much: %v, must be a LimitError", err)
	}
	served := serve(l, func(_ context.Context, r rdma.Request) error {
		if err := r.Reject(make([]byte, rdma.MaxRejectData+1)); !errors.As(err, &limit) || limit.Max != rdma.MaxRejectData {
			t.Errorf("reject with a byte too much: %v, must be a LimitError", err)
		}
		return r.Reject(nil)
	})
	if c, err := client.Dial(patient(t), l.Addr(), Config(), nil); err == nil {
		t.Error("a rejected connection stands")
		Close(t, c)
	}
	Must(t, <-served)
}

func testReject(t *testing.T, client, server rdma.Device) {
	why := make([]byte, rdma.MaxRejectData)
	Fill(why, 3)
	l := listen(t, server)
	served := serve(l, func(_ context.Context, r rdma.Request) error { return r.Reject(why) })
	_, err := client.Dial(patient(t), l.Addr(), Config(), nil)
	Must(t, <-served)
	var reject *rdma.RejectError
	if !errors.As(err, &reject) {
		t.Fatalf("dial: %v, must be a RejectError", err)
	}
	if reject.Reason != rdma.ReasonConsumer || !bytes.Equal(reject.PrivateData, why) {
		t.Errorf("reject with reason %d and private data %x", reject.Reason, reject.PrivateData)
	}
}

func testNobodyListens(t *testing.T, client, server rdma.Device) {
	_, err := client.Dial(patient(t), unreachablePort(t, server), Config(), nil)
	var reject *rdma.RejectError
	if !errors.As(err, &reject) || reject.Reason == rdma.ReasonConsumer {
		t.Errorf("dial: %v, must be a RejectError, and not by the application", err)
	}
}

func testDialCancelled(t *testing.T, client, server rdma.Device) {
	l := listen(t, server) // nobody calls Next
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := client.Dial(ctx, l.Addr(), Config(), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("dial with a context that is over: %v", err)
	}
	ctx, cancel = context.WithCancel(context.Background())
	requested := make(chan error, 1)
	go func() {
		_, err := client.Dial(ctx, l.Addr(), Config(), nil)
		requested <- err
	}()
	r, err := l.Next(patient(t))
	Must(t, err)
	cancel()
	if err := <-requested; !errors.Is(err, context.Canceled) {
		t.Errorf("dial whose context ended meanwhile: %v", err)
	}
	if err := r.Reject(nil); err != nil && !errors.Is(err, rdma.ErrDisconnected) {
		t.Errorf("reject of a request that its peer gave up: %v", err)
	}
}

func testNextEnds(t *testing.T, _, server rdma.Device) {
	l, err := server.Listen(0)
	Must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := l.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Next with a context that is over: %v", err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := l.Next(context.Background())
		ended <- err
	}()
	Close(t, l)
	if err := <-ended; !errors.Is(err, rdma.ErrClosed) {
		t.Errorf("Next of a listener that is closed: %v", err)
	}
}

func testPollCancelled(t *testing.T, client, server rdma.Device) {
	p := Connect(t, client, server, Config())
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		var done [1]rdma.Completion
		_, err := p.Client.Poll(ctx, done[:])
		ended <- err
	}()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Poll whose context ended: %v", err)
	}
}

func testPortTaken(t *testing.T, _, server rdma.Device) {
	l := listen(t, server)
	second, err := server.Listen(l.Addr().Port())
	if err == nil {
		Close(t, second)
		t.Error("a second listener on the same port")
	}
}

func testAnsweredOnce(t *testing.T, client, server rdma.Device) {
	l := listen(t, server)
	served := serve(l, func(ctx context.Context, r rdma.Request) error {
		if err := r.Reject(nil); err != nil {
			return err
		}
		if err := r.Reject(nil); err == nil {
			t.Error("a request was rejected twice")
		}
		if c, err := r.Accept(ctx, Config(), nil); err == nil {
			t.Error("a rejected request was accepted")
			return c.Close()
		}
		return nil
	})
	if c, err := client.Dial(patient(t), l.Addr(), Config(), nil); err == nil {
		t.Error("a rejected connection stands")
		Close(t, c)
	}
	Must(t, <-served)
}

func testEarlyReceives(t *testing.T, client, server rdma.Device) {
	mem, other := Register(t, client, AllRights), Register(t, server, AllRights)
	l := listen(t, server)
	cfg := Config()
	cfg.RNRRetryCount = 0 // a receive that is missing ends the connection
	var accepted rdma.Conn
	served := serve(l, func(ctx context.Context, r rdma.Request) (err error) {
		accepted, err = r.Accept(ctx, cfg, nil, rdma.RecvWR{ID: 7, Local: SGE(other, 0, 64)})
		return err
	})
	c, err := client.Dial(patient(t), l.Addr(), cfg, nil, rdma.RecvWR{ID: 8, Local: SGE(mem, 0, 64)})
	Must(t, err)
	defer Close(t, c)
	Must(t, c.PostSend(rdma.SendWR{Op: rdma.OpSend, Local: SGE(mem, 100, 10), Signaled: true}))
	Must(t, <-served)
	defer Close(t, accepted)
	Wait(t, accepted.Established(), "the connection to be established")
	Must(t, accepted.PostSend(rdma.SendWR{Op: rdma.OpSend, Local: SGE(other, 100, 20), Signaled: true}))
	for _, side := range []struct {
		c          rdma.Conn
		id, length int
	}{{accepted, 7, 10}, {c, 8, 20}} {
		for range 2 {
			done := Poll(t, side.c)
			Must(t, done.Err())
			if done.Recv && (done.ID != uint64(side.id) || done.Length != side.length) {
				t.Errorf("receive %d of %d bytes, must be %d of %d", done.ID, done.Length, side.id, side.length)
			}
		}
	}
}

func testDisconnect(t *testing.T, client, server rdma.Device) {
	p := Connect(t, client, server, Config())
	if p.Client.Err() != nil || p.Server.Err() != nil {
		t.Errorf("errors of a living connection: %v and %v", p.Client.Err(), p.Server.Err())
	}
	Must(t, p.Server.PostRecv(rdma.RecvWR{ID: 1}, rdma.RecvWR{ID: 2}))
	Must(t, p.Client.Disconnect(patient(t)))
	Wait(t, p.Server.Lost(), "the peer to notice")
	Wait(t, p.Client.Lost(), "the disconnected side to notice")
	if err := p.Server.Err(); !errors.Is(err, rdma.ErrDisconnected) {
		t.Errorf("error of the peer: %v, must wrap ErrDisconnected", err)
	}
	for id := uint64(1); id <= 2; id++ {
		if done := Poll(t, p.Server); done.ID != id || done.Status != rdma.StatusFlushed || !done.Recv {
			t.Errorf("completion after the disconnect: %+v, must be receive %d, flushed", done, id)
		}
	}
	if _, err := p.Server.Poll(patient(t), make([]rdma.Completion, 1)); !errors.Is(err, rdma.ErrDisconnected) {
		t.Errorf("Poll after the last completion: %v, must wrap ErrDisconnected", err)
	}
	if err := p.Server.PostSend(rdma.SendWR{Op: rdma.OpSend}); err == nil {
		t.Error("work was posted to a lost connection")
	}
}

// testLostFirst polls while connections end: who is told so by Poll must find that Lost says it too.
func testLostFirst(t *testing.T, client, server rdma.Device) {
	const connections = 200 // the moment between the two is short
	for i := range connections {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			p := Connect(t, client, server, Config())
			inTime := make(chan bool, 1)
			go func() { inTime <- lostFirst(p.Server) }()
			Must(t, p.Client.Disconnect(patient(t)))
			if !<-inTime {
				t.Error("Poll has given the error of a connection before Lost was closed")
			}
		})
	}
}

// lostFirst looks again and again, without waiting, whether a connection has ended, and says whether Lost was closed by then.
func lostFirst(c rdma.Conn) bool {
	look, cancel := context.WithCancel(context.Background())
	cancel()
	for end := time.Now().Add(Patience); time.Now().Before(end); {
		if _, err := c.Poll(look, make([]rdma.Completion, 1)); err == nil || errors.Is(err, look.Err()) {
			continue
		}
		select {
		case <-c.Lost():
			return true
		default:
			return false
		}
	}
	return false
}

func testManyConnections(t *testing.T, client, server rdma.Device) {
	const count = 16
	l := listen(t, server)
	served := make(chan error, 1)
	go func() { served <- acceptMany(l, count) }()
	dialled := make(chan error, count)
	for range count {
		go func() { dialled <- dialOnce(client, l.Addr()) }()
	}
	for range count {
		if err := <-dialled; err != nil {
			t.Error(err)
		}
	}
	Must(t, <-served)
}

// acceptMany accepts connections and closes each when its peer has.
func acceptMany(l rdma.Listener, count int) error {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	var conns []rdma.Conn
	for range count {
		r, err := l.Next(ctx)
		if err != nil {
			return err
		}
		c, err := r.Accept(ctx, Config(), nil)
		if err != nil {
			return err
		}
		conns = append(conns, c)
	}
	var errs []error
	for _, c := range conns {
		select {
		case <-c.Lost():
		case <-ctx.Done():
			errs = append(errs, ctx.Err())
		}
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// dialOnce makes a connection and closes it.
func dialOnce(d rdma.Device, addr netip.AddrPort) error {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	c, err := d.Dial(ctx, addr, Config(), nil)
	if err != nil {
		return err
	}
	return errors.Join(c.Disconnect(ctx), c.Close())
}
