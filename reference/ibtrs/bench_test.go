// SPDX-License-Identifier: Apache-2.0

package ibtrs

import "testing"

// The I/O path builds and reads these messages for every request, so they must not allocate.

func BenchmarkAppendRead(b *testing.B) {
	m := ReadMessage{TypeRead, 32, NeedInvalidate, 1, goldenReadPlace}
	buf := make([]byte, 0, 64)
	b.ReportAllocs()
	for b.Loop() {
		buf, _ = m.AppendBinary(buf[:0])
	}
}

func BenchmarkParseChunkOfRead(b *testing.B) {
	message, _ := ReadMessage{TypeRead, 32, NeedInvalidate, 1, goldenReadPlace}.AppendBinary(nil)
	chunk, offset := makeChunk(4096, make([]byte, 32), message)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseChunk(chunk, offset, 1); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRequestImmediate(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		i, _ := DefaultGeometry.RequestImmediate(3, 4128)
		if _, _, err := DefaultGeometry.Request(i); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkKeyResponse(b *testing.B) {
	buf := make([]byte, 0, 8)
	b.ReportAllocs()
	for b.Loop() {
		buf, _ = KeyResponse{TypeKeyResponse, 3, 0x0001e4a2}.AppendBinary(buf[:0])
		if _, err := ParseKeyResponse(buf); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseConnRequest(b *testing.B) {
	wire, _ := goldenConnRequest().AppendBinary(nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseConnRequest(wire); err != nil {
			b.Fatal(err)
		}
	}
}

func TestIOPathDoesNotAllocate(t *testing.T) {
	message, _ := ReadMessage{TypeRead, 32, NeedInvalidate, 1, goldenReadPlace}.AppendBinary(nil)
	chunk, offset := makeChunk(4096, make([]byte, 32), message)
	buf := make([]byte, 0, 64)
	allocations := testing.AllocsPerRun(100, func() {
		buf, _ = ReadMessage{TypeRead, 32, NeedInvalidate, 1, goldenReadPlace}.AppendBinary(buf[:0])
		buf, _ = KeyResponse{TypeKeyResponse, 3, 1}.AppendBinary(buf[:0])
		_, _ = ParseKeyResponse(buf)
		_, _ = ParseChunk(chunk, offset, 1)
		i, _ := DefaultGeometry.RequestImmediate(3, offset)
		_, _, _ = DefaultGeometry.Request(i)
	})
	if allocations != 0 {
		t.Errorf("%v allocations for a request, want none", allocations)
	}
}
