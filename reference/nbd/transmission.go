// SPDX-License-Identifier: Apache-2.0

package nbd

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
)

// transmission is the second phase of a connection: commands and replies.
type transmission struct {
	choice
	conn    net.Conn
	in      *bufio.Reader
	info    Info
	refused *atomic.Uint64 // commands
	places  chan struct{}  // one for each command in flight
	spare   sync.Pool      // of *command

	out sync.Mutex // held to write a reply
}

// command is one command in flight.
type command struct {
	flags, kind uint16
	cookie      uint64
	offset      uint64
	length      uint32
	buffer      []byte // what is written, or was read

	runs   []extent    // of what was read, or looked at
	head   []byte      // of the reply
	pieces net.Buffers // the reply
}

func newTransmission(c net.Conn, chosen choice) *transmission {
	return &transmission{
		choice: chosen, refused: new(atomic.Uint64), conn: c, in: bufio.NewReaderSize(c, 64<<10), info: chosen.disk.Info(), places: make(chan struct{}, maxInFlight),
	}
}

// run reads commands until the client disconnects, and waits for those in flight. They are executed if the client has asked
// for a disconnect, and given up if it has just gone.
func (t *transmission) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var inFlight sync.WaitGroup
	defer inFlight.Wait()
	for {
		c, err := t.read()
		if err != nil {
			cancel()
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return err
		}
		if c.kind == cmdDisconnect {
			return nil
		}
		t.places <- struct{}{} // here, so that an end is noticed as long as nothing is in front of it
		inFlight.Go(func() {
			if err := t.reply(c, t.execute(ctx, c)); err != nil {
				t.conn.Close() // the reader ends, too
			}
			t.spare.Put(c)
			<-t.places
		})
	}
}

// read reads a command with the data of a write.
func (t *transmission) read() (*command, error) {
	c, ok := t.spare.Get().(*command)
	if !ok {
		c = &command{}
	}
	var head [requestSize]byte
	if _, err := io.ReadFull(t.in, head[:]); err != nil {
		return nil, err
	}
	if magic := be.Uint32(head[:]); magic != magicRequest {
		return nil, fmt.Errorf("command begins with %#x, must be %#x", magic, magicRequest)
	}
	c.flags, c.kind, c.cookie = be.Uint16(head[4:]), be.Uint16(head[6:]), be.Uint64(head[8:])
	c.offset, c.length = be.Uint64(head[16:]), be.Uint32(head[24:])
	if c.kind != cmdWrite {
		return c, nil
	}
	return c, t.data(c)
}

// data reads the data of a write. That of one that is too long is passed over.
func (t *transmission) data(c *command) (err error) {
	if c.length > maxIO {
		_, err = io.CopyN(io.Discard, t.in, int64(c.length))
	} else {
		c.resize(int(c.length))
		_, err = io.ReadFull(t.in, c.buffer)
	}
	if err != nil {
		return fmt.Errorf("data of a write: %w", err)
	}
	return nil
}

func (c *command) resize(n int) {
	if cap(c.buffer) < n {
		c.buffer = make([]byte, n)
	}
	c.buffer = c.buffer[:n]
}

// execute does what a command asks for, if it may.
func (t *transmission) execute(ctx context.Context, c *command) error {
	if err := t.check(c); err != nil {
		t.refused.Add(1)
		return err
	}
	offset, length, fua := int64(c.offset), int64(c.length), c.flags&cmdFlagFUA != 0
	var err error
	switch c.kind {
	case cmdRead:
		c.resize(int(c.length))
		err = t.disk.ReadAt(ctx, c.buffer, offset)
	case cmdWrite:
		err = t.disk.WriteAt(ctx, c.buffer, offset, fua)
	case cmdFlush:
		err = t.disk.Flush(ctx)
	case cmdTrim:
		err = t.disk.Trim(ctx, offset, length)
	case cmdWriteZeroes:
		err = t.zero(ctx, offset, length, c.flags&cmdFlagNoHole != 0)
	case cmdBlockStatus:
		err = t.lookAt(ctx, c)
	}
	if err == nil && fua && (c.kind == cmdTrim || c.kind == cmdWriteZeroes) {
		err = t.disk.Flush(ctx)
	}
	return err
}
