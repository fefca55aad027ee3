// SPDX-License-Identifier: Apache-2.0

package roce_test

import (
	"errors"
	"testing"

	"github.com/ibnbd/ibnbd/reference/roce"
)

// rcOpcodes is the opcode table of the InfiniBand Architecture Specification
// for reliable connections: extension headers and the legal payload lengths at a
// path MTU of 1024.
var rcOpcodes = []struct {
	op        roce.OpCode
	name      string
	ext       string
	extLen    int
	low, high int
	receive   bool
}{
	{0x00, "SEND First", "", 0, 1024, 1024, true},
	{0x01, "SEND Middle", "", 0, 1024, 1024, false},
	{0x02, "SEND Last", "", 0, 1, 1024, false},
	{0x03, "SEND Last with Immediate", "ImmDt", 4, 1, 1024, false},
	{0x04, "SEND Only", "", 0, 0, 1024, true},
	{0x05, "SEND Only with Immediate", "ImmDt", 4, 0, 1024, true},
	{0x06, "RDMA WRITE First", "RETH", 16, 1024, 1024, false},
	{0x07, "RDMA WRITE Middle", "", 0, 1024, 1024, false},
	{0x08, "RDMA WRITE Last", "", 0, 1, 1024, false},
	{0x09, "RDMA WRITE Last with Immediate", "ImmDt", 4, 1, 1024, true},
	{0x0A, "RDMA WRITE Only", "RETH", 16, 0, 1024, false},
	{0x0B, "RDMA WRITE Only with Immediate", "RETH+ImmDt", 20, 0, 1024, true},
	{0x0C, "RDMA READ Request", "RETH", 16, 0, 0, false},
	{0x0D, "RDMA READ Response First", "AETH", 4, 1024, 1024, false},
	{0x0E, "RDMA READ Response Middle", "", 0, 1024, 1024, false},
	{0x0F, "RDMA READ Response Last", "AETH", 4, 1, 1024, false},
	{0x10, "RDMA READ Response Only", "AETH", 4, 0, 1024, false},
	{0x11, "Acknowledge", "AETH", 4, 0, 0, false},
	{0x12, "Atomic Acknowledge", "AETH+AtomicAckETH", 12, 0, 0, false},
	{0x13, "Compare & Swap", "AtomicETH", 28, 0, 0, false},
	{0x14, "Fetch & Add", "AtomicETH", 28, 0, 0, false},
	{0x16, "SEND Last with Invalidate", "IETH", 4, 1, 1024, false},
	{0x17, "SEND Only with Invalidate", "IETH", 4, 0, 1024, true},
	{0x1C, "FLUSH", "FETH+RETH", 20, 0, 0, false},
	{0x1D, "ATOMIC WRITE", "RETH", 16, 8, 8, false},
}

func TestOpcodes(t *testing.T) {
	known := map[roce.OpCode]bool{roce.CNP: true}
	check := func(op roce.OpCode, name, ext string, extLen, low, high int, receive bool) {
		t.Helper()
		known[op] = true
		if got := op.String(); got != name {
			t.Errorf("%#02x is %q, want %q", uint8(op), got, name)
		}
		if got := op.Ext(); got.String() != ext || got.Len() != extLen || op.HeaderLen() != roce.BTHLen+extLen {
			t.Errorf("%v: headers %v of %d bytes, %d with BTH; want %v of %d", op, got, got.Len(), op.HeaderLen(), ext, extLen)
		}
		if op.ConsumesReceive() != receive {
			t.Errorf("%v: ConsumesReceive is %v", op, !receive)
		}
		checkPayloadBounds(t, op, low, high)
	}
	for _, r := range rcOpcodes {
		check(r.op, "RC "+r.name, r.ext, r.extLen, r.low, r.high, r.receive)
		if r.op <= 0x0B {
			check(r.op|0x20, "UC "+r.name, r.ext, r.extLen, r.low, r.high, r.receive)
		}
		if r.op <= 0x17 {
			ext, extLen := r.ext, r.extLen
			if r.op < 0x0D || r.op > 0x12 {
				ext, extLen = "XRCETH", 4+r.extLen
				if r.ext != "" {
					ext += "+" + r.ext
				}
			}
			check(r.op|0xA0, "XRC "+r.name, ext, extLen, r.low, r.high, r.receive)
		}
	}
	check(0x64, "UD SEND Only", "DETH", 8, 0, 1024, true)
	check(0x65, "UD SEND Only with Immediate", "DETH+ImmDt", 12, 0, 1024, true)
	check(0x81, "CNP", "CNP reserved", 16, 0, 0, false)

	for i := range 256 {
		if op := roce.OpCode(i); op.Known() != known[op] {
			t.Errorf("%v: Known is %v", op, op.Known())
		}
	}
}

func checkPayloadBounds(t *testing.T, op roce.OpCode, low, high int) {
	t.Helper()
	for _, n := range []int{low, high} {
		if err := op.CheckPayload(n, 1024); err != nil {
			t.Errorf("%v: payload of %d bytes: %v", op, n, err)
		}
	}
	if err := op.CheckPayload(high+1, 1024); !errors.Is(err, roce.ErrTooLong) {
		t.Errorf("%v: payload of %d bytes: %v, want ErrTooLong", op, high+1, err)
	}
	if err := op.CheckPayload(low-1, 1024); !errors.Is(err, roce.ErrMalformed) {
		t.Errorf("%v: payload of %d bytes: %v, want ErrMalformed", op, low-1, err)
	}
}

func TestOpcodeRoles(t *testing.T) {
	for _, c := range []struct {
		op                            roce.OpCode
		request, response, start, end bool
	}{
		{roce.RCSendFirst, true, false, true, false},
		{roce.RCSendMiddle, true, false, false, false},
		{roce.RCWriteLastImm, true, false, false, true},
		{roce.RCReadRequest, true, false, true, true},
		{roce.RCReadResponseMiddle, false, true, false, false},
		{roce.RCAcknowledge, false, true, false, false},
		{roce.XRCAtomicAcknowledge, false, true, true, true},
		{roce.UDSendOnlyImm, true, false, true, true},
		{roce.CNP, false, false, false, false},
		{0x1F, false, false, false, false},
	} {
		if c.op.IsRequest() != c.request || c.op.IsResponse() != c.response ||
			c.op.StartsMessage() != c.start || c.op.EndsMessage() != c.end {
			t.Errorf("%v: request %v, response %v, starts %v, ends %v", c.op,
				c.op.IsRequest(), c.op.IsResponse(), c.op.StartsMessage(), c.op.EndsMessage())
		}
	}
	if got := roce.XRCWriteOnly.Class(); got != roce.ClassXRC {
		t.Errorf("class of XRC WRITE Only is %#x", got)
	}
}
