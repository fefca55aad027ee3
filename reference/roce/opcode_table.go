// SPDX-License-Identifier: Apache-2.0

package roce

// opInfo is what is known of one opcode.
type opInfo struct {
	name      string
	operation Operation
	position  Position
	ext       Ext
	extLen    uint8
	payload   PayloadRule
}

// operations is the RC numbering, opcode bits 4:0. UC, UD and XRC number the
// operations they have in the same way (InfiniBand Architecture Specification,
// volume 1, table "OpCode field"; FLUSH and ATOMIC WRITE from its memory
// placement extensions annex).
var operations = [operationsPerTransport]opInfo{
	0x00: {"SEND First", OperationSend, PositionFirst, 0, 0, PayloadPMTU},
	0x01: {"SEND Middle", OperationSend, PositionMiddle, 0, 0, PayloadPMTU},
	0x02: {"SEND Last", OperationSend, PositionLast, 0, 0, PayloadOneToMTU},
	0x03: {"SEND Last with Immediate", OperationSend, PositionLast, ExtImmDt, 0, PayloadOneToMTU},
	0x04: {"SEND Only", OperationSend, PositionOnly, 0, 0, PayloadUpToMTU},
	0x05: {"SEND Only with Immediate", OperationSend, PositionOnly, ExtImmDt, 0, PayloadUpToMTU},
	0x06: {"RDMA WRITE First", OperationWrite, PositionFirst, ExtRETH, 0, PayloadPMTU},
	0x07: {"RDMA WRITE Middle", OperationWrite, PositionMiddle, 0, 0, PayloadPMTU},
	0x08: {"RDMA WRITE Last", OperationWrite, PositionLast, 0, 0, PayloadOneToMTU},
	0x09: {"RDMA WRITE Last with Immediate", OperationWrite, PositionLast, ExtImmDt, 0, PayloadOneToMTU},
	0x0A: {"RDMA WRITE Only", OperationWrite, PositionOnly, ExtRETH, 0, PayloadUpToMTU},
	0x0B: {"RDMA WRITE Only with Immediate", OperationWrite, PositionOnly, ExtRETH | ExtImmDt, 0, PayloadUpToMTU},
	0x0C: {"RDMA READ Request", OperationReadRequest, PositionOnly, ExtRETH, 0, PayloadNone},
	0x0D: {"RDMA READ Response First", OperationReadResponse, PositionFirst, ExtAETH, 0, PayloadPMTU},
	0x0E: {"RDMA READ Response Middle", OperationReadResponse, PositionMiddle, 0, 0, PayloadPMTU},
	0x0F: {"RDMA READ Response Last", OperationReadResponse, PositionLast, ExtAETH, 0, PayloadOneToMTU},
	0x10: {"RDMA READ Response Only", OperationReadResponse, PositionOnly, ExtAETH, 0, PayloadUpToMTU},
	0x11: {"Acknowledge", OperationAcknowledge, PositionNone, ExtAETH, 0, PayloadNone},
	0x12: {"Atomic Acknowledge", OperationAtomicAcknowledge, PositionOnly, ExtAETH | ExtAtomicAckETH, 0, PayloadNone},
	0x13: {"Compare & Swap", OperationCompareSwap, PositionOnly, ExtAtomicETH, 0, PayloadNone},
	0x14: {"Fetch & Add", OperationFetchAdd, PositionOnly, ExtAtomicETH, 0, PayloadNone},
	0x16: {"SEND Last with Invalidate", OperationSend, PositionLast, ExtIETH, 0, PayloadOneToMTU},
	0x17: {"SEND Only with Invalidate", OperationSend, PositionOnly, ExtIETH, 0, PayloadUpToMTU},
	0x1C: {"FLUSH", OperationFlush, PositionOnly, ExtFETH | ExtRETH, 0, PayloadNone},
	0x1D: {"ATOMIC WRITE", OperationAtomicWrite, PositionOnly, ExtRETH, 0, PayloadEight},
}

// transports says which operations a class has, and which header it adds to
// the packets of a requester.
var transports = []struct {
	class       Class
	name        string
	first, last int
	requestExt  Ext
}{
	{ClassRC, "RC", 0x00, 0x1F, 0},
	{ClassUC, "UC", 0x00, 0x0B, 0},
	{ClassUD, "UD", 0x04, 0x05, ExtDETH},
	{ClassXRC, "XRC", 0x00, 0x17, ExtXRCETH},
}

// opcodes is indexed by opcode; unassigned ones are zero.
var opcodes = makeOpcodes()

func makeOpcodes() [256]opInfo {
	var all [256]opInfo
	for _, t := range transports {
		for i := t.first; i <= t.last; i++ {
			all[int(t.class)+i] = operations[i].of(t.name, t.requestExt)
		}
	}
	all[CNP] = opInfo{"CNP", OperationCongestion, PositionNone, ExtCNP, CNPReservedLen, PayloadNone}
	return all
}

// of gives the operation as a transport class has it.
func (i opInfo) of(class string, requestExt Ext) opInfo {
	switch i.operation {
	case OperationUnknown:
		return i
	case OperationReadResponse, OperationAcknowledge, OperationAtomicAcknowledge:
	default:
		i.ext |= requestExt
	}
	i.name = class + " " + i.name
	i.extLen = uint8(i.ext.Len())
	return i
}
