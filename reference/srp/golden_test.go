// SPDX-License-Identifier: Apache-2.0

package srp

import (
	"bytes"
	"encoding"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fromHex reads bytes as people write them, and fills up with zeros to size.
func fromHex(t testing.TB, size int, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		t.Fatal(err)
	}
	return append(b, make([]byte, max(0, size-len(b)))...)
}

const (
	initiatorGUID = 0x505400fffe000002
	targetGUID    = 0x505400fffe000001
)

var goldenLogin = LoginReq{
	RequestedIULength: 8260, RequiredFormats: FormatsDirect | FormatsIndirect, Flags: LoginImmediate | ChannelSingle,
	ImmediateOffset: 68, InitiatorPort: NewPortID(0, initiatorGUID, IOClassRev16a),
	TargetPort: NewPortID(targetGUID, targetGUID, IOClassRev16a),
}

// tag is a tag as mainline makes them: a number of the host.
func tag(first byte, rest ...byte) (t Tag) {
	t[0] = first
	copy(t[1:], rest)
	return t
}

// The units of a mainline initiator and target.
func TestGoldenUnits(t *testing.T) {
	golden(t, "login request, 64 bytes", ParseLoginReq, goldenLogin, 64, `
		00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
		00 00 20 44 00 00 00 00 00 06 80 00 00 44 00 00
		00 00 00 00 00 00 00 00 50 54 00 ff fe 00 00 02
		50 54 00 ff fe 00 00 01 50 54 00 ff fe 00 00 01`)
	golden(t, "login request, 56 bytes", ParseLoginReqCM, goldenLogin.CM(), 56, `
		00 00 00 00 00 00 00 00 00 06 80 00 00 00 20 44
		00 00 00 00 00 00 00 00 50 54 00 ff fe 00 00 02
		50 54 00 ff fe 00 00 01 50 54 00 ff fe 00 00 01
		00 44 00 00 00 00 00 00`)
	golden(t, "login response", ParseLoginRsp, LoginRsp{
		Type: TypeLoginRsp, RequestLimitDelta: 128, MaxInitiatorIULength: 8276, MaxTargetIULength: 8260,
		SupportedFormats: FormatsDirect | FormatsIndirect, Flags: LoginImmediate | ChannelsNone,
	}, 52, "c0 00 00 00 00 00 00 80 00 00 00 00 00 00 00 00 00 00 20 54 00 00 20 44 00 06 80")
	golden(t, "login reject", ParseLoginRej, LoginRej{
		Type: TypeLoginRej, Reason: RejectNoResources, SupportedFormats: FormatsDirect | FormatsIndirect,
	}, 32, "c2 00 00 00 00 01 00 01 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 06")
	golden(t, "good response", ParseRsp, Rsp{
		Type: TypeRsp, RequestLimitDelta: 1, Tag: tag(4), Body: []byte{},
	}, 36, "c1 00 00 00 00 00 00 01 04")
	golden(t, "CHECK CONDITION", ParseRsp, Rsp{
		Type: TypeRsp, RequestLimitDelta: 1, Tag: tag(4), Flags: SenseValid, Status: 2, SenseLength: 96,
		Body: fromHex(t, 96, "70 00 05 00 00 00 00 0a 00 00 00 00 21 00 00 00"),
	}, 132, `
		c1 00 00 00 00 00 00 01 04 00 00 00 00 00 00 00
		00 00 02 02 00 00 00 00 00 00 00 00 00 00 00 60
		00 00 00 00
		70 00 05 00 00 00 00 0a 00 00 00 00 21 00 00 00`)
	golden(t, "residual", ParseRsp, Rsp{
		Type: TypeRsp, RequestLimitDelta: 1, Tag: tag(5), Flags: DataInUnder, DataInResidual: 159, Body: []byte{},
	}, 36, `
		c1 00 00 00 00 00 00 01 05 00 00 00 00 00 00 00
		00 00 20 00 00 00 00 00 00 00 00 9f 00 00 00 00`)
	golden(t, "LU reset", ParseTskMgmt, TskMgmt{
		Type: TypeTskMgmt, Tag: tag(1, 0, 0, 0x80), Function: LogicalUnitReset, ManagedTag: tag(0xff, 0xff, 0xff, 0xff),
	}, 48, `
		01 00 00 00 00 00 00 00 01 00 00 80 00 00 00 00
		00 00 00 00 00 00 00 00 00 00 00 00 00 00 08 00
		ff ff ff ff`)
	golden(t, "answer to LU reset", ParseRsp, Rsp{
		Type: TypeRsp, RequestLimitDelta: 1, Tag: tag(1, 0, 0, 0x80), Flags: RspValid, ResponseLength: 4, Body: make([]byte, 4),
	}, 40, `
		c1 00 00 00 00 00 00 01 01 00 00 80 00 00 00 00
		00 00 01 00 00 00 00 00 00 00 00 00 00 00 00 00
		00 00 00 04 00 00 00 00`)
}

// Units that mainline does not send; their bytes follow from the tables of the standard.
func TestGoldenUnitsOfTheStandard(t *testing.T) {
	golden(t, "credit request", ParseCredReq, CredReq{Type: TypeCredReq, RequestLimitDelta: -1, Tag: tag(7)}, 16,
		"81 00 00 00 ff ff ff ff 07")
	golden(t, "credit response", ParseCredRsp, CredRsp{Type: TypeCredRsp, Tag: tag(7)}, 16, "41 00 00 00 00 00 00 00 07")
	golden(t, "event", ParseAERReq, AERReq{
		Type: TypeAERReq, RequestLimitDelta: 3, Tag: tag(8), LUN: LUN{0, 5}, SenseLength: 4, Body: []byte{0x70, 0, 6, 0},
	}, 40, "82 00 00 00 00 00 00 03 08 00 00 00 00 00 00 00 00 00 00 00 00 05 00 00 00 00 00 00 00 00 00 04 00 00 00 00 70 00 06 00")
	golden(t, "event response", ParseAERRsp, AERRsp{Type: TypeAERRsp, Tag: tag(8)}, 16, "42 00 00 00 00 00 00 00 08")
	golden(t, "initiator logout", ParseILogout, ILogout{Type: TypeILogout, Tag: tag(9)}, 16, "03 00 00 00 00 00 00 00 09")
	golden(t, "target logout", ParseTLogout, TLogout{Type: TypeTLogout, Reason: LogoutInvalidType, Tag: tag(9)}, 16,
		"80 00 00 00 00 00 00 02 09")
}

func golden[M encoding.BinaryAppender](t *testing.T, name string, parse func([]byte) (M, error), unit M, size int, text string) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		want := fromHex(t, size, text)
		got, err := unit.AppendBinary([]byte("in front"))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(append([]byte("in front"), want...), got); diff != "" {
			t.Error("bytes differ (-want +got):\n" + diff)
		}
		parsed, err := parse(want)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(unit, parsed); diff != "" {
			t.Error("parsed value differs (-want +got):\n" + diff)
		}
	})
}

func TestGoldenDirectCommand(t *testing.T) {
	memory := MemoryDescriptor{0xff139a8c65ddbf00, 0x231c, 36}
	m := checkCommand(t, tag(4), "12 00 00 00 24 00", Buffer{}, DirectBuffer(memory), 0, 64, `
		02 00 00 00 00 01 00 00 04 00 00 00 00 00 00 00
		00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
		12 00 00 00 24 00 00 00 00 00 00 00 00 00 00 00
		ff 13 9a 8c 65 dd bf 00 00 00 23 1c 00 00 00 24`)
	in, err := m.DataIn()
	if err != nil || in.Memory != memory || in.Length != 36 {
		t.Errorf("data-in %+v (%v)", in, err)
	}
}

func TestGoldenIndirectCommand(t *testing.T) {
	table := MemoryDescriptor{0xff4a4c6f835dba80, 0x210, 128}
	entries := fromHex(t, 0, strings.Repeat("ff 4a 4c 6f 83 31 90 00 00 00 02 10 00 00 10 00", 8))
	buffer := IndirectBuffer(table, entries, 32768)
	text := `00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
		28 00 00 00 00 00 00 00 40 00 00 00 00 00 00 00
		ff 4a 4c 6f 83 5d ba 80 00 00 02 10 00 00 00 80
		00 00 80 00` + hex.EncodeToString(entries)
	m := checkCommand(t, tag(1), "28 00 00 00 00 00 00 00 40 00", Buffer{}, buffer, 0, 196,
		"02 00 00 00 00 02 00 08 01 00 00 00 00 00 00 00"+text)
	in, err := m.DataIn()
	if err != nil || in.List.Len() != 8 || in.Partial() || in.Length != 32768 || in.Memory != table {
		t.Errorf("data-in %+v (%v)", in, err)
	}
	checkCommand(t, tag(1), "28 00 00 00 00 00 00 00 40 00", buffer, Buffer{}, 0, 196,
		"02 00 00 00 00 20 08 00 01 00 00 00 00 00 00 00"+text)
}

func TestGoldenImmediateCommand(t *testing.T) {
	data := bytes.Repeat([]byte{0xda}, 4096)
	m := checkCommand(t, tag(6), "2a 00 00 00 00 00 00 00 08 00", ImmediateBuffer(data), Buffer{}, 68, 4164, `
		02 00 00 00 00 30 00 00 06 00 00 00 00 00 00 00
		00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
		2a 00 00 00 00 00 00 00 08 00 00 00 00 00 00 00
		00 00 10 00 00 00 00 00 00 00 00 00 00 00 00 00
		00 00 00 00`+hex.EncodeToString(data))
	out, err := m.DataOut(68)
	if err != nil || !bytes.Equal(out.Data, data) || len(out.Padding) != 16 {
		t.Errorf("data-out of %d bytes, padding of %d (%v)", len(out.Data), len(out.Padding), err)
	}
}

// checkCommand lays out a command, compares its bytes, and returns it parsed.
func checkCommand(t *testing.T, tag Tag, cdb string, out, in Buffer, immediateOffset uint16, size int, text string) Cmd {
	t.Helper()
	want := fromHex(t, size, text)
	front := []byte("in front")
	got, err := NewCmd(tag, LUN{}).AppendWith(front, fromHex(t, 0, cdb), out, in, immediateOffset)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(append(front, want...), got); diff != "" {
		t.Fatal("bytes differ (-want +got):\n" + diff)
	}
	m, err := ParseCmd(want)
	if err != nil {
		t.Fatal(err)
	}
	if m.Size() != size {
		t.Errorf("size %d, want %d", m.Size(), size)
	}
	if again, _ := m.AppendBinary(nil); !bytes.Equal(again, want) {
		t.Error("the parsed command appends to other bytes")
	}
	return m
}
