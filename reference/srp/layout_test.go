// SPDX-License-Identifier: Apache-2.0

package srp

import (
	"encoding/binary"
	"testing"

	"github.com/ibnbd/ibnbd/reference/layout/layouttest"
)

func TestLayoutMatchesCodec(t *testing.T) {
	layouttest.Check(t, loginReqLayout, ParseLoginReq)
	layouttest.Check(t, loginReqCMLayout, ParseLoginReqCM)
	layouttest.Check(t, loginRspLayout, ParseLoginRsp)
	layouttest.Check(t, loginRejLayout, ParseLoginRej)
	layouttest.Check(t, cmdLayout, ParseCmd)
	layouttest.Check(t, memoryDescriptorLayout, ParseMemoryDescriptor)
	layouttest.Check(t, rspLayout, ParseRsp)
	layouttest.Check(t, credReqLayout, ParseCredReq)
	layouttest.Check(t, credRspLayout, ParseCredRsp)
	layouttest.Check(t, aerReqLayout, ParseAERReq)
	layouttest.Check(t, aerRspLayout, ParseAERRsp)
	layouttest.Check(t, tskMgmtLayout, ParseTskMgmt)
	layouttest.Check(t, iLogoutLayout, ParseILogout)
	layouttest.Check(t, tLogoutLayout, ParseTLogout)
}

// flatIndirect and flatImmediate are the descriptors of a Buffer with one field for each row of their tables.
type flatIndirect struct {
	TableAddress uint64
	TableRKey    uint32
	TableLength  uint32
	Total        uint32
}

func (f flatIndirect) AppendBinary(b []byte) ([]byte, error) {
	return IndirectBuffer(MemoryDescriptor{f.TableAddress, f.TableRKey, f.TableLength}, nil, f.Total).appendDescriptor(b), nil
}

func parseFlatIndirect(b []byte) (flatIndirect, error) {
	d := decodeBuffer(Indirect, b)
	return flatIndirect{d.Memory.Address, d.Memory.RKey, d.Memory.Length, d.Length}, nil
}

type flatImmediate struct{ Length uint32 }

func (f flatImmediate) AppendBinary(b []byte) ([]byte, error) {
	return Buffer{Format: Immediate, Length: f.Length}.appendDescriptor(b), nil
}

func parseFlatImmediate(b []byte) (flatImmediate, error) {
	return flatImmediate{decodeBuffer(Immediate, b).Length}, nil
}

func TestLayoutOfDescriptorsMatchesCodec(t *testing.T) {
	layouttest.Check(t, indirectLayout, parseFlatIndirect)
	layouttest.Check(t, immediateLayout, parseFlatImmediate)
}

func TestReservedSet(t *testing.T) {
	m := Cmd{Type: TypeCmd, TaskAttribute: 0x80, AddCDBLength: 0x03, Notify: 0x06}
	m.Reserved16[3] = 1
	wire, _ := m.AppendBinary(nil)
	var names []string
	for _, f := range cmdLayout.ReservedSet(wire) {
		names = append(names, f.Field)
	}
	if len(names) != 3 || names[0] != "reserved16" || names[1] != "task_attribute" || names[2] != "add_cdb_length" {
		t.Errorf("found %v", names)
	}
	if binary.BigEndian.Uint32(wire[16:]) != 1 {
		t.Error("reserved bytes did not reach the wire")
	}
}
