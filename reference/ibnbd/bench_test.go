// SPDX-License-Identifier: Apache-2.0

package ibnbd

import (
	"testing"

	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

func BenchmarkIORequest(b *testing.B) {
	m := NewIORequest(OpWrite, FlagSync, 7, 2048, 4096)
	buf := make([]byte, 0, IORequestSize)
	b.ReportAllocs()
	for b.Loop() {
		buf, _ = m.AppendBinary(buf[:0])
		back, err := ParseIORequest(buf)
		if err == nil {
			err = back.Check(ibtrs.Write, 4096, false)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpenRequest(b *testing.B) {
	m := goldenOpen(b)
	buf := make([]byte, 0, OpenRequestSize)
	b.ReportAllocs()
	for b.Loop() {
		buf, _ = m.AppendBinary(buf[:0])
		if _, err := ParseOpenRequest(buf); err != nil {
			b.Fatal(err)
		}
	}
}

func TestMessagesDoNotAllocate(t *testing.T) {
	buf := make([]byte, 0, OpenRequestSize)
	open := goldenOpen(t)
	allocations := testing.AllocsPerRun(100, func() {
		buf, _ = NewIORequest(OpRead, FlagSync, 7, 2048, 4096).AppendBinary(buf[:0])
		m, _ := ParseIORequest(buf)
		_ = m.Check(ibtrs.Read, 4096, false)
		buf, _ = open.AppendBinary(buf[:0])
		_, _ = ParseOpenRequest(buf)
		buf, _ = goldenOpenResponse.AppendBinary(buf[:0])
		_, _ = ParseOpenResponse(buf)
	})
	if allocations != 0 {
		t.Errorf("%v allocations, want none", allocations)
	}
}
