// SPDX-License-Identifier: Apache-2.0

package agent_test

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ibnbd/ibnbd/vm/agent"
	"github.com/ibnbd/ibnbd/vm/agent/guest"
)

// patience bounds what would hang if the code were wrong; no test waits for it.
const patience = 30 * time.Second

func testContext(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// A port is two ends of a byte stream, as QEMU's virtio-serial port is, with the guest's agent serving its end until the
// host's is closed.
type port struct {
	host net.Conn
	done chan error // what Serve returned
}

func newPort(t *testing.T) *port {
	t.Helper()
	listener, err := net.Listen("unix", filepath.Join(t.TempDir(), "port"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	host, err := net.Dial("unix", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	end, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	p := &port{host: host, done: make(chan error, 1)}
	go func() {
		p.done <- guest.Serve(context.WithoutCancel(t.Context()), end)
		end.Close()
	}()
	t.Cleanup(func() {
		host.Close()
		select {
		case err := <-p.done:
			if err != nil && !errors.Is(err, syscall.ECONNRESET) { // a socket whose peer left data unread says this for EOF
				t.Errorf("guest: %v", err)
			}
		case <-time.After(patience):
			t.Error("the guest still serves a port whose host has gone")
		}
	})
	return p
}

func dial(t testing.TB, conn net.Conn) *agent.Client {
	t.Helper()
	client, err := agent.Dial(testContext(t), conn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

func newClient(t *testing.T) *agent.Client {
	t.Helper()
	return dial(t, newPort(t).host)
}

func TestDialGivesUpWithItsContext(t *testing.T) {
	host, silent := net.Pipe()
	defer silent.Close()
	ctx, cancel := context.WithCancelCause(testContext(t))
	why := errors.New("no patience")
	cancel(why)
	if _, err := agent.Dial(ctx, host); !errors.Is(err, why) {
		t.Errorf("error %v, want %v", err, why)
	}
}

func TestDialToldThatTheMachineDied(t *testing.T) {
	host, machine := net.Pipe()
	go func() {
		_, _ = machine.Read(make([]byte, 1)) // a first word from the host, then death
		machine.Close()
	}()
	if _, err := agent.Dial(testContext(t), host); !errors.Is(err, agent.ErrLost) {
		t.Errorf("error %v, want %v", err, agent.ErrLost)
	}
}

func TestDeathOfTheMachineEndsEverything(t *testing.T) {
	port := newPort(t)
	client := dial(t, port.host)
	process, err := client.Start(testContext(t), agent.Command{Path: "sleep", Args: []string{"1000"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Err(); err != nil {
		t.Fatalf("alive, but Err says %v", err)
	}
	port.host.Close()
	<-client.Done()
	if _, err := process.Wait(); !errors.Is(err, agent.ErrLost) {
		t.Errorf("the process that ran: %v, want %v", err, agent.ErrLost)
	}
	if err := client.Alive(testContext(t)); !errors.Is(err, agent.ErrLost) {
		t.Errorf("a later call: %v, want %v", err, agent.ErrLost)
	}
	if err := client.Err(); !errors.Is(err, agent.ErrLost) {
		t.Errorf("Err: %v, want %v", err, agent.ErrLost)
	}
}

// A sharedConn lets several hosts, one after another, use one connection: closing it only ends reading.
type sharedConn struct {
	net.Conn
	closed sync.Once
}

func (c *sharedConn) Close() error {
	c.closed.Do(func() { _ = c.SetReadDeadline(time.Unix(1, 0)) })
	return nil
}

func TestNewHostTakesOver(t *testing.T) {
	port := newPort(t)
	first := dial(t, &sharedConn{Conn: port.host})
	process, err := first.Start(testContext(t), agent.Command{Path: "sleep", Args: []string{"1000"}})
	if err != nil {
		t.Fatal(err)
	}
	// The first host dies without a farewell, in the middle of a frame.
	if err := port.host.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	<-first.Done()
	if _, err := port.host.Write([]byte("IBAG\x03\x00\x40\x00????????cut sh")); err != nil {
		t.Fatal(err)
	}
	if err := port.host.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	second := dial(t, &sharedConn{Conn: port.host})
	if err := second.Alive(testContext(t)); err != nil {
		t.Fatal(err)
	}
	awaitDeath(t, process.PID)
}

func TestClockOfOneMachineIsItsOwn(t *testing.T) {
	client := newClient(t)
	var before, after unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &before); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	clock, err := client.ExchangeTimes(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &after); err != nil {
		t.Fatal(err)
	}
	if off := clock.Realtime.Abs(); off > clock.RTT {
		t.Errorf("offset %v of a clock to itself, beyond the round trip of %v", off, clock.RTT)
	}
	// The host's time at this reading of the same clock is between start and now.
	at := clock.FromMonotonic(time.Duration(before.Nano()))
	if slack := time.Duration(after.Nano()-before.Nano()) + clock.RTT; at.Sub(start).Abs() > slack {
		t.Errorf("CLOCK_MONOTONIC is off by %v", at.Sub(start))
	}
}
