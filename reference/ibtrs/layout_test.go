// SPDX-License-Identifier: Apache-2.0

package ibtrs

import (
	"testing"

	"github.com/ibnbd/ibnbd/reference/layout/layouttest"
)

func TestLayoutMatchesCodec(t *testing.T) {
	layouttest.Check(t, connRequestLayout, ParseConnRequest)
	layouttest.Check(t, connResponseLayout, ParseConnResponse)
	layouttest.Check(t, infoRequestLayout, ParseInfoRequest)
	layouttest.Check(t, infoResponseLayout, ParseInfoResponse)
	layouttest.Check(t, descriptorLayout, ParseDescriptor)
	layouttest.Check(t, writeMessageLayout, ParseWriteMessage)
	layouttest.Check(t, readMessageLayout, ParseReadMessage)
	layouttest.Check(t, keyResponseLayout, ParseKeyResponse)
}

func TestLayoutOfImmediateMatchesCodec(t *testing.T) {
	wire, _ := MakeImmediate(0x9, 0x1234567).AppendBinary(nil)
	checkBits(t, wire, "immediate", map[string]uint64{"type": 0x9, "payload": 0x1234567})

	answer, err := ResponseImmediate(0x7abcd, 0x1a5, true)
	if err != nil {
		t.Fatal(err)
	}
	wire, _ = answer.AppendBinary(nil)
	checkBits(t, wire, "response_immediate", map[string]uint64{"type": 2, "errno": 0x1a5, "id": 0x7abcd})
}

// checkBits compares the groups of bits of a message that is one integer with the values wanted.
func checkBits(t *testing.T, wire []byte, message string, want map[string]uint64) {
	t.Helper()
	table := Layout.MustMessage(message)
	if err := table.Check(); err != nil {
		t.Fatal(err)
	}
	var covered uint64
	for _, bits := range table.Fields[0].Bits {
		got := table.Fields[0].Uint(wire) & bits.Mask / (bits.Mask & -bits.Mask)
		if got != want[bits.Name] {
			t.Errorf("%s.%s is %#x, want %#x", message, bits.Name, got, want[bits.Name])
		}
		if covered&bits.Mask != 0 {
			t.Errorf("%s.%s overlaps another group", message, bits.Name)
		}
		covered |= bits.Mask
	}
	if covered != 0xffffffff {
		t.Errorf("the groups of %s cover %#x of 32 bits", message, covered)
	}
}

func TestReservedSetFindsWhatSendersLeave(t *testing.T) {
	request := goldenConnRequest()
	request.FirstConnection |= 0x80
	request.Reserved[3] = 7
	wire, _ := request.AppendBinary(nil)

	found := connRequestLayout.ReservedSet(wire)
	if len(found) != 2 || found[0].Field != "first_connection" || found[0].Bits != 0x80 || found[1].Offset != 45 {
		t.Errorf("found %+v, want bit 7 of first_connection and the reserved bytes at 45", found)
	}

	info, _ := NewInfoRequest("blya")
	info.SessionName[200] = 'x'
	wire, _ = info.AppendBinary(nil)
	if found := infoRequestLayout.ReservedSet(wire); len(found) != 1 || found[0].Field != "session_name" {
		t.Errorf("found %+v, want the byte behind the NUL of session_name", found)
	}
}
