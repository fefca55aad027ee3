// SPDX-License-Identifier: Apache-2.0

package fabric_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ibnbd/ibnbd/vm/fabric"
)

func TestSwitchLearns(t *testing.T) {
	f := newFabric(t)
	r := addRail(t, f, "rail0")
	a := plugIn(t, f, addPort(t, r, "alpha"), 1)
	b := plugIn(t, f, addPort(t, r, "beta"), 2)
	c := plugIn(t, f, addPort(t, r, "gamma"), 3)

	a.send(frame(b, a, "to a stranger")) // nobody knows b: everybody but a gets it
	b.expect("to a stranger")
	c.expect("to a stranger")
	b.send(frame(a, b, "to a friend")) // a has spoken, so only a gets it
	a.expect("to a friend")
	a.send(frame(b, a, "now known"))
	b.expect("now known")
	c.expectOnlyFrom(a)
	c.send(frameTo(broadcast, c.mac, "to all"))
	a.expect("to all")
	b.expect("sentinel", "to all") // the sentinel went to c, who had not spoken then
}

func TestSwitchFollowsAnAddressThatMoves(t *testing.T) {
	p := newPair(t)
	c := plugIn(t, p.fabric, addPort(t, p.rail, "gamma"), 1) // alpha's address, somewhere else
	c.send(frame(p.b, c, "here I am"))
	p.b.expect("here I am")
	p.b.send(frame(p.a, p.b, "welcome"))
	c.expect("welcome")
}

func TestRailsAreApart(t *testing.T) {
	f := newFabric(t)
	one, two := addRail(t, f, "rail0"), addRail(t, f, "rail1")
	a := plugIn(t, f, addPort(t, one, "alpha"), 1)
	b := plugIn(t, f, addPort(t, one, "beta"), 2)
	other := plugIn(t, f, addPort(t, two, "alpha"), 3)
	neighbour := plugIn(t, f, addPort(t, two, "beta"), 4)
	a.send(frameTo(broadcast, a.mac, "to all"))
	b.expect("to all")
	other.expectOnlyFrom(neighbour)
}

func TestPortTakesAReplacement(t *testing.T) {
	p := newPair(t)
	again := plugIn(t, p.fabric, p.pa, 9)
	p.a.expectEnd()
	p.b.send(frame(p.a, p.b, "anybody there")) // alpha's old address is forgotten, so this is flooded
	again.expect("anybody there")
	again.send(frame(p.b, again, "I am new"))
	p.b.expect("I am new")
}

func TestPortCountsWhatNobodyTakes(t *testing.T) {
	p := newPair(t)
	_, since := p.fabric.Events(0)
	_ = p.a.conn.Close()
	waitEvent(t, p.fabric, since, fabric.Disconnected, "alpha")
	s, err := p.rail.Attach("probe", 10)
	if err != nil {
		t.Fatal(err)
	}
	p.b.send(frame(p.a, p.b, "lost"), frame(p.a, p.b, "lost too")) // flooded: alpha's address went with it
	receive(t, s, "lost")
	receive(t, s, "lost too")
	if got := p.pa.Stats().Unplugged; got != 2 {
		t.Errorf("unplugged is %d", got)
	}
	if p.pa.Connected() || p.pa.Err() != nil {
		t.Errorf("connected %v, error %v after the guest's own end", p.pa.Connected(), p.pa.Err())
	}
}

func TestNonsenseEndsThePortNotTheRail(t *testing.T) {
	for _, length := range []uint32{0, fabric.MinFrame - 1, fabric.MaxFrame + 1, 0xFFFFFFFF} {
		t.Run(fmt.Sprint(length), func(t *testing.T) {
			p := newPair(t)
			_, since := p.fabric.Events(0)
			if _, err := p.a.conn.Write(binary.BigEndian.AppendUint32(nil, length)); err != nil {
				t.Fatal(err)
			}
			p.a.expectEnd()
			waitEvent(t, p.fabric, since, fabric.Disconnected, "alpha: ")
			if err := p.pa.Err(); err == nil || !strings.Contains(err.Error(), fmt.Sprint(length)) {
				t.Errorf("the error %v does not name the length %d", err, length)
			}
			again := plugIn(t, p.fabric, p.pa, 1)
			again.send(frame(p.b, again, "back"))
			p.b.expect("back")
		})
	}
}

func TestFramesOfEverySizeInPieces(t *testing.T) {
	p := newPair(t)
	text := strings.Repeat("x", fabric.MaxFrame-14)
	var stream []byte
	var texts []string
	for _, size := range []int{0, 1, 46, 1486, 4386, 65000, fabric.MaxFrame - 14} {
		data := frame(p.b, p.a, text[:size])
		stream = append(binary.BigEndian.AppendUint32(stream, uint32(len(data))), data...)
		texts = append(texts, text[:size])
	}
	go func() { // in pieces that end anywhere, length fields included
		for piece := range slices.Chunk(stream, 1021) {
			if _, err := p.a.conn.Write(piece); err != nil {
				return
			}
		}
	}()
	p.b.expect(texts...)
}

func TestSlowReaderLosesOnlyItsOwn(t *testing.T) {
	p := newPair(t)
	c := plugIn(t, p.fabric, addPort(t, p.rail, "gamma"), 3)
	c.send(frame(p.b, c, "hello"))
	p.b.expect("hello")
	_, since := p.fabric.Events(0)
	filler := frame(p.a, p.b, strings.Repeat("x", 60000))
	for range 200 { // 12 MB to alpha, who does not read
		p.b.send(filler)
	}
	c.expectOnlyFrom(p.b)
	waitEvent(t, p.fabric, since, fabric.Overflowed, "alpha")
	if p.pa.Stats().Overflow == 0 || p.rail.Stats().Overflow != p.pa.Stats().Overflow {
		t.Errorf("overflow of the port is %d, of the rail %d", p.pa.Stats().Overflow, p.rail.Stats().Overflow)
	}
	// What was queued comes whole when alpha reads again.
	_ = p.a.conn.SetReadDeadline(time.Now().Add(patience))
	for range p.pa.Stats().FramesOut - 1 { // one was the hello
		data, err := p.a.receive()
		if err != nil || len(data) != len(filler) {
			t.Fatalf("%d bytes, %v", len(data), err)
		}
	}
}

func TestStation(t *testing.T) {
	p := newPair(t)
	s, err := p.rail.Attach("tester", 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Send(frameTo(p.a.mac, mac(7), "one"), frameTo(p.a.mac, mac(7), "two")); err != nil {
		t.Fatal(err)
	}
	p.a.expect("one", "two")
	p.a.send(frameTo(mac(7), p.a.mac, "1"), frameTo(mac(7), p.a.mac, "2"), frameTo(mac(7), p.a.mac, "does not fit"))
	p.b.expectOnlyFrom(p.a)
	if n, err := s.Receive(t.Context(), make([]byte, 14)); n != 14 || !errors.Is(err, io.ErrShortBuffer) {
		t.Errorf("a short buffer gave %d, %v", n, err)
	}
	receive(t, s, "2")
	if got := s.Stats(); got.FramesOut != 2 || got.Overflow != 1 || got.FramesIn != 2 || got.BytesIn != 34 {
		t.Errorf("the counters are %+v", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Receive(ctx, make([]byte, 100)); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
	for _, size := range []int{fabric.MinFrame - 1, fabric.MaxFrame + 1} {
		if err := s.Send(make([]byte, size)); err == nil || !strings.Contains(err.Error(), fmt.Sprint(size)) {
			t.Errorf("a frame of %d bytes: %v", size, err)
		}
	}
	_ = s.Close()
	if _, err := s.Receive(t.Context(), make([]byte, 100)); !errors.Is(err, fabric.ErrClosed) {
		t.Errorf("the error is %v", err)
	}
	if err := s.Send(frameTo(p.a.mac, mac(7), "x")); !errors.Is(err, fabric.ErrClosed) {
		t.Errorf("the error is %v", err)
	}
}

func receive(t *testing.T, s *fabric.Station, want string) {
	t.Helper()
	buffer := make([]byte, fabric.MaxFrame)
	n, err := s.Receive(within(t, patience), buffer)
	if err != nil {
		t.Fatalf("instead of the frame %q: %v", want, err)
	}
	if got := string(buffer[14:n]); got != want {
		t.Fatalf("the frame holds %q, want %q", got, want)
	}
}

func TestNamesAreChecked(t *testing.T) {
	f := newFabric(t)
	r := addRail(t, f, "rail0")
	addPort(t, r, "alpha")
	tests := map[string]func() error{
		"rail twice":    func() error { _, err := f.AddRail("rail0"); return err },
		"empty rail":    func() error { _, err := f.AddRail(""); return err },
		"slash":         func() error { _, err := f.AddRail("a/b"); return err },
		"port twice":    func() error { _, err := r.AddPort("alpha"); return err },
		"station twice": func() error { _, err := r.Attach("alpha", 1); return err },
		"no queue":      func() error { _, err := r.Attach("tester", 0); return err },
		"long":          func() error { _, err := r.AddPort(strings.Repeat("p", 200)); return err },
	}
	for name, try := range tests {
		if try() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestLongSocketPathSaysItsLimit(t *testing.T) {
	_, err := addRail(t, newFabric(t), "rail0").AddPort(strings.Repeat("p", 200))
	if err == nil || !strings.Contains(err.Error(), "at most 107 can be used") {
		t.Errorf("AddPort: %v", err)
	}
}

func TestCloseEndsEverything(t *testing.T) {
	p := newPair(t)
	s, err := p.rail.Attach("tester", 1)
	if err != nil {
		t.Fatal(err)
	}
	sub := p.rail.Subscribe(1)
	if err := p.fabric.Close(); err != nil {
		t.Fatal(err)
	}
	p.a.expectEnd()
	if _, err := s.Receive(t.Context(), make([]byte, 100)); !errors.Is(err, fabric.ErrClosed) {
		t.Errorf("receive: %v", err)
	}
	if _, open := <-sub.Frames(); open {
		t.Error("the subscription is open")
	}
	if _, err := p.rail.Inject(fabric.Fault{Action: fabric.Drop{}}); !errors.Is(err, fabric.ErrClosed) {
		t.Errorf("inject: %v", err)
	}
	if _, err := p.rail.AddPort("late"); !errors.Is(err, fabric.ErrClosed) {
		t.Errorf("add a port: %v", err)
	}
	if _, err := p.fabric.AddRail("late"); !errors.Is(err, fabric.ErrClosed) {
		t.Errorf("add a rail: %v", err)
	}
	if _, err := net.Dial("unix", p.pa.Path()); err == nil {
		t.Error("the socket is still there")
	}
}
