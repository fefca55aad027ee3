// SPDX-License-Identifier: Apache-2.0

package nbd_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/ibnbd/ibnbd/reference/nbd"
)

// Numbers of the protocol, as its document has them.
const (
	optExportName     = 1
	optAbort          = 2
	optList           = 3
	optInfo           = 6
	optGo             = 7
	optStructured     = 8
	optListMeta       = 9
	optSetMeta        = 10
	optExtended       = 11
	repAck            = 1
	repServer         = 2
	repInfo           = 3
	repMeta           = 4
	repErrUnsupported = 1<<31 + 1
	repErrInvalid     = 1<<31 + 3
	repErrUnknown     = 1<<31 + 6
	repErrTooBig      = 1<<31 + 9

	read        = 0
	write       = 1
	disconnect  = 2
	flush       = 3
	trim        = 4
	cache       = 5
	writeZeroes = 6
	blockStatus = 7
	resize      = 8

	fua      = 1 << 0
	noHole   = 1 << 1
	df       = 1 << 2
	reqOne   = 1 << 3
	fastZero = 1 << 4
	payload  = 1 << 5

	none       = 0
	offsetData = 1
	offsetHole = 2
	status     = 5
	failure    = 1<<15 + 1

	ePerm    = 1
	eInval   = 22
	eNoSpace = 28
)

var be = binary.BigEndian

// raw is a client that says what the test wants.
type raw struct {
	t    *testing.T
	conn net.Conn
}

// dialRaw connects to a server of disks, and has shaken hands.
func dialRaw(t *testing.T, disks map[string]nbd.Disk) *raw {
	t.Helper()
	l, err := net.Listen("unix", t.TempDir()+"/s")
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, l, disks)
	return greet(t, l.Addr())
}

func greet(t *testing.T, to net.Addr) *raw {
	t.Helper()
	c, err := net.Dial(to.Network(), to.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	r := &raw{t, c}
	if hello := r.take(18); string(hello[:16]) != "NBDMAGICIHAVEOPT" {
		t.Fatalf("the server begins with %x", hello)
	}
	r.say(be.AppendUint32(nil, 3))
	return r
}

func (r *raw) say(b []byte) {
	r.t.Helper()
	if _, err := r.conn.Write(b); err != nil {
		r.t.Fatal(err)
	}
}

func (r *raw) take(n int) []byte {
	r.t.Helper()
	b := make([]byte, n)
	if _, err := io.ReadFull(r.conn, b); err != nil {
		r.t.Fatal(err)
	}
	return b
}

// gone waits for the server to hang up.
func (r *raw) gone() {
	r.t.Helper()
	if n, err := r.conn.Read(make([]byte, 1)); n != 0 || errors.Is(err, errTimeout) {
		r.t.Errorf("the server has not hung up: %d bytes, %v", n, err)
	}
}

var errTimeout = error(timeoutError{})

type timeoutError struct{}

func (timeoutError) Error() string { return "timeout" }
func (timeoutError) Is(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

// optionReply is one reply to an option.
type optionReply struct {
	kind uint32
	data []byte
}

// option sends an option and reads the replies up to the last.
func (r *raw) option(option uint32, data []byte) []optionReply {
	r.t.Helper()
	b := be.AppendUint64(nil, 0x49484156454f5054)
	b = be.AppendUint32(b, option)
	b = be.AppendUint32(b, uint32(len(data)))
	r.say(append(b, data...))
	var all []optionReply
	for {
		head := r.take(20)
		if magic := be.Uint64(head); magic != 0x3e889045565a9 || be.Uint32(head[8:]) != option {
			r.t.Fatalf("reply to option %d is %x", option, head)
		}
		o := optionReply{be.Uint32(head[12:]), r.take(int(be.Uint32(head[16:])))}
		all = append(all, o)
		if o.kind == repAck || o.kind >= 1<<31 {
			return all
		}
	}
}

// expectOption sends an option whose last reply must be of a kind.
func (r *raw) expectOption(option uint32, data []byte, kind uint32) []optionReply {
	r.t.Helper()
	all := r.option(option, data)
	if last := all[len(all)-1]; last.kind != kind {
		r.t.Errorf("option %d with %q is answered by %#x %q, must be %#x", option, data, last.kind, last.data, kind)
	}
	return all
}

// named is the data of an option about an export.
func named(name string) []byte { return append(be.AppendUint32(nil, uint32(len(name))), name...) }

// asking is the data of info and go.
func asking(name string) []byte { return be.AppendUint16(named(name), 0) }

// queries is the data of the options about contexts.
func queries(name string, all ...string) []byte {
	b := be.AppendUint32(named(name), uint32(len(all)))
	for _, q := range all {
		b = append(b, named(q)...)
	}
	return b
}

// reach goes on to the commands.
func (r *raw) reach(name string) {
	r.t.Helper()
	r.expectOption(optGo, asking(name), repAck)
}

// structured goes on to the commands, with structured replies and base:allocation.
func (r *raw) structured(name string) {
	r.t.Helper()
	r.expectOption(optStructured, nil, repAck)
	r.expectOption(optSetMeta, queries(name, "base:allocation"), repAck)
	r.reach(name)
}

// command sends a command.
func (r *raw) command(flags, kind uint16, cookie, offset uint64, length uint32, data []byte) {
	r.t.Helper()
	b := be.AppendUint32(nil, 0x25609513)
	b = be.AppendUint16(b, flags)
	b = be.AppendUint16(b, kind)
	b = be.AppendUint64(b, cookie)
	b = be.AppendUint64(b, offset)
	r.say(append(be.AppendUint32(b, length), data...))
}

// chunk is a chunk of a structured reply, or a simple reply, which is of kind -1.
type chunk struct {
	last  bool
	kind  int
	errno uint32
	data  []byte
}

func (r *raw) chunk(cookie uint64) chunk {
	r.t.Helper()
	magic := be.Uint32(r.take(4))
	if magic == 0x67446698 {
		head := r.take(12)
		if be.Uint64(head[4:]) != cookie {
			r.t.Fatalf("reply with cookie %#x, must be %#x", be.Uint64(head[4:]), cookie)
		}
		return chunk{true, -1, be.Uint32(head), nil}
	}
	head := r.take(16)
	if magic != 0x668e33ef || be.Uint64(head[4:]) != cookie || be.Uint16(head) > 1 {
		r.t.Fatalf("chunk begins with %#x %x", magic, head)
	}
	c := chunk{last: be.Uint16(head) == 1, kind: int(be.Uint16(head[2:])), data: r.take(int(be.Uint32(head[12:])))}
	if c.kind == failure {
		c.errno = be.Uint32(c.data)
		if n := be.Uint16(c.data[4:]); int(n) != len(c.data)-6 || n == 0 {
			r.t.Errorf("the text of an error has %d bytes of %d", n, len(c.data)-6)
		}
	}
	return c
}

// errno sends a command and gives the error number of its reply, which must be the only one.
func (r *raw) errno(flags, kind uint16, offset uint64, length uint32, data []byte) uint32 {
	r.t.Helper()
	r.command(flags, kind, 7, offset, length, data)
	c := r.chunk(7)
	if !c.last {
		r.t.Fatalf("chunk %+v is not the last", c)
	}
	return c.errno
}

// readBack reads by structured replies. It gives the data, and what the chunks were, a letter each: d for data, h for a hole.
func (r *raw) readBack(flags uint16, offset uint64, length uint32) (data []byte, kinds string) {
	r.t.Helper()
	data = bytes.Repeat([]byte{0xEE}, int(length))
	r.command(flags, read, 9, offset, length, nil)
	for {
		c := r.chunk(9)
		switch c.kind {
		case none:
		case offsetData:
			copy(data[be.Uint64(c.data)-offset:], c.data[8:])
			kinds += "d"
		case offsetHole:
			at := be.Uint64(c.data) - offset
			clear(data[at : at+uint64(be.Uint32(c.data[8:]))])
			kinds += "h"
		default:
			r.t.Fatalf("chunk %+v of a read", c)
		}
		if c.last {
			return data, kinds
		}
	}
}

// extent is what a status tells of a range.
type extent struct{ length, flags uint32 }

// status asks for the status of a range.
func (r *raw) status(flags uint16, offset uint64, length uint32) (all []extent) {
	r.t.Helper()
	r.command(flags, blockStatus, 11, offset, length, nil)
	c := r.chunk(11)
	if !c.last || c.kind != status || len(c.data) < 12 || len(c.data)%8 != 4 {
		r.t.Fatalf("status is %+v", c)
	}
	for b := c.data[4:]; len(b) > 0; b = b[8:] {
		all = append(all, extent{be.Uint32(b), be.Uint32(b[4:])})
	}
	return all
}
