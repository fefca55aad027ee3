// SPDX-License-Identifier: Apache-2.0

package ibnbd_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/nbd"
	"github.com/ibnbd/ibnbd/reference/rdma/soft"
)

// A request is stale when its application is gone: it never takes effect after a newer one that was acknowledged (Clause
// IBNBD-FAIL-029). In these tests the first path falls silent with a request on it, the application of that goes, and another
// one uses the same blocks over the second path.

// access is a way of applications to a device.
type access struct {
	name string
	// begin starts a request of one application and gives the way to have that go. It returns when the application is gone.
	begin func(s *stale, r request) (leave func())
	// next does a request of another application, which comes later.
	next func(s *stale, r request) error
}

// request is what an application wants of a device. A read compares.
type request struct {
	op   ibnbd.Op
	data []byte
}

var accesses = []access{
	{"Go API", beginWithContext, func(s *stale, r request) error { return r.do(context.Background(), s.device) }},
	{"NBD socket", beginOnSocket, nextOnSocket},
	{"unmap by force", beginOnMapping, nextOnMapping},
}

// endings are how the silence of the first path ends: it is given up, or it is whole again before that.
var endings = map[string]func(s *stale){
	"the silent path is given up": func(s *stale) {
		s.until("the path is given up", func() bool { return s.client.Session().Paths()[0].State() != ibtrs.StateConnected })
	},
	"the silent path is whole again": func(s *stale) { s.silence.Remove() },
}

const staleSize = 4096

var (
	older = bytes.Repeat([]byte{0x01}, staleSize)
	newer = bytes.Repeat([]byte{0x02}, staleSize)
	zero  = make([]byte, staleSize)
)

func TestNoStaleRequestTakesEffectLate(t *testing.T) {
	for _, d := range accesses {
		for name, end := range endings {
			for _, c := range []struct {
				name       string
				old, newer request
				want       []byte // what the blocks hold at the end
			}{
				{"a write after a write", request{ibnbd.OpWrite, older}, request{ibnbd.OpWrite, newer}, newer},
				{"a write after zeroes", request{ibnbd.OpWrite, older}, request{ibnbd.OpWriteZeroes, zero}, zero},
				{"a write after a discard", request{ibnbd.OpWrite, older}, request{ibnbd.OpDiscard, zero}, zero},
				{"zeroes after a write", request{ibnbd.OpWriteZeroes, zero}, request{ibnbd.OpWrite, newer}, newer},
				{"a discard after a write", request{ibnbd.OpDiscard, zero}, request{ibnbd.OpWrite, newer}, newer},
				{"a write after a read", request{ibnbd.OpWrite, older}, request{ibnbd.OpRead, nil}, nil},
			} {
				t.Run(fmt.Sprintf("%s/%s/%s", d.name, name, c.name), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { newStale(t).run(d, end, c.old, c.newer, c.want) })
				})
			}
		}
	}
}

// stale is a device over two paths, of which the first falls silent.
type stale struct {
	*lab
	timers  ibtrs.Timers
	server  *ibnbd.Server
	client  *ibnbd.Client
	device  *ibnbd.Device
	socket  *pipes
	silence *soft.Injection
	running sync.WaitGroup // old requests
}

func newStale(t *testing.T) *stale {
	s := &stale{lab: newLab(t), socket: &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}}
	scfg := s.serverConfig()
	scfg.Exports = append(scfg.Exports, ibnbd.Export{Path: "other", Backend: s.memory(deviceSize, 512)})
	s.server = s.listen(scfg)
	cfg := s.clientConfig("blya", 0, 1)
	s.timers = cfg.Transport.Timers
	s.client = s.connect(cfg)
	s.device = s.mapDevice(s.client, "ram0", ibnbd.ReadWrite)
	s.serve()
	if _, err := s.device.WriteAt(bytes.Repeat([]byte{0xff}, staleSize), 0); err != nil {
		t.Fatal(err)
	}
	return s
}

// run has the old request stuck, its application go, another one come, and the silence end.
func (s *stale) run(d access, end func(*stale), old, next request, want []byte) {
	s.t.Helper()
	s.hush()
	leave := d.begin(s, old)
	synctest.Wait()
	if s.silence.Hits() == 0 {
		s.t.Fatal("the old request did not go over the silent path")
	}
	leave()
	done := make(chan error, 1)
	begin := time.Now()
	if next.op == ibnbd.OpRead { // whatever it finds, the blocks hold from then on
		next.data = make([]byte, staleSize)
		want = next.data
	}
	go func() { done <- d.next(s, next) }()
	time.Sleep(time.Second)
	end(s)
	if err := <-done; err != nil {
		s.t.Errorf("the newer request: %v", err)
	}
	if took, bound := time.Since(begin), s.timers.StallWithPath(); took > bound.Limit {
		s.t.Errorf("the newer request took %s, bound %s", took, bound)
	}
	s.running.Wait()
	s.heal()
	expect(s.t.(*testing.T), s.device, 0, want)
}

func (s *stale) until(what string, is func() bool) {
	s.t.Helper()
	for start := time.Now(); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Since(start) > s.timers.Reconnect(rails).Limit {
			s.t.Fatalf("not before %s: %s", time.Since(start), what)
		}
	}
}

// do does a request on a device.
func (r request) do(ctx context.Context, d *ibnbd.Device) error {
	var err error
	switch r.op {
	case ibnbd.OpRead:
		_, err = d.ReadAtContext(ctx, r.data, 0)
	case ibnbd.OpWrite:
		_, err = d.WriteAtContext(ctx, r.data, 0, ibnbd.FlagFUA)
	case ibnbd.OpDiscard:
		err = d.Discard(ctx, 0, staleSize)
	case ibnbd.OpWriteZeroes:
		err = d.WriteZeroes(ctx, 0, staleSize, 0)
	}
	return err
}

// beginWithContext is an application of the Go API, which goes when its context ends.
func beginWithContext(s *stale, r request) (leave func()) {
	ctx, cancel := context.WithCancel(context.Background())
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		if err := r.do(ctx, s.device); !errors.Is(err, context.Canceled) {
			s.t.Errorf("a request whose context has ended: %v, want that it was canceled", err)
		}
	}()
	return func() { cancel(); <-gone }
}

// beginOnMapping is an application whose device is unmapped by force. Its request ends by itself.
func beginOnMapping(s *stale, r request) (leave func()) {
	device := s.device
	s.running.Go(func() {
		if err := r.do(context.Background(), device); err == nil {
			s.t.Error("a request was sent again after its device was unmapped by force")
		}
	})
	return func() {
		if err := device.Unmap(context.Background(), true); err != nil {
			s.t.Error(err)
		}
	}
}

// nextOnMapping maps the device again.
func nextOnMapping(s *stale, r request) (err error) {
	if s.device, err = s.client.Map(context.Background(), "ram0", ibnbd.ReadWrite, ibnbd.BlockIO); err != nil {
		return err
	}
	return r.do(context.Background(), s.device)
}

// pipes is a listener whose connections are pipes, which fake time goes on over.
type pipes struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// serve serves the device through NBD.
func (s *stale) serve() {
	server := &nbd.Server{}
	server.Add("ram0", ibnbd.NBDDisk(s.device))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, s.socket) }()
	s.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			s.t.Error(err)
		}
	})
}

// dial connects as a client of NBD.
func (s *stale) dial() net.Conn {
	ours, theirs := net.Pipe()
	s.socket.conns <- theirs
	const magic, option, exportName = 0x4e42444d41474943, 0x49484156454f5054, 1
	be := binary.BigEndian
	hello := make([]byte, 18)
	s.check(io.ReadFull(ours, hello))
	if be.Uint64(hello) != magic {
		s.t.Errorf("a server of NBD says % x", hello)
	}
	choice := be.AppendUint32(nil, 3)
	choice = be.AppendUint64(choice, option)
	choice = be.AppendUint32(choice, exportName)
	choice = append(be.AppendUint32(choice, 4), "ram0"...)
	s.check(ours.Write(choice))
	s.check(io.ReadFull(ours, make([]byte, 10)))
	return ours
}

func (s *stale) check(_ int, err error) {
	if err != nil {
		s.t.Error(err)
	}
}

// send sends a request, with FUA.
func (s *stale) send(conn net.Conn, r request) {
	const magic, fua, write, trim, writeZeroes = 0x25609513, 1, 1, 4, 6
	be := binary.BigEndian
	b := be.AppendUint32(nil, magic)
	b = be.AppendUint16(b, fua)
	b = be.AppendUint16(b, map[ibnbd.Op]uint16{ibnbd.OpWrite: write, ibnbd.OpDiscard: trim, ibnbd.OpWriteZeroes: writeZeroes}[r.op])
	b = be.AppendUint64(b, 7)
	b = be.AppendUint64(b, 0)
	b = be.AppendUint32(b, staleSize)
	if r.op == ibnbd.OpWrite {
		b = append(b, r.data...)
	}
	s.check(conn.Write(b))
}

// beginOnSocket is a client of NBD, which goes when it closes its connection.
func beginOnSocket(s *stale, r request) (leave func()) {
	conn := s.dial()
	s.send(conn, r)
	return func() { s.check(0, conn.Close()) }
}

// nextOnSocket is a client of NBD that connects.
func nextOnSocket(s *stale, r request) error {
	conn := s.dial()
	defer conn.Close()
	s.send(conn, r)
	reply := make([]byte, 16)
	if _, err := io.ReadFull(conn, reply); err != nil {
		return err
	}
	if errno := binary.BigEndian.Uint32(reply[4:]); errno != 0 {
		return fmt.Errorf("error %d", errno)
	}
	if r.op == ibnbd.OpRead {
		_, err := io.ReadFull(conn, r.data)
		return err
	}
	return nil
}
