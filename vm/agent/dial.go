// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/yamux"

	"github.com/ibnbd/ibnbd/vm/agent/internal/wire"
)

// helloInterval is how often a host says Hello until the guest answers. The first one is enough, unless the machine is
// reset after it took it.
const helloInterval = time.Second

// Dial opens a session with the guest at the other end of conn, the Unix socket of QEMU's virtio-serial port, and ends the
// session of any host before. A guest that is still booting answers when it is ready; ctx bounds the wait. The client owns
// conn from here on, also if Dial fails.
func Dial(ctx context.Context, conn net.Conn) (*Client, error) {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	frames, session, err := greet(conn)
	if !stop() || err != nil {
		conn.Close()
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		} else {
			err = fmt.Errorf("%w: %w", ErrLost, err)
		}
		return nil, fmt.Errorf("wait for the guest's agent: %w", err)
	}
	return newClient(conn, frames, session)
}

// greet says Hello with a new session number until the guest says Welcome to it.
func greet(conn net.Conn) (*wire.FrameReader, uint64, error) {
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails
	session := binary.BigEndian.Uint64(random[:])

	answered := make(chan struct{})
	var hello sync.WaitGroup
	hello.Go(func() { sayHello(conn, session, answered) })
	frames := wire.NewFrameReader(conn)
	err := awaitWelcome(frames, session)
	close(answered)
	if err != nil {
		conn.Close() // so that a Hello that nobody reads ends too
	}
	hello.Wait()
	return frames, session, err
}

// sayHello repeats Hello until it is answered. A write error is left to the reader, who sees the connection end.
func sayHello(conn net.Conn, session uint64, answered <-chan struct{}) {
	if _, err := conn.Write(wire.Flush()); err != nil {
		return
	}
	again := time.NewTicker(helloInterval)
	defer again.Stop()
	for {
		if err := wire.WriteFrame(conn, wire.Frame{Kind: wire.Hello, Session: session}); err != nil {
			return
		}
		select {
		case <-answered:
			return
		case <-again.C:
		}
	}
}

func awaitWelcome(frames *wire.FrameReader, session uint64) error {
	for {
		frame, err := frames.Next()
		if err != nil {
			return err
		}
		if frame.Kind == wire.Welcome && frame.Session == session {
			return nil
		}
	}
}

// A Client is a session with a guest. Its methods may be called from several goroutines; each call has a stream of its
// own, so that one that hangs in the guest's kernel holds up no other. A call ends when its context does. A guest that is
// paused answers late; a guest that is gone makes all calls fail with ErrLost, and closes Done.
type Client struct {
	port     net.Conn
	conn     *wire.Conn
	mux      *yamux.Session
	done     chan struct{}
	hop      atomic.Pointer[FileHop]    // between it and the files of the guest
	programs atomic.Pointer[ProgramHop] // between it and the programs of the guest

	mu  sync.Mutex
	err error // why the session ended
}

func newClient(port net.Conn, frames *wire.FrameReader, session uint64) (*Client, error) {
	c := &Client{port: port, done: make(chan struct{})}
	c.conn = wire.NewConn(session, port, func() { port.Close() })
	mux, err := yamux.Client(c.conn, wire.Multiplexing())
	if err != nil {
		port.Close()
		return nil, fmt.Errorf("multiplexing: %w", err)
	}
	c.mux = mux
	go c.read(frames)
	return c, nil
}

// read hands the guest's data to the session until the connection ends.
func (c *Client) read(frames *wire.FrameReader) {
	var err error
	for err == nil {
		var frame wire.Frame
		if frame, err = frames.Next(); err != nil {
			break
		}
		if frame.Kind == wire.Data && frame.Session == c.conn.Session() {
			err = c.conn.Deliver(frame.Payload)
		}
	}
	c.end(err)
}

// end ends the session, once; the first reason counts.
func (c *Client) end(reason error) {
	c.mu.Lock()
	first := c.err == nil
	if first {
		c.err = fmt.Errorf("%w: %w", ErrLost, reason)
	}
	c.mu.Unlock()
	if first {
		c.conn.End(io.EOF)
		c.mux.Close()
		c.port.Close()
		close(c.done)
	}
}

// Close ends the session, and with it what it started in the guest. The machine runs on.
func (c *Client) Close() error {
	c.end(errors.New("closed"))
	return nil
}

// Done is closed when the session has ended: at once when the machine dies.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err is nil while the session lives, and then says why it ended; it wraps ErrLost.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}
