// SPDX-License-Identifier: Apache-2.0

//go:build verbs && cgo && linux

package verbs_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"testing"

	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/rdma/rdmatest"
)

// Tests between two hosts. One runs TestServe, which does for each connection what the private data of its request asks
// for, until its standard input ends; the other runs the rest.
const (
	askEcho   = "echo"   // open a region, tell where in the reply, and send back what is received
	askSilent = "silent" // post no receives
	askReject = "reject" // reject with that word
	askBind   = "bind"   // bind a window, tell its key in a message, and do it again when it has been taken back
)

// Rounds of echoes, and their size.
const (
	echoes   = 64
	echoSize = 10_000
)

// TestServe prints "serving" when it does.
func TestServe(t *testing.T) {
	if *port == 0 {
		t.Skip("needs a port: give it with -serve")
	}
	d := openClosed(t)
	l, err := d.Listen(uint16(*port))
	rdmatest.Must(t, err)
	defer rdmatest.Close(t, l)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	fmt.Println("serving")
	for {
		r, err := l.Next(ctx)
		if err != nil {
			if !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			return
		}
		t.Run("answer", func(t *testing.T) { answer(t, d, r) })
	}
}

func answer(t *testing.T, d rdma.Device, r rdma.Request) {
	ask := string(bytes.TrimRight(r.PrivateData(), "\x00"))
	if ask == askReject {
		rdmatest.Must(t, r.Reject([]byte(askReject)))
		return
	}
	mem := rdmatest.Register(t, d, rdmatest.AllRights)
	cfg, work := rdmatest.Config(), echoReceives(mem)
	if ask == askSilent {
		cfg.RNRRetryCount, cfg.MinRNRTimer, work = 1, 1, nil
	}
	reply := binary.BigEndian.AppendUint64(nil, mem.Addr())
	reply = binary.BigEndian.AppendUint32(reply, mem.Key())
	c, err := r.Accept(t.Context(), cfg, reply, work...)
	rdmatest.Must(t, err)
	defer rdmatest.Close(t, c)
	rdmatest.Wait(t, c.Established(), "the connection to be established")
	switch ask {
	case askEcho:
		echo(t, c, mem)
	case askBind:
		rebind(t, d, c, mem)
	}
	<-c.Lost()
}

// echoReceives are as many as fit, in the second half of the memory.
func echoReceives(mem rdma.Region) []rdma.RecvWR {
	work := make([]rdma.RecvWR, rdmatest.Config().RecvQueue)
	for i := range work {
		work[i] = echoReceive(mem, i)
	}
	return work
}

func echoReceive(mem rdma.Region, i int) rdma.RecvWR {
	return rdma.RecvWR{ID: uint64(i), Local: rdmatest.SGE(mem, rdmatest.MemorySize/2+i*echoSize, echoSize)}
}

// echo sends back what comes until the connection ends. It ends the test on a failure that is not the end.
func echo(t *testing.T, c rdma.Conn, mem rdma.Region) {
	done := make([]rdma.Completion, 8)
	for {
		n, err := c.Poll(context.Background(), done)
		if err != nil {
			if !errors.Is(err, rdma.ErrDisconnected) {
				t.Error(err)
			}
			return
		}
		for _, d := range done[:n] {
			if d.Recv && d.Status == rdma.StatusSuccess {
				echoOne(t, c, mem, d)
			}
		}
	}
}

func echoOne(t *testing.T, c rdma.Conn, mem rdma.Region, d rdma.Completion) {
	work := echoReceive(mem, int(d.ID))
	work.Local[0].Length = d.Length
	err := c.PostSend(rdma.SendWR{ID: d.ID, Op: rdma.OpSendImm, Local: work.Local, Imm: d.Imm + 1, Signaled: true})
	if err == nil {
		// One peer that waits for each answer does not overwrite what is being sent.
		err = c.PostRecv(echoReceive(mem, int(d.ID)))
	}
	if err != nil && c.Err() == nil {
		t.Error(err)
	}
}

// rebind lets the peer write through a window, twice.
func rebind(t *testing.T, d rdma.Device, c rdma.Conn, mem rdma.Region) {
	w, err := d.NewWindow()
	rdmatest.Must(t, err)
	t.Cleanup(func() { rdmatest.Close(t, w) })
	for range 2 {
		binary.BigEndian.PutUint32(mem.Bytes(), w.NextKey())
		rdmatest.Must(t, c.PostSend(
			rdma.SendWR{Op: rdma.OpBind, Window: w, Bind: rdma.Bind{Region: mem, Offset: 4096, Length: 4096, Access: rdma.RemoteWrite}},
			rdma.SendWR{Op: rdma.OpSend, Local: rdmatest.SGE(mem, 0, 4), Signaled: true},
		))
		wantCompletion(t, c, rdma.Completion{Op: rdma.OpSend})
		if got := rdmatest.Poll(t, c); got.Op != rdma.OpSendInv || got.InvKey != w.Key() {
			t.Errorf("completion: %+v, must be a SEND that takes back %#x", got, w.Key())
		}
	}
}

// serverHost is a connection to TestServe on the other host.
type serverHost struct {
	rdma.Conn
	mem  rdma.Region
	addr uint64 // of the server's memory
	key  uint32
}

// ask dials the other host.
func ask(t testing.TB, d rdma.Device, what string, cfg rdma.ConnConfig) (*serverHost, error) {
	t.Helper()
	if *dial == "" {
		t.Skip("needs a TestServe on another host: give its address and port with -dial")
	}
	s := &serverHost{mem: rdmatest.Register(t, d, rdmatest.AllRights)}
	ctx, cancel := context.WithTimeout(context.Background(), rdmatest.Patience)
	defer cancel()
	var err error
	s.Conn, err = d.Dial(ctx, netip.MustParseAddrPort(*dial), cfg, []byte(what), echoReceives(s.mem)...)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { rdmatest.Close(t, s.Conn) })
	s.addr, s.key = binary.BigEndian.Uint64(s.PeerData()), binary.BigEndian.Uint32(s.PeerData()[8:])
	return s, nil
}

func TestHostsEcho(t *testing.T) {
	rdmatest.NoLeaks(t)
	s, err := ask(t, openClosed(t), askEcho, rdmatest.Config())
	rdmatest.Must(t, err)
	for i := range echoes {
		rdmatest.Fill(s.mem.Bytes()[:echoSize], i)
		rdmatest.Must(t, s.PostSend(
			rdma.SendWR{Op: rdma.OpWrite, Local: rdmatest.SGE(s.mem, 0, echoSize), RemoteAddr: s.addr, RemoteKey: s.key},
			rdma.SendWR{Op: rdma.OpRead, Local: rdmatest.SGE(s.mem, 2*echoSize, echoSize), RemoteAddr: s.addr, RemoteKey: s.key},
			rdma.SendWR{ID: 1, Op: rdma.OpSendImm, Local: rdmatest.SGE(s.mem, 2*echoSize, echoSize), Imm: uint32(i), Fence: true, Signaled: true},
		))
		var back rdma.Completion
		for range 2 {
			if d := rdmatest.Poll(t, s); d.Recv {
				back = d
			} else {
				rdmatest.Must(t, d.Err())
			}
		}
		rdmatest.Must(t, back.Err())
		if back.Imm != uint32(i)+1 || back.Length != echoSize {
			t.Errorf("echo %d: %+v", i, back)
		}
		recv := echoReceive(s.mem, int(back.ID))
		if got := s.mem.Bytes()[recv.Local[0].Offset:][:echoSize]; !bytes.Equal(got, s.mem.Bytes()[:echoSize]) {
			t.Errorf("echo %d, through WRITE, READ and SEND, is not as sent", i)
		}
		rdmatest.Must(t, s.PostRecv(recv))
	}
	ctx, cancel := context.WithTimeout(context.Background(), rdmatest.Patience)
	defer cancel()
	rdmatest.Must(t, s.Disconnect(ctx))
}

func TestHostsReject(t *testing.T) {
	rdmatest.NoLeaks(t)
	_, err := ask(t, openClosed(t), askReject, rdmatest.Config())
	var reject *rdma.RejectError
	if !errors.As(err, &reject) || reject.Reason != rdma.ReasonConsumer || string(reject.PrivateData[:len(askReject)]) != askReject {
		t.Errorf("dial: %v, must be a RejectError of the application with its data", err)
	}
}

func TestHostsReceiverNotReady(t *testing.T) {
	s, err := ask(t, openClosed(t), askSilent, rdmatest.Config())
	rdmatest.Must(t, err)
	rdmatest.Must(t, s.PostSend(rdma.SendWR{Op: rdma.OpSend, Local: rdmatest.SGE(s.mem, 0, 8)}))
	if done := rdmatest.Poll(t, s); done.Status != rdma.StatusRNRRetryExceeded {
		t.Errorf("completion without a receive: %+v", done)
	}
	var work *rdma.WorkError
	if !errors.As(s.Err(), &work) || work.Status != rdma.StatusRNRRetryExceeded {
		t.Errorf("error of the connection: %v", s.Err())
	}
}

func TestHostsWindow(t *testing.T) {
	s, err := ask(t, openClosed(t), askBind, rdmatest.Config())
	rdmatest.Must(t, err)
	write := func(key uint32) rdma.SendWR {
		return rdma.SendWR{ID: 1, Op: rdma.OpWrite, Local: rdmatest.SGE(s.mem, 0, 4096), RemoteAddr: s.addr + 4096, RemoteKey: key, Signaled: true}
	}
	var key uint32
	sent := 0
	for told := 0; told < 2 || sent < 4; { // the second key may come before the first SEND is acknowledged
		d := rdmatest.Poll(t, s)
		rdmatest.Must(t, d.Err())
		if !d.Recv {
			sent++
			continue
		}
		told++
		key = binary.BigEndian.Uint32(s.mem.Bytes()[echoReceive(s.mem, int(d.ID)).Local[0].Offset:])
		rdmatest.Must(t, s.PostSend(write(key), rdma.SendWR{ID: 2, Op: rdma.OpSendInv, RemoteKey: key, Signaled: true}))
	}
	rdmatest.Must(t, s.PostSend(write(key)))
	if done := rdmatest.Poll(t, s); done.Status != rdma.StatusRemoteAccess {
		t.Errorf("completion with a key that was taken back: %+v, must be a remote access error", done)
	}
}

func TestHostsUnreachable(t *testing.T) {
	if *dial == "" {
		t.Skip("needs another host: give its address and a port with -dial")
	}
	d := openClosed(t)
	peer := netip.MustParseAddrPort(*dial).Addr()
	raw := peer.AsSlice()
	raw[len(raw)-1] = 250 // nobody's
	nobody, _ := netip.AddrFromSlice(raw)
	ctx, cancel := context.WithTimeout(context.Background(), rdmatest.Patience)
	defer cancel()
	_, err := d.Dial(ctx, netip.AddrPortFrom(nobody, 1), rdmatest.Config(), nil)
	if !errors.Is(err, rdma.ErrUnreachable) {
		t.Errorf("dial an address of nobody: %v, must wrap ErrUnreachable", err)
	}
}

// losses are the ways in which a connection can end, as of -expect.
var losses = map[string]func(error) bool{
	"disconnected": func(err error) bool { return errors.Is(err, rdma.ErrDisconnected) },
	"removed":      func(err error) bool { return errors.Is(err, rdma.ErrDeviceRemoved) },
	"retries": func(err error) bool {
		var work *rdma.WorkError
		return errors.As(err, &work) && work.Status == rdma.StatusRetryExceeded
	},
}

// TestLost prints "connected" and waits for what -expect names. It sends now and then in the case of "retries", because
// a connection without work does not notice that its peer is gone.
func TestLost(t *testing.T) {
	matches := losses[*expect]
	if matches == nil {
		t.Skip("needs somebody who breaks the connection: say how it ends with -expect")
	}
	if *expect != "removed" { // the context that librdmacm keeps changes its name with the device
		rdmatest.NoLeaks(t)
	}
	cfg := rdmatest.Config()
	cfg.AckTimeout, cfg.RetryCount = 15, 3
	d := openClosed(t)
	s, err := ask(t, d, "hold", cfg)
	rdmatest.Must(t, err)
	fmt.Println("connected")
	if *expect == "retries" {
		keepWriting(t, s)
	} else {
		expectFlushed(t, s)
	}
	<-s.Lost()
	if err := s.Err(); !matches(err) {
		t.Errorf("error of the connection: %v, must be of the kind %q", err, *expect)
	}
}

func keepWriting(t *testing.T, s *serverHost) {
	write := rdma.SendWR{ID: 1, Op: rdma.OpWrite, Local: rdmatest.SGE(s.mem, 0, 8), RemoteAddr: s.addr, RemoteKey: s.key, Signaled: true}
	for {
		rdmatest.Must(t, s.PostSend(write))
		if done := rdmatest.Poll(t, s); done.Status != rdma.StatusSuccess {
			return
		}
	}
}

// expectFlushed polls until there is nothing more.
func expectFlushed(t *testing.T, s *serverHost) {
	done := make([]rdma.Completion, 64)
	for {
		n, err := s.Poll(context.Background(), done)
		if err != nil {
			return
		}
		for _, d := range done[:n] {
			if d.Status != rdma.StatusFlushed || !d.Recv {
				t.Errorf("completion %+v, must be a flushed receive", d)
			}
		}
	}
}
