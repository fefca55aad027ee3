// SPDX-License-Identifier: Apache-2.0

package cmd_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// TestNoStaleOverwrite has a write stuck on a rail that falls silent, its NBD client go, and the next one write newer data over the
// other rail: when the path over the silent rail was given up and is back, the newer data is there (Clause IBNBD-FAIL-029).
func TestNoStaleOverwrite(t *testing.T) {
	const block, patience = 4096, 10 * time.Second
	server, client := newHosts(t)
	b := newBench(t)
	var stops []func(syscall.Signal)
	server.do(func() {
		stops = append(stops, b.start("listening", "ibnbd-server", "--listen", "10.9.0.1", "--listen", "10.9.1.1", "--export", "ram0=mem:16M",
			"--heartbeat-interval", "200ms", "--heartbeat-misses", "5"))
	})
	client.do(func() {
		stops = append(stops, b.start("nbd+unix", "ibnbd-client", "map", "--path", "10.9.0.2@10.9.0.1", "--path", "10.9.1.2@10.9.1.1",
			"--heartbeat-interval", "200ms", "--heartbeat-misses", "5", "--teardown-timeout", "500ms", "--packet-lifetime", "200ms",
			"--connect-timeout", "2s", "--reconnect-delay", "500ms", "--reconnect-settle", "0", "--reconnect-spread", "0", "ram0"))
	})
	_, socket, _ := strings.Cut(strings.TrimSpace(b.run("ibnbd-client", "list", "--uri", "ram0")), "socket=")

	server.silence(0, true)
	client.silence(0, true)
	first := dialNBD(t, socket)
	first.write(bytes.Repeat([]byte{1}, block))
	if err := first.reply(300 * time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("the old write is not stuck: %v", err)
	}
	if err := first.conn.Close(); err != nil {
		t.Fatal(err)
	}
	newer := bytes.Repeat([]byte{2}, block)
	second := dialNBD(t, socket)
	second.write(newer)
	if err := second.reply(patience); err != nil {
		t.Errorf("the newer write: %v", err)
	}
	b.awaitPath(patience, "reconnecting", "connecting", "connecting_err")
	server.silence(0, false)
	client.silence(0, false)
	b.awaitPath(patience, "connected")
	second.read(block)
	if err := second.reply(patience); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, block)
	if _, err := io.ReadFull(second.conn, got); err != nil || !bytes.Equal(got, newer) {
		t.Errorf("the disk begins with % x, want the newer data: %v", got[:4], err)
	}
	second.conn.Close()
	b.run("ibnbd-client", "unmap", "ram0")
	stops[1](0)
	stops[0](syscall.SIGTERM)
}

// awaitPath waits until the first path is in one of some states.
func (b *bench) awaitPath(most time.Duration, states ...string) {
	b.t.Helper()
	var all []struct {
		Paths []struct{ Name, State string }
	}
	for start := time.Now(); time.Since(start) < most; time.Sleep(50 * time.Millisecond) {
		if err := json.Unmarshal([]byte(b.run("ibnbd-client", "stat", "--json")), &all); err != nil {
			b.t.Fatal(err)
		}
		for _, state := range states {
			if all[0].Paths[0].State == state {
				return
			}
		}
	}
	b.t.Fatalf("the first path is not %v after %s: %+v", states, most, all)
}

// host is a thread in a network namespace of its own, with an interface for each of two rails.
type host struct {
	t    *testing.T
	work chan func()
	peer [2]string // addresses of the other host
}

// newHosts makes two hosts, with 10.9.RAIL.1 and 10.9.RAIL.2.
func newHosts(t *testing.T) (server, client *host) {
	if os.Getuid() != 0 {
		t.Skip("making network namespaces needs root")
	}
	server, client = newHost(t, 2), newHost(t, 1)
	pid := make(chan int, 1)
	client.do(func() { pid <- unix.Gettid() })
	there := <-pid
	server.do(func() {
		for rail := range 2 {
			pair := netlink.NewVeth(netlink.LinkAttrs{Name: railName(rail), MTU: 4300})
			pair.PeerName = "peer" + railName(rail)
			must(t, netlink.LinkAdd(pair))
			end, err := netlink.LinkByName(pair.PeerName)
			must(t, err)
			must(t, netlink.LinkSetNsPid(end, there))
		}
	})
	for number, h := range map[int]*host{1: server, 2: client} {
		h.do(func() {
			for rail := range 2 {
				l, err := netlink.LinkByName(railName(rail))
				if err != nil {
					l, err = netlink.LinkByName("peer" + railName(rail))
				}
				must(t, err)
				a, err := netlink.ParseAddr(fmt.Sprintf("10.9.%d.%d/24", rail, number))
				must(t, err)
				must(t, netlink.AddrAdd(l, a))
				must(t, netlink.LinkSetUp(l))
			}
		})
	}
	return server, client
}

func railName(rail int) string { return fmt.Sprintf("rail%d", rail) }

func newHost(t *testing.T, peer int) *host {
	h := &host{t: t, work: make(chan func())}
	for rail := range h.peer {
		h.peer[rail] = fmt.Sprintf("10.9.%d.%d", rail, peer)
	}
	failed := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for good: the namespace ends with the thread
		failed <- unix.Unshare(unix.CLONE_NEWNET)
		for do := range h.work {
			do()
		}
	}()
	must(t, <-failed)
	t.Cleanup(func() { close(h.work) })
	return h
}

// do does something in the namespace; programs that it starts are there, too.
func (h *host) do(what func()) {
	done := make(chan struct{})
	h.work <- func() { defer close(done); what() }
	<-done
}

// silence has frames for the other host go to nobody, or to it again.
func (h *host) silence(rail int, on bool) {
	h.do(func() {
		neighbours, err := netlink.NeighList(0, netlink.FAMILY_V4)
		must(h.t, err)
		for _, n := range neighbours {
			if n.IP.String() != h.peer[rail] {
				continue
			}
			if n.State, n.HardwareAddr = netlink.NUD_PERMANENT, (net.HardwareAddr{2, 0, 0, 0, 0, 99}); !on {
				must(h.t, netlink.NeighDel(&n))
				return
			}
			must(h.t, netlink.NeighSet(&n))
			return
		}
		h.t.Errorf("%s is no neighbour", h.peer[rail])
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

// nbdClient is a client of NBD that says what it wants, and goes without a word.
type nbdClient struct {
	t    *testing.T
	conn net.Conn
}

func dialNBD(t *testing.T, socket string) *nbdClient {
	t.Helper()
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	c := &nbdClient{t, conn}
	const fixedNewstyleNoZeroes, option, exportName, export = 3, 0x49484156454f5054, 1, "ram0"
	be := binary.BigEndian
	c.receive(18)
	c.send(be.AppendUint32(nil, fixedNewstyleNoZeroes))
	c.send(append(be.AppendUint32(be.AppendUint32(be.AppendUint64(nil, option), exportName), uint32(len(export))), export...))
	c.receive(10)
	return c
}

func (c *nbdClient) send(b []byte) {
	c.t.Helper()
	if _, err := c.conn.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

func (c *nbdClient) receive(n int) {
	c.t.Helper()
	if _, err := io.ReadFull(c.conn, make([]byte, n)); err != nil {
		c.t.Fatal(err)
	}
}

// command is about the beginning of the disk.
func (c *nbdClient) command(flags, kind uint16, length int, data []byte) {
	c.t.Helper()
	be := binary.BigEndian
	b := be.AppendUint16(be.AppendUint16(be.AppendUint32(nil, 0x25609513), flags), kind)
	b = be.AppendUint64(be.AppendUint64(b, 1), 0)
	c.send(append(be.AppendUint32(b, uint32(length)), data...))
}

func (c *nbdClient) read(n int)        { c.t.Helper(); c.command(0, 0, n, nil) }
func (c *nbdClient) write(data []byte) { c.t.Helper(); c.command(1, 1, len(data), data) } // with FUA

// reply waits for a reply, and gives its error.
func (c *nbdClient) reply(most time.Duration) error {
	if err := c.conn.SetReadDeadline(time.Now().Add(most)); err != nil {
		return err
	}
	var reply [16]byte
	if _, err := io.ReadFull(c.conn, reply[:]); err != nil {
		return err
	}
	if n := binary.BigEndian.Uint32(reply[4:]); n != 0 {
		return fmt.Errorf("error number %d", n)
	}
	return nil
}
