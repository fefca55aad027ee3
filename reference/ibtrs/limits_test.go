// SPDX-License-Identifier: Apache-2.0

package ibtrs

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/ibnbd/ibnbd/reference/layout"
)

// wantFault fails unless err is a layout.Error about field at offset.
func wantFault(t *testing.T, err error, field string, offset int) {
	t.Helper()
	var fault *layout.Error
	if !errors.As(err, &fault) {
		t.Fatalf("error %v is no layout.Error, want one about %s", err, field)
	}
	if fault.Field != field || fault.Offset != offset {
		t.Errorf("error %q is about %s at %d, want %s at %d", err, fault.Field, fault.Offset, field, offset)
	}
}

func TestConnRequestNamesFieldAtFault(t *testing.T) {
	for _, c := range []struct {
		name   string
		spoil  func(*ConnRequest)
		field  string
		offset int
	}{
		{"magic", func(r *ConnRequest) { r.Magic = 0xbd1b }, "magic", 2},
		{"major 1", func(r *ConnRequest) { r.Version = 0x0100 }, "version", 4},
		{"major 3", func(r *ConnRequest) { r.Version = 0x0300 }, "version", 4},
		{"count 4097", func(r *ConnRequest) { r.ConnectionCount = 4097 }, "connection_count", 8},
		{"cid equals count", func(r *ConnRequest) { r.CID = r.ConnectionCount }, "cid", 6},
		{"count 0", func(r *ConnRequest) { r.ConnectionCount = 0 }, "cid", 6},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := goldenConnRequest()
			c.spoil(&r)
			wire, _ := r.AppendBinary(nil)
			back, err := ParseConnRequest(wire)
			wantFault(t, err, c.field, c.offset)
			if back != r {
				t.Error("the illegal request did not come back complete")
			}
		})
	}
	r := goldenConnRequest()
	r.Version, r.ConnectionCount, r.CID, r.Reserved[0] = 0x0207, 4096, 4095, 1
	if err := r.Validate(); err != nil {
		t.Errorf("version 2.7, 4096 connections, reserved bytes set: %v", err)
	}
}

func TestTooShortMessages(t *testing.T) {
	for _, c := range []struct {
		name  string
		need  int
		parse func([]byte) error
	}{
		{"conn_request", 56, func(b []byte) error { _, err := ParseConnRequest(b); return err }},
		{"conn_response", 56, func(b []byte) error { _, err := ParseConnResponse(b); return err }},
		{"info_request", 272, func(b []byte) error { _, err := ParseInfoRequest(b); return err }},
		{"info_response", 8, func(b []byte) error { _, err := ParseInfoResponse(b); return err }},
		{"descriptor", 16, func(b []byte) error { _, err := ParseDescriptor(b); return err }},
		{"write_message", 4, func(b []byte) error { _, err := ParseWriteMessage(b); return err }},
		{"read_message", 8, func(b []byte) error { _, err := ParseReadMessage(b); return err }},
		{"key_response", 8, func(b []byte) error { _, err := ParseKeyResponse(b); return err }},
		{"immediate", 4, func(b []byte) error { _, err := ParseImmediate(b); return err }},
	} {
		t.Run(c.name, func(t *testing.T) {
			for n := range c.need {
				if err := c.parse(make([]byte, n)); !errors.Is(err, layout.ErrShort) {
					t.Errorf("%d of %d bytes: %v, want ErrShort", n, c.need, err)
				}
			}
			if err := c.parse(make([]byte, c.need)); errors.Is(err, layout.ErrShort) {
				t.Errorf("%d bytes: %v", c.need, err)
			}
		})
	}
}

func TestConnResponse(t *testing.T) {
	for _, c := range []struct {
		errno int16
		want  Errno
	}{{-104, ECONNRESET}, {-17, EEXIST}, {0, ECONNRESET}, {5, ECONNRESET}, {-32768, 32768}} {
		if got := (ConnResponse{Errno: c.errno}).Rejection(); got != c.want {
			t.Errorf("reject with errno %d means %v, want %v", c.errno, got, c.want)
		}
	}
	accept := Accept(DefaultGeometry, KeyRefresh|1<<7)
	if g, err := accept.Geometry(); g != DefaultGeometry || err != nil {
		t.Errorf("geometry %v (%v)", g, err)
	}
	_, err := Reject(EBUSY).Geometry()
	wantFault(t, err, "errno", 4)
	accept.Version = 0x0300
	wantFault(t, accept.Validate(), "version", 2)
}

func TestGeometryLimits(t *testing.T) {
	for _, c := range []struct {
		name  string
		g     Geometry
		field string
	}{
		{"default", DefaultGeometry, ""},
		{"header of a 64 KiB page server", Geometry{512, 65536, 65536}, ""},
		{"smallest", Geometry{1, 512, 512}, ""},
		{"depth 0", Geometry{0, 126976, 4096}, "queue_depth"},
		{"header too small for OPEN", Geometry{512, 131072 - 287, 287}, "max_header_size"},
		{"header just enough", Geometry{512, 131072 - 288, 288}, ""},
		{"less than a sector", Geometry{512, 511, 513}, "max_io_size"},
		{"no power of two", Geometry{512, 126976, 4095}, "max_io_size"},
		{"sum overflows", Geometry{1, 1 << 31, 1 << 31}, "max_io_size"},
		{"sum wraps to a power of two", Geometry{1, 1<<32 - 1, 4097}, "max_io_size"},
		{"depth 2048 with 128 KiB", Geometry{2048, 126976, 4096}, ""},
		{"depth 2049 with 128 KiB", Geometry{2049, 126976, 4096}, "queue_depth"},
		{"depth 1 with 256 MiB", Geometry{1, 1<<28 - 4096, 4096}, ""},
		{"depth 1 with 512 MiB", Geometry{1, 1<<29 - 4096, 4096}, "queue_depth"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.g.Validate()
			if c.field == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			var fault *layout.Error
			if !errors.As(err, &fault) || fault.Field != c.field {
				t.Errorf("error %v, want one about %s", err, c.field)
			}
		})
	}
	for g, want := range map[Geometry]error{
		DefaultGeometry:     nil,
		{512, 4096, 4096}:   nil,
		{512, 2048, 2048}:   EINVAL,
		{65535, 4096, 4096}: EINVAL,
		{0, 126976, 4096}:   EINVAL,
	} {
		if err := g.ValidateServer(); !errors.Is(err, want) {
			t.Errorf("server with %+v: %v, want %v", g, err, want)
		}
	}
}

// The depths of Clause IBNBD-LIM-001, with the largest chunk that fits each.
func TestDepths(t *testing.T) {
	for _, c := range []struct {
		depth uint16
		shift int
		chunk uint32
	}{
		{1, 28, 1 << 28}, {2, 27, 1 << 27}, {3, 26, 1 << 26}, {512, 19, 1 << 19}, {513, 18, 1 << 18},
		{2048, 17, 1 << 17}, {4096, 16, 1 << 16}, {32768, 13, 1 << 13}, {65535, 12, 1 << 12},
	} {
		t.Run(fmt.Sprint(c.depth), func(t *testing.T) {
			g := Geometry{c.depth, c.chunk - 1024, 1024}
			if err := g.Validate(); err != nil {
				t.Fatal(err)
			}
			if g.Shift() != c.shift {
				t.Fatalf("shift %d, want %d", g.Shift(), c.shift)
			}
			checkPlaces(t, g)
		})
	}
}

func checkPlaces(t *testing.T, g Geometry) {
	t.Helper()
	lastChunk, lastByte := uint32(g.QueueDepth)-1, g.ChunkSize()-1
	for _, chunk := range []uint32{0, lastChunk / 2, lastChunk} {
		for _, offset := range []uint32{0, 1, lastByte / 2, lastByte} {
			i, err := g.RequestImmediate(chunk, offset)
			if err != nil {
				t.Fatal(err)
			}
			if c, o, err := g.Request(i); c != chunk || o != offset || i.Type() != ImmRequest || err != nil {
				t.Errorf("chunk %d offset %d came back as %d, %d (%v)", chunk, offset, c, o, err)
			}
		}
	}
	_, err := g.RequestImmediate(lastChunk+1, 0)
	wantFault(t, err, "chunk", 0)
	_, err = g.RequestImmediate(0, lastByte+1)
	wantFault(t, err, "offset", 0)
}

func TestRequestOutsideTheSession(t *testing.T) {
	g := Geometry{513, 131072 - 4096, 4096}
	_, _, err := g.Request(MakeImmediate(ImmRequest, 513<<g.Shift()))
	wantFault(t, err, "chunk", 0)
	chunk, offset, err := g.Request(MakeImmediate(ImmRequest, 5<<g.Shift()|131072))
	wantFault(t, err, "offset", 0)
	if chunk != 5 || offset != 131072 {
		t.Errorf("illegal place came back as chunk %d offset %d", chunk, offset)
	}
}

func TestResponseImmediateMapsWhatDoesNotFit(t *testing.T) {
	for in, want := range map[Errno]Errno{0: 0, EIO: EIO, 511: 511, 512: EIO, ENOTSUPP: EOPNOTSUPP, 65535: EIO} {
		i, err := ResponseImmediate(1, in, false)
		if err != nil {
			t.Fatal(err)
		}
		if _, got, _, _ := i.Response(); got != want {
			t.Errorf("%v travels as %v, want %v", in, got, want)
		}
	}
	if _, err := ResponseImmediate(MaxMessageID, 0, true); err != nil {
		t.Error(err)
	}
	_, err := ResponseImmediate(MaxMessageID+1, 0, true)
	wantFault(t, err, "id", 0)
	if _, _, _, ok := Heartbeat.Response(); ok {
		t.Error("a heartbeat passed for a response")
	}
}

func TestErrnoOf(t *testing.T) {
	for _, c := range []struct {
		err  error
		want Errno
	}{
		{nil, 0},
		{fmt.Errorf("open: %w", ENOENT), ENOENT},
		{fmt.Errorf("open: %w", syscall.EACCES), EACCES},
		{ENOTSUPP, EOPNOTSUPP},
		{syscall.Errno(70000), EIO},
		{(&InfoRequest{Type: 9}).Validate(), EINVAL},
		{layout.Short("IBNBD message", 3, 4), EINVAL},
		{errors.New("something else"), EIO},
	} {
		if got := ErrnoOf(c.err); got != c.want {
			t.Errorf("%v travels as %v, want %v", c.err, got, c.want)
		}
	}
}

func TestInfoRequestNamesFieldAtFault(t *testing.T) {
	for name, want := range map[string]string{"": "session_name", "a/b": "session_name", "a.b": "session_name", "blya": ""} {
		var r InfoRequest
		copy(r.SessionName[:], name)
		if want == "" {
			if err := r.Validate(); err != nil {
				t.Error(err)
			}
			continue
		}
		wantFault(t, r.Validate(), want, 2)
		if _, err := NewInfoRequest(name); !errors.Is(err, EINVAL) {
			t.Errorf("session %q: %v, want EINVAL", name, err)
		}
	}
	unterminated := InfoRequest{SessionName: layout.Name([]byte(strings.Repeat("x", 255)))}
	wantFault(t, unterminated.Validate(), "session_name", 2)
	wrongType := InfoRequest{Type: 1}
	wantFault(t, wrongType.Validate(), "type", 0)

	longest, err := NewInfoRequest(strings.Repeat("x", 254))
	if err != nil || longest.Validate() != nil {
		t.Errorf("name of 254 characters: %v, %v", err, longest.Validate())
	}
	if _, err := NewInfoRequest(strings.Repeat("x", 255)); !errors.Is(err, EINVAL) {
		t.Errorf("name of 255 characters: %v, want EINVAL", err)
	}
}

func TestInfoResponseChunks(t *testing.T) {
	chunks, err := NewInfoResponse(goldenRegions).AppendChunks(nil, DefaultGeometry)
	if err != nil {
		t.Fatal(err)
	}
	if len(chunks) != 512 {
		t.Fatalf("%d chunks, want 512", len(chunks))
	}
	for i, want := range map[int]Chunk{
		0:   {0x12340000, 0x0001e4a1},
		255: {0x12340000 + 255*131072, 0x0001e4a1},
		256: {0x16340000, 0x0001e5a1},
		511: {0x16340000 + 255*131072, 0x0001e5a1},
	} {
		if chunks[i] != want {
			t.Errorf("chunk %d is %+v, want %+v", i, chunks[i], want)
		}
	}
}

func TestInfoResponseNamesFieldAtFault(t *testing.T) {
	regions := func(lengths ...uint32) InfoResponse {
		var list Descriptors
		for i, n := range lengths {
			list = list.Append(Descriptor{Address: uint64(i) << 32, Length: n})
		}
		return NewInfoResponse(list)
	}
	g := Geometry{4, 4096, 4096}
	for _, c := range []struct {
		name   string
		r      InfoResponse
		field  string
		offset int
	}{
		{"no region", regions(), "count", 2},
		{"three regions for four chunks", regions(16384, 8192, 8192), "count", 2},
		{"empty region", regions(32768, 0), "length", 36},
		{"no multiple of the chunk size", regions(12288, 20480), "length", 20},
		{"a chunk too many", regions(16384, 24576), "length", 36},
		{"a chunk missing", regions(16384, 8192), "count", 2},
		{"one region of 2^32-8192 bytes", regions(1<<32 - 8192), "length", 20},
		{"address wraps", NewInfoResponse(Descriptors{}.Append(Descriptor{1<<64 - 8192, 1, 32768})), "length", 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			chunks, err := c.r.AppendChunks(nil, g)
			wantFault(t, err, c.field, c.offset)
			if chunks != nil {
				t.Errorf("%d chunks appended in spite of the error", len(chunks))
			}
		})
	}
	if _, err := regions(16384, 16384).AppendChunks(nil, g); err != nil {
		t.Error(err)
	}

	wire, _ := NewInfoResponse(goldenRegions).AppendBinary(nil)
	cut, err := ParseInfoResponse(wire[:39])
	wantFault(t, err, "count", 2)
	if cut.Regions.Len() != 1 {
		t.Errorf("%d regions of a cut message, want the 1 that is whole", cut.Regions.Len())
	}
	wire[0] = 9
	_, err = ParseInfoResponse(wire)
	wantFault(t, err, "type", 0)
}

func TestKeyResponseCheck(t *testing.T) {
	g := DefaultGeometry
	response, _ := ResponseImmediate(3, 0, false)
	if err := (KeyResponse{TypeKeyResponse, 3, 1}).Check(g, response); err != nil {
		t.Error(err)
	}
	if err := (KeyResponse{TypeKeyResponse, 3, 1}).Check(g, Heartbeat); err != nil {
		t.Errorf("with an immediate that is no response: %v", err)
	}
	wantFault(t, KeyResponse{TypeKeyResponse, 4, 1}.Check(g, response), "chunk", 2)
	wantFault(t, KeyResponse{TypeKeyResponse, 512, 1}.Check(g, response), "chunk", 2)
	_, err := ParseKeyResponse([]byte{3, 0, 3, 0, 0, 0, 0, 0})
	wantFault(t, err, "type", 0)
}

// makeChunk puts data, user header and transport message together in a chunk of 8192 bytes.
func makeChunk(dataLength int, header, message []byte) (chunk []byte, offset uint32) {
	chunk = make([]byte, 8192)
	copy(chunk[dataLength:], header)
	copy(chunk[dataLength+len(header):], message)
	return chunk, uint32(dataLength + len(header))
}

func TestParseChunkFindsTheParts(t *testing.T) {
	header := []byte("user header")
	message, _ := WriteMessage{TypeWrite, uint16(len(header))}.AppendBinary(nil)
	chunk, offset := makeChunk(512, header, message)
	write, err := ParseChunk(chunk, offset, 1)
	if err != nil {
		t.Fatal(err)
	}
	if write.Direction != Write || len(write.Data) != 512 || string(write.Header) != "user header" {
		t.Errorf("write parsed as %v, %d bytes of data, header %q", write.Direction, len(write.Data), write.Header)
	}

	message, _ = ReadMessage{TypeRead, uint16(len(header)), NeedInvalidate, 1, goldenReadPlace}.AppendBinary(nil)
	chunk, offset = makeChunk(4096, header, message)
	read, err := ParseChunk(chunk, offset, 1)
	if err != nil {
		t.Fatal(err)
	}
	if read.Direction != Read || len(read.Data) != 4096 || read.Flags != NeedInvalidate || read.Descriptors.At(0).Length != 4096 {
		t.Errorf("read parsed as %+v", read)
	}
}

func TestParseChunkFaults(t *testing.T) {
	place := func(lengths ...uint32) (list Descriptors) {
		for _, n := range lengths {
			list = list.Append(Descriptor{Length: n})
		}
		return list
	}
	read := func(header uint16, list Descriptors) []byte {
		b, _ := ReadMessage{TypeRead, header, 0, uint16(list.Len()), list}.AppendBinary(nil)
		return b
	}
	for _, c := range []struct {
		name    string
		data    int
		message []byte
		field   string
		fatal   bool
	}{
		{"offset at the chunk's end", 8192, nil, "offset", true},
		{"message crosses the chunk's end", 8189, nil, "offset", true},
		{"type 0", 512, []byte{0, 0, 0, 0}, "type", true},
		{"type 0x102", 512, []byte{2, 1, 0, 0}, "type", true},
		{"read message crosses the end", 8186, []byte{3, 0, 0, 0}, "count", true},
		{"descriptor crosses the end", 8180, []byte{3, 0, 0, 0, 0, 0, 1, 0}, "count", true},
		{"header longer than offset", 10, []byte{2, 0, 11, 0}, "header_length", false},
		{"two descriptors", 1024, read(8, place(512, 504)), "count", false},
		{"descriptor longer than data", 520, read(8, place(513)), "length", false},
		{"descriptor empty", 520, read(8, place(0)), "length", true},
		{"descriptor longer than the chunk", 520, read(8, place(8193)), "length", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			chunk := make([]byte, 8192)
			copy(chunk[c.data:], c.message)
			_, err := ParseChunk(chunk, uint32(c.data), 1)
			var fault *layout.Error
			if !errors.As(err, &fault) || fault.Field != c.field {
				t.Fatalf("error %v, want one about %s", err, c.field)
			}
			if FatalFault(err) != c.fatal || !c.fatal && !errors.Is(err, EINVAL) {
				t.Errorf("error %v: fatal %v, want %v", err, FatalFault(err), c.fatal)
			}
		})
	}
	chunk := make([]byte, 8192)
	copy(chunk[1024:], read(8, place(512, 504)))
	if r, err := ParseChunk(chunk, 1024, 16); err != nil || r.Descriptors.Len() != 2 {
		t.Errorf("two descriptors of an original client: %v", err)
	}
}

func TestCheckSizesOfRequests(t *testing.T) {
	g := DefaultGeometry
	for _, c := range []struct {
		name string
		err  error
		want error
	}{
		{"largest write", g.CheckWrite(DefaultMaxIOSize, 4092), nil},
		{"header too long for a write", g.CheckWrite(0, 4093), EMSGSIZE},
		{"write past the chunk", g.CheckWrite(DefaultMaxIOSize+1, 4092), EMSGSIZE},
		{"largest read", g.CheckRead(DefaultMaxIOSize, 4096-24, 1), nil},
		{"header too long for a read", g.CheckRead(0, 4096-23, 1), EMSGSIZE},
		{"read past the chunk", g.CheckRead(131072-32-7, 32, 1), EMSGSIZE},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, c.err, c.want)
		}
	}
}
