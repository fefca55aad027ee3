// SPDX-License-Identifier: Apache-2.0

package srp

import "testing"

var benchmarkBuffer = DirectBuffer(MemoryDescriptor{0xff139a8c65ddbf00, 0x231c, 4096})

func BenchmarkAppendCommand(b *testing.B) {
	cdb := make([]byte, 10)
	buf := make([]byte, 0, 64)
	b.ReportAllocs()
	for b.Loop() {
		buf, _ = NewCmd(TagOf(7), LUN{}).AppendWith(buf[:0], cdb, Buffer{}, benchmarkBuffer, 68)
	}
}

func BenchmarkParseCommand(b *testing.B) {
	wire, err := NewCmd(TagOf(7), LUN{}).AppendWith(nil, make([]byte, 10), Buffer{}, benchmarkBuffer, 68)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		m, err := ParseCmd(wire)
		if err == nil {
			_, err = m.DataIn()
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkResponse(b *testing.B) {
	buf := make([]byte, 0, RspSize)
	b.ReportAllocs()
	for b.Loop() {
		buf, _ = Rsp{Type: TypeRsp, RequestLimitDelta: 1, Tag: TagOf(7)}.AppendBinary(buf[:0])
		if _, err := ParseRsp(buf); err != nil {
			b.Fatal(err)
		}
	}
}

func TestIOPathDoesNotAllocate(t *testing.T) {
	cdb, data := make([]byte, 10), make([]byte, 4096)
	buf := make([]byte, 0, 8260)
	allocations := testing.AllocsPerRun(100, func() {
		buf, _ = NewCmd(TagOf(7), LUN{}).AppendWith(buf[:0], cdb, ImmediateBuffer(data), benchmarkBuffer, 200)
		m, _ := ParseCmd(buf)
		_, _ = m.DataOut(200)
		_, _ = m.DataIn()
		buf, _ = Rsp{Type: TypeRsp, RequestLimitDelta: 1, Tag: m.Tag}.AppendBinary(buf[:0])
		_, _ = ParseRsp(buf)
	})
	if allocations != 0 {
		t.Errorf("%v allocations for a command, want none", allocations)
	}
}
