// SPDX-License-Identifier: Apache-2.0

package ibtrs

import (
	"errors"
	"testing"

	"github.com/ibnbd/ibnbd/reference/layout"
	"github.com/ibnbd/ibnbd/reference/layout/layouttest"
)

func FuzzParseConnRequest(f *testing.F) {
	seed, _ := goldenConnRequest().AppendBinary(nil)
	f.Add(seed)
	f.Fuzz(func(t *testing.T, b []byte) {
		layouttest.RoundTrip(t, b, ParseConnRequest, func(ConnRequest) int { return ConnRequestSize })
	})
}

func FuzzParseConnResponse(f *testing.F) {
	for _, r := range []ConnResponse{Accept(DefaultGeometry, KeyRefresh), Reject(ECONNRESET)} {
		seed, _ := r.AppendBinary(nil)
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		layouttest.RoundTrip(t, b, ParseConnResponse, func(ConnResponse) int { return ConnResponseSize })
		if r, err := ParseConnResponse(b); err == nil {
			if g, err := r.Geometry(); err == nil && (g.Shift() < 0 || g.ChunkSize() == 0) {
				t.Errorf("geometry %+v passed", g)
			}
		}
	})
}

func FuzzParseInfoRequest(f *testing.F) {
	r, _ := NewInfoRequest("blya")
	seed, _ := r.AppendBinary(nil)
	f.Add(seed)
	f.Fuzz(func(t *testing.T, b []byte) {
		layouttest.RoundTrip(t, b, ParseInfoRequest, func(InfoRequest) int { return InfoRequestSize })
	})
}

func FuzzParseInfoResponse(f *testing.F) {
	seed, _ := NewInfoResponse(goldenRegions).AppendBinary(nil)
	f.Add(seed, uint16(512), uint32(126976))
	f.Fuzz(func(t *testing.T, b []byte, depth uint16, maxIO uint32) {
		layouttest.RoundTrip(t, b, ParseInfoResponse, InfoResponse.Size)
		r, err := ParseInfoResponse(b)
		if errors.Is(err, layout.ErrShort) {
			return
		}
		g := Geometry{depth, maxIO, DefaultMaxHeaderSize}
		if chunks, err := r.AppendChunks(nil, g); err == nil && len(chunks) != int(depth) {
			t.Errorf("%d chunks for depth %d", len(chunks), depth)
		}
	})
}

func FuzzParseDescriptor(f *testing.F) {
	f.Add([]byte(goldenReadPlace))
	f.Fuzz(func(t *testing.T, b []byte) {
		layouttest.RoundTrip(t, b, ParseDescriptor, func(Descriptor) int { return DescriptorSize })
	})
}

func FuzzParseWriteMessage(f *testing.F) {
	f.Add([]byte{2, 0, 32, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		layouttest.RoundTrip(t, b, ParseWriteMessage, func(WriteMessage) int { return WriteMessageSize })
	})
}

func FuzzParseReadMessage(f *testing.F) {
	seed, _ := ReadMessage{TypeRead, 32, NeedInvalidate, 1, goldenReadPlace}.AppendBinary(nil)
	f.Add(seed)
	f.Fuzz(func(t *testing.T, b []byte) {
		layouttest.RoundTrip(t, b, ParseReadMessage, ReadMessage.Size)
	})
}

func FuzzParseKeyResponse(f *testing.F) {
	seed, _ := KeyResponse{TypeKeyResponse, 3, 0x0001e4a2}.AppendBinary(nil)
	f.Add(seed)
	f.Fuzz(func(t *testing.T, b []byte) {
		layouttest.RoundTrip(t, b, ParseKeyResponse, func(KeyResponse) int { return KeyResponseSize })
	})
}

func FuzzParseImmediate(f *testing.F) {
	f.Add([]byte{0x0f, 0xf9, 0xf0, 0x20}, uint16(512))
	f.Fuzz(func(t *testing.T, b []byte, depth uint16) {
		layouttest.RoundTrip(t, b, ParseImmediate, func(Immediate) int { return ImmediateSize })
		i, err := ParseImmediate(b)
		if err != nil || i.Type() != ImmRequest {
			return
		}
		g := Geometry{depth, DefaultMaxIOSize, DefaultMaxHeaderSize}
		if chunk, offset, err := g.Request(i); err == nil {
			if back, err := g.RequestImmediate(chunk, offset); back != i || err != nil {
				t.Errorf("%v names chunk %d offset %d, which gives %v (%v)", i, chunk, offset, back, err)
			}
		}
	})
}

func FuzzParseChunk(f *testing.F) {
	message, _ := ReadMessage{TypeRead, 32, NeedInvalidate, 1, goldenReadPlace}.AppendBinary(make([]byte, 64+32))
	f.Add(message, uint32(64+32))
	f.Add([]byte{2, 0, 0, 0}, uint32(0))
	f.Fuzz(func(t *testing.T, chunk []byte, offset uint32) {
		r, err := ParseChunk(chunk, offset, 1)
		if err != nil {
			return
		}
		if len(r.Data)+len(r.Header) != int(offset) || r.Descriptors.Len() > 1 {
			t.Errorf("offset %d: %d bytes of data, %d of header, %d descriptors", offset, len(r.Data), len(r.Header), r.Descriptors.Len())
		}
	})
}
