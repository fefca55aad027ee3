// SPDX-License-Identifier: Apache-2.0

package nbd

import (
	"bytes"
	"context"
	"net"
	"sync"
	"testing"
)

// talk is a connection whose client has said everything before.
type talk struct {
	net.Conn
	said *bytes.Reader

	mu    sync.Mutex // guards heard
	heard bytes.Buffer
}

func (c *talk) Read(p []byte) (int, error) { return c.said.Read(p) }

func (c *talk) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.heard.Write(p)
}

func (c *talk) Close() error { return nil }

// checked is a disk that minds what a server must not ask of it.
type checked struct {
	t        *testing.T
	size     int64
	readOnly bool
}

const checkedBlock = 4096

func (d *checked) Info() Info {
	return Info{Size: d.size, BlockSize: checkedBlock, ReadOnly: d.readOnly, Trim: true, WriteZeroes: true}
}

func (d *checked) check(offset, length int64, changes bool) error {
	if offset < 0 || length < 0 || offset%checkedBlock != 0 || length%checkedBlock != 0 || offset+length > d.size {
		d.t.Errorf("%d bytes at %d are asked of a disk of %d", length, offset, d.size)
	}
	if changes && d.readOnly {
		d.t.Error("a disk that is read-only is changed")
	}
	return nil
}

// ReadAt gives zeroes but in every third granule.
func (d *checked) ReadAt(_ context.Context, p []byte, offset int64) error {
	for i := range p {
		p[i] = byte((offset + int64(i)) / wantedGranule % 3 / 2)
	}
	return d.check(offset, int64(len(p)), false)
}

func (d *checked) WriteAt(_ context.Context, p []byte, offset int64, _ bool) error {
	return d.check(offset, int64(len(p)), true)
}
func (d *checked) Flush(context.Context) error { return nil }
func (d *checked) Trim(_ context.Context, offset, length int64) error {
	return d.check(offset, length, true)
}
func (d *checked) WriteZeroes(_ context.Context, offset, length int64, _ bool) error {
	return d.check(offset, length, true)
}

// converse has a server answer to all that a client has said.
func converse(t *testing.T, said []byte) *bytes.Buffer {
	t.Helper()
	var s Server
	s.Add("a", &checked{t, 1 << 20, false})
	s.Add("ro", &checked{t, 1 << 20, true})
	c := &talk{said: bytes.NewReader(said)}
	_ = s.serve(context.Background(), c) // whatever is wrong with it
	return &c.heard
}

// greeting is what a client says first.
func greeting(options ...[]byte) []byte {
	return append([]byte{0, 0, 0, 3}, bytes.Join(options, nil)...)
}

func option(number uint32, data ...byte) []byte {
	b := be.AppendUint64(nil, magicOption)
	b = be.AppendUint32(b, number)
	b = be.AppendUint32(b, uint32(len(data)))
	return append(b, data...)
}

var (
	askStructured = option(optStructured)
	askContext    = option(optSetMeta, append([]byte("\x00\x00\x00\x01a\x00\x00\x00\x01\x00\x00\x00\x0f"), allocation...)...)
	askGo         = option(optGo, []byte("\x00\x00\x00\x01a\x00\x01\x00\x03")...)
)

// FuzzHandshake has a client say anything. The server answers in whole replies, each to an option.
func FuzzHandshake(f *testing.F) {
	f.Add(greeting(askStructured, askContext, askGo))
	f.Add(greeting(option(optList), option(optListMeta, append([]byte("\x00\x00\x00\x00"), make([]byte, 4)...)...), option(optAbort)))
	f.Add(greeting(option(optExportName, 'r', 'o'), make([]byte, requestSize)))
	f.Add(greeting(option(optInfo, 0xff, 0xff, 0xff, 0xff), option(77, 1, 2, 3)))
	f.Fuzz(func(t *testing.T, said []byte) {
		heard := converse(t, said)
		if hello := heard.Next(18); len(hello) != 18 {
			t.Fatalf("the server begins with %x", hello)
		}
		readOptionReplies(t, heard)
	})
}

// readOptionReplies reads replies to options, as long as that is what they are.
func readOptionReplies(t *testing.T, heard *bytes.Buffer) {
	t.Helper()
	for heard.Len() >= 20 && be.Uint64(heard.Bytes()) == magicOptionReply {
		head := heard.Next(20)
		length := int(be.Uint32(head[16:]))
		if got := len(heard.Next(length)); got != length {
			t.Fatalf("a reply to option %d has %d of %d bytes", be.Uint32(head[8:]), got, length)
		}
	}
}

// FuzzTransmission has a client send any commands. Each is answered once, and a structured read covers what was asked for.
func FuzzTransmission(f *testing.F) {
	var seed []byte
	for _, c := range [][shortRequest]byte{
		{0, 0, cmdRead, 0, 0, 8, 0}, {0, cmdFlagDF, cmdRead, 0, 0, 8, 0}, {0, cmdFlagFUA, cmdWrite, 0, 8, 0, 8}, {0, 0, cmdFlush},
		{0, 0, cmdTrim, 0, 0, 0, 8}, {0, cmdFlagNoHole, cmdWriteZeroes, 0, 0, 0, 8}, {0, cmdFlagReqOne, cmdBlockStatus, 0, 0, 8, 0},
		{0, 0, cmdBlockStatus, 0, 16, 4, 0}, {0, 0, cmdDisconnect},
	} {
		seed = append(seed, c[:]...)
	}
	seed = append(seed, make([]byte, requestSize)...)
	f.Add(seed, true)
	f.Add(seed, false)
	f.Add(bytes.Repeat([]byte{1, 0xff, 0, 7, 9}, 3*requestSize), true)
	f.Fuzz(func(t *testing.T, commands []byte, structured bool) {
		said, asked := askAll(commands)
		options := greeting(askGo)
		if structured {
			options = greeting(askStructured, askContext, askGo)
		}
		heard := converse(t, append(options, said...))
		heard.Next(18)
		readOptionReplies(t, heard)
		readReplies(t, heard, asked)
	})
}

// request is a command that was sent.
type request struct {
	kind     uint16
	length   uint32
	answered bool
	covered  int // bytes that content chunks are about
}

// shortRequest is how many bytes make a command that is about something, offset and length in units of 512 bytes.
const shortRequest = 8

// askAll makes commands of bytes, with the right magic number and a cookie each: any command of a whole header behind a byte
// that is odd, else one that is likely to be good of a few bytes.
func askAll(b []byte) (said []byte, asked []request) {
	for len(b) > requestSize && len(asked) < 64 {
		c := bytes.Clone(b[1 : 1+requestSize])
		if b[0]%2 == 1 {
			b = b[1+requestSize:]
		} else {
			clear(c[4:])
			be.PutUint16(c[4:], uint16(b[1]))
			be.PutUint16(c[6:], uint16(b[2]%10))
			be.PutUint64(c[16:], uint64(be.Uint16(b[3:]))*512)
			be.PutUint32(c[24:], uint32(be.Uint16(b[5:]))*512)
			b = b[shortRequest:]
		}
		be.PutUint32(c, magicRequest)
		be.PutUint64(c[8:], uint64(len(asked)))
		r := request{kind: be.Uint16(c[6:]), length: be.Uint32(c[24:])}
		asked, said = append(asked, r), append(said, c...)
		if r.kind == cmdWrite {
			said = append(said, make([]byte, min(int(r.length), 1<<20))...)
		}
	}
	return said, asked
}

// readReplies reads replies to commands, and checks them against what was asked.
func readReplies(t *testing.T, heard *bytes.Buffer, asked []request) {
	t.Helper()
	for heard.Len() > 0 {
		head := heard.Next(replySize)
		cookie := be.Uint64(head[8:])
		if len(head) != replySize || cookie >= uint64(len(asked)) || asked[cookie].answered {
			t.Fatalf("reply %x to no command, or the second one", head)
		}
		r := &asked[cookie]
		if be.Uint32(head) == magicReply {
			r.answered = true
			if r.kind == cmdRead && be.Uint32(head[4:]) == 0 {
				heard.Next(int(r.length))
			}
			continue
		}
		if be.Uint32(head) != magicChunk {
			t.Fatalf("reply begins with %x", head)
		}
		length := int(be.Uint32(heard.Next(4)))
		body := heard.Next(length)
		if len(body) != length {
			t.Fatalf("chunk of %d bytes has %d", length, len(body))
		}
		r.answered = be.Uint16(head[4:])&chunkDone != 0
		r.take(t, be.Uint16(head[6:]), body)
	}
}

// take takes note of a chunk.
func (r *request) take(t *testing.T, kind uint16, body []byte) {
	t.Helper()
	failed := false
	switch kind {
	case chunkNone:
	case chunkOffsetData:
		r.covered += len(body) - 8
	case chunkOffsetHole:
		r.covered += int(be.Uint32(body[8:]))
	case chunkStatus:
		for b := body[4:]; len(b) > 0; b = b[8:] {
			r.covered += int(be.Uint32(b))
		}
		if r.covered == 0 || r.covered > int(r.length) {
			t.Errorf("a status of %d bytes tells of %d", r.length, r.covered)
		}
	case chunkError:
		failed = true
	default:
		t.Fatalf("chunk of kind %d", kind)
	}
	if r.answered && r.kind == cmdRead && !failed && r.covered != int(r.length) {
		t.Errorf("a read of %d bytes is answered with %d", r.length, r.covered)
	}
}
