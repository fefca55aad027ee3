// SPDX-License-Identifier: Apache-2.0

package soft_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ibnbd/ibnbd/reference/rdma/soft"
)

// wire joins stations: what one sends, all others receive.
type wire struct {
	mu       sync.Mutex
	stations []*station
	sent     [][]byte
	lose     func(frame []byte) bool
}

type station struct {
	wire  *wire
	queue chan []byte
	ended chan struct{}
}

func (w *wire) attach() *station {
	s := &station{wire: w, queue: make(chan []byte, 1024), ended: make(chan struct{})}
	w.mu.Lock()
	w.stations = append(w.stations, s)
	w.mu.Unlock()
	return s
}

func (s *station) Send(frames ...[]byte) error {
	s.wire.mu.Lock()
	defer s.wire.mu.Unlock()
	for _, f := range frames {
		f = bytes.Clone(f)
		s.wire.sent = append(s.wire.sent, f)
		if s.wire.lose != nil && s.wire.lose(f) {
			continue
		}
		for _, other := range s.wire.stations {
			if other != s {
				other.queue <- f
			}
		}
	}
	return nil
}

func (s *station) Receive(ctx context.Context, buffer []byte) (int, error) {
	select {
	case f := <-s.queue:
		return copy(buffer, f), nil
	default:
	}
	select {
	case f := <-s.queue:
		return copy(buffer, f), nil
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-s.ended:
		return 0, io.EOF
	}
}

func (s *station) Close() error {
	close(s.ended)
	return nil
}

func openFrames(t testing.TB, w *wire, prefix string, last byte) *soft.Device {
	t.Helper()
	link, err := soft.NewFrameLink(w.attach(), soft.FrameConfig{
		MAC: net.HardwareAddr{2, 0, 0, 0, 0, last}, Prefix: netip.MustParsePrefix(prefix), MTU: 4300,
	})
	must(t, err)
	d, err := soft.Open(link, soft.Config{})
	must(t, err)
	t.Cleanup(func() { closeAll(t, d) })
	return d
}

func TestFrameLink(t *testing.T) {
	for _, prefixes := range [][2]string{{"10.0.0.1/24", "10.0.0.2/24"}, {"fd00::1/64", "fd00::2/64"}} {
		t.Run(prefixes[0], func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &wire{}
				p := &pair{a: openFrames(t, w, prefixes[0], 1), b: openFrames(t, w, prefixes[1], 2)}
				p.memA, p.memB = register(t, p.a), register(t, p.b)
				p.connect(t, testConn)
				exchange(t, p)
			})
		})
	}
}

// A neighbour that answers only the third question is still found, and what waited for it arrives.
func TestNeighbourAskedAgain(t *testing.T) {
	for _, prefixes := range [][2]string{{"10.0.0.1/24", "10.0.0.2/24"}, {"fd00::1/64", "fd00::2/64"}} {
		t.Run(prefixes[0], func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &wire{}
				p := &pair{b: openFrames(t, w, prefixes[1], 2)}
				lost := 0
				w.lose = func(f []byte) bool {
					question := f[0]&1 != 0
					if question {
						lost++
					}
					return question && lost <= 3 // an announcement and two questions
				}
				p.a = openFrames(t, w, prefixes[0], 1)
				p.memA, p.memB = register(t, p.a), register(t, p.b)
				before := time.Now()
				p.connect(t, testConn)
				if d := time.Since(before); d != 2*time.Second {
					t.Errorf("the connection took %v, must take two repetitions of a second", d)
				}
			})
		})
	}
}

// The question and the answer for an IPv4 address, byte by byte as RFC 826 has them.
func TestARPAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{}
		openFrames(t, w, "10.0.0.1/24", 1)
		other := w.attach()
		question, _ := hex.DecodeString("ffffffffffff020000000009" + "0806" + "0001080006040001" + "020000000009" + "0a000009" + "000000000000" + "0a000001")
		must(t, other.Send(question))
		synctest.Wait()
		want, _ := hex.DecodeString("020000000009020000000001" + "0806" + "0001080006040002" + "020000000001" + "0a000001" + "020000000009" + "0a000009")
		want = append(want, make([]byte, 60-len(want))...) // the smallest Ethernet frame
		var got [128]byte
		n, err := other.Receive(context.Background(), got[:])
		must(t, err)
		if !bytes.Equal(got[:n], want) {
			t.Errorf("the answer is\n%x, must be\n%x", got[:n], want)
		}
	})
}

func TestFrameConfigRefused(t *testing.T) {
	good := soft.FrameConfig{MAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, Prefix: netip.MustParsePrefix("10.0.0.1/24")}
	for name, change := range map[string]func(*soft.FrameConfig){
		"no MAC":             func(c *soft.FrameConfig) { c.MAC = nil },
		"group MAC":          func(c *soft.FrameConfig) { c.MAC = net.HardwareAddr{1, 0, 0, 0, 0, 1} },
		"no address":         func(c *soft.FrameConfig) { c.Prefix = netip.Prefix{} },
		"tiny MTU":           func(c *soft.FrameConfig) { c.MTU = 300 },
		"gateway of IPv6":    func(c *soft.FrameConfig) { c.Gateway = netip.MustParseAddr("fd00::1") },
		"multicast address ": func(c *soft.FrameConfig) { c.Prefix = netip.MustParsePrefix("224.0.0.1/24") },
	} {
		cfg := good
		change(&cfg)
		if _, err := soft.NewFrameLink((&wire{}).attach(), cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
