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
)

// transmission is the second phase of a connection: commands and replies.
type transmission struct {
	conn   net.Conn
	in     *bufio.Reader
	disk   Disk
	info   Info
	places chan struct{} // one for each command in flight
	spare  sync.Pool     // of *command

	out sync.Mutex // held to write a reply
}

// command is one command in flight.
type command struct {
	flags, kind uint16
	cookie      uint64
	offset      uint64
	length      uint32
	head        [replySize]byte
	buffer      []byte
}

func newTransmission(c net.Conn, d Disk) *transmission {
	return &transmission{
		conn: c, in: bufio.NewReaderSize(c, 64<<10), disk: d, info: d.Info(), places: make(chan struct{}, maxInFlight),
	}
}

// run reads commands until the client disconnects, and waits for those in flight.
func (t *transmission) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var inFlight sync.WaitGroup
	defer inFlight.Wait()
	for {
		t.places <- struct{}{}
		c, err := t.read()
		if err != nil || c.kind == cmdDisconnect {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return err
		}
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
	if c.kind != cmdRead && c.kind != cmdWrite {
		return c, nil
	}
	if c.length > maxIO {
		return nil, fmt.Errorf("command for %d bytes, at most %d are allowed", c.length, maxIO)
	}
	if cap(c.buffer) < int(c.length) {
		c.buffer = make([]byte, c.length)
	}
	c.buffer = c.buffer[:c.length]
	if c.kind == cmdWrite {
		if _, err := io.ReadFull(t.in, c.buffer); err != nil {
			return nil, fmt.Errorf("data of a write: %w", err)
		}
	}
	return c, nil
}

// execute gives the error number of the reply.
func (t *transmission) execute(ctx context.Context, c *command) uint32 {
	if errno := t.check(c); errno != 0 {
		return errno
	}
	offset, length, fua := int64(c.offset), int64(c.length), c.flags&cmdFlagFUA != 0
	var err error
	switch c.kind {
	case cmdRead:
		err = t.disk.ReadAt(ctx, c.buffer, offset)
	case cmdWrite:
		err = t.disk.WriteAt(ctx, c.buffer, offset, fua)
	case cmdFlush:
		err = t.disk.Flush(ctx)
	case cmdTrim:
		err = t.disk.Trim(ctx, offset, length)
	case cmdWriteZeroes:
		err = t.disk.WriteZeroes(ctx, offset, length, c.flags&cmdFlagNoHole != 0)
	}
	if err == nil && fua && (c.kind == cmdTrim || c.kind == cmdWriteZeroes) {
		err = t.disk.Flush(ctx)
	}
	return errnoOf(err)
}

// check refuses commands that the disk was not offered for.
func (t *transmission) check(c *command) uint32 {
	size, block := uint64(t.info.Size), uint64(t.info.BlockSize)
	switch {
	case c.kind == cmdFlush:
		return 0
	case c.kind > cmdWriteZeroes || c.kind == cmdDisconnect || c.kind == cmdTrim+1:
		return errInval
	case c.kind != cmdRead && t.info.ReadOnly:
		return errPerm
	case c.offset > size || uint64(c.length) > size-c.offset:
		if c.kind == cmdRead {
			return errInval
		}
		return errNoSpace
	case c.offset%block != 0 || uint64(c.length)%block != 0:
		return errInval
	}
	return 0
}

// reply tells the client how a command has ended, with the data of a read.
func (t *transmission) reply(c *command, errno uint32) error {
	be.PutUint32(c.head[:], magicReply)
	be.PutUint32(c.head[4:], errno)
	be.PutUint64(c.head[8:], c.cookie)
	pieces := net.Buffers{c.head[:]}
	if c.kind == cmdRead && errno == 0 {
		pieces = append(pieces, c.buffer)
	}
	t.out.Lock()
	defer t.out.Unlock()
	_, err := pieces.WriteTo(t.conn)
	return err
}
