// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"

	"github.com/ibnbd/ibnbd/conformance/stamp"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/roce"
	"github.com/ibnbd/ibnbd/vm/agent"
	"github.com/ibnbd/ibnbd/vm/agent/ioprobe"
	"github.com/ibnbd/ibnbd/vm/fabric"
)

const (
	theTarget    = "server"
	theInitiator = "client"
)

// whole makes a frame of a packet.
func whole(t *testing.T, p roce.Packet) []byte {
	t.Helper()
	p.Src, p.Dst = netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("10.0.0.1")
	p.SrcPort, p.DstPort, p.HopLimit = 50000, roce.UDPPort, 64
	frame, err := p.AppendFrame(nil)
	if err != nil {
		t.Fatal(err)
	}
	return frame
}

// passed gives a frame as a mutant of the wire lets it through.
func passed(t *testing.T, fault fabric.Fault, from, to string, frame []byte) []byte {
	t.Helper()
	alter, is := fault.Action.(fabric.Alter)
	if !is {
		t.Fatalf("%s alters nothing", fault)
	}
	frame = bytes.Clone(frame)
	if fault.Match.Match(&fabric.Frame{From: from, To: to, Data: frame}) {
		before := bytes.Clone(frame)
		if changed := alter.Change(frame); changed == bytes.Equal(frame, before) {
			t.Errorf("%s says that it has changed something: %v", alter, changed)
		}
	}
	return frame
}

// faultOf is what a mutant does to the wire.
func faultOf(t *testing.T, name string) fabric.Fault {
	t.Helper()
	return named(t, name).Wire(theTarget, theInitiator)
}

// managing is a message of connection management.
func managing(t *testing.T, m roce.CMMessage, private []byte) roce.Packet {
	t.Helper()
	mad := roce.NewCMHeader(m.Attribute(), 7)
	payload, err := roce.AppendCM(nil, &mad, m, private)
	if err != nil {
		t.Fatal(err)
	}
	return roce.Packet{
		BTH: roce.BTH{OpCode: roce.UDSendOnly, DestQP: roce.GSIQPN, PKey: 0xFFFF}, DETH: roce.DETH{QKey: roce.GSIQKey, SrcQP: roce.GSIQPN}, Payload: payload,
	}
}

// marshalled is a message on the wire.
func marshalled(t *testing.T, m interface {
	AppendBinary([]byte) ([]byte, error)
}) []byte {
	t.Helper()
	b, err := m.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// infoOf begins an INFO response of so many chunks.
func infoOf(t *testing.T, chunks uint16) []byte {
	t.Helper()
	b := marshalled(t, ibtrs.InfoResponse{Type: ibtrs.TypeInfoResponse, Count: chunks})
	return append(b, make([]byte, 16)...)
}

// probed is a block that a probe writes.
func probed(sequence uint64) []byte {
	block := make([]byte, 512)
	ioprobe.Stamp{Seq: sequence}.Fill(block)
	return block
}

// TestAlteredPackets lets a packet that each mutant alters through, from the side that it alters and from the other one, and one
// that it has nothing to do with.
func TestAlteredPackets(t *testing.T) {
	answer := func(errno ibtrs.Errno) roce.Packet {
		imm, err := ibtrs.ResponseImmediate(5, errno, true)
		if err != nil {
			t.Fatal(err)
		}
		return roce.Packet{BTH: roce.BTH{OpCode: roce.RCSendOnlyImm}, ImmDt: roce.ImmDt{Value: uint32(imm)}, Payload: make([]byte, ibtrs.KeyResponseSize)}
	}
	carries := func(op roce.OpCode, payload []byte) roce.Packet {
		return roce.Packet{BTH: roce.BTH{OpCode: op}, RETH: roce.RETH{DMALen: uint32(len(payload))}, Payload: payload}
	}
	number := func(p *roce.Packet) ibtrs.Errno {
		_, errno, _, _ := ibtrs.Immediate(p.ImmDt.Value).Response()
		return errno
	}
	stamped := make([]byte, 2*stamp.Sector+24)
	stamp.Fill(stamped[:2*stamp.Sector], 8, stamp.Stamp{Sequence: 3})
	request := roce.CMReq{ServiceID: roce.IPServiceID(roce.PortSpaceTCP, ibtrs.DefaultPort)}
	reject := managing(t, &roce.CMRej{Reason: roce.RejConsumer}, marshalled(t, ibtrs.ConnResponse{Magic: ibtrs.Magic, Version: ibtrs.Version, Errno: -104}))
	open, err := ibnbd.NewOpenRequest("dev/x", ibnbd.ReadOnly, ibnbd.FileIO)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		mutant   string
		from, to string
		packet   roce.Packet
		other    roce.Packet // that is left alone
		altered  func(p *roce.Packet) bool
	}{
		{"listens-elsewhere", "tester", theTarget, managing(t, &request, nil), managing(t, &roce.CMDreq{}, nil), func(p *roce.Packet) bool {
			return binary.BigEndian.Uint16(p.Payload[reqPort:]) == ibtrs.DefaultPort+1
		}},
		{"too-many-paths-is-busy", theTarget, "tester", reject, managing(t, &roce.CMDreq{}, nil), func(p *roce.Packet) bool {
			r, err := ibtrs.ParseConnResponse(p.Payload[rejPrivate:])
			return err == nil && r.Errno == -int16(ibtrs.EBUSY) && r.Magic == ibtrs.Magic
		}},
		{
			"takes-no-key-back", theTarget, "tester",
			roce.Packet{BTH: roce.BTH{OpCode: roce.RCAcknowledge}, AETH: roce.AETH{Syndrome: 0x62, MSN: 4}},
			roce.Packet{BTH: roce.BTH{OpCode: roce.RCAcknowledge}, AETH: roce.AETH{Syndrome: 0x05, MSN: 4}},
			func(p *roce.Packet) bool { return p.AETH.Syndrome.Class() == roce.SyndromeACK && p.AETH.MSN == 4 },
		},
		{"serves-without-a-disk", theTarget, theInitiator, answer(ibtrs.EIO), answer(ibtrs.EPERM), func(p *roce.Packet) bool { return number(p) == 0 }},
		{"unsupported-is-invalid", theTarget, "tester", answer(ibtrs.EOPNOTSUPP), answer(0), func(p *roce.Packet) bool { return number(p) == ibtrs.EINVAL }},
		{
			"asks-mainline-for-the-unknown", theInitiator, theTarget, carries(roce.RCSendOnly, make([]byte, ibtrs.InfoRequestSize)),
			carries(roce.RCSendOnly, make([]byte, ibtrs.InfoRequestSize-1)), func(p *roce.Packet) bool { return p.Payload[0] != ibtrs.TypeInfoRequest },
		},
		{
			"tells-mainline-the-unknown", theTarget, theInitiator, carries(roce.RCSendFirst, marshalled(t, ibtrs.InfoResponse{Type: ibtrs.TypeInfoResponse})),
			carries(roce.RCSendMiddle, []byte{ibtrs.TypeInfoResponse, 0, 0, 0, 0, 0, 0, 0}), func(p *roce.Packet) bool { return p.Payload[0] != ibtrs.TypeInfoResponse },
		},
		{
			"no-room-for-many-registrations", theTarget, theInitiator, carries(roce.RCSendFirst, infoOf(t, 1026)), carries(roce.RCSendFirst, infoOf(t, 1025)),
			func(p *roce.Packet) bool { return p.Payload[0] != ibtrs.TypeInfoResponse },
		},
		{
			"tells-version-one-nothing", theTarget, "tester", carries(roce.RCWriteOnly, marshalled(t, ibnbd.OpenResponse{Type: ibnbd.TypeOpenResponse, LogicalBlockSize: 512})),
			carries(roce.RCWriteOnly, make([]byte, ibnbd.OpenResponseSize)), func(p *roce.Packet) bool { return p.Payload[44] == 0xFF && p.Payload[45] == 0xFF },
		},
		{
			"mixes-io-modes", "tester", theTarget, carries(roce.RCWriteOnlyImm, marshalled(t, open)),
			carries(roce.RCWriteOnlyImm, make([]byte, ibnbd.OpenRequestSize)), func(p *roce.Packet) bool { return p.Payload[5] == byte(ibnbd.BlockIO) },
		},
		{
			"loses-some-writes", theInitiator, theTarget, carries(roce.RCWriteFirst, probed(19)), carries(roce.RCWriteFirst, probed(20)),
			func(p *roce.Packet) bool { return bytes.Equal(p.Payload, make([]byte, len(p.Payload))) },
		},
		{
			"write-same-writes-zeroes", "tester", theTarget, carries(roce.RCWriteOnlyImm, stamped), carries(roce.RCWriteOnly, stamped),
			func(p *roce.Packet) bool { return bytes.Equal(p.Payload[:stamp.Sector], make([]byte, stamp.Sector)) },
		},
	} {
		fault := faultOf(t, c.mutant)
		sent, other := whole(t, c.packet), whole(t, c.other)
		var got roce.Packet
		if err := got.Decode(passed(t, fault, c.from, c.to, sent)); err != nil || !c.altered(&got) {
			t.Errorf("%s: %v, % x", c.mutant, err, got.Payload)
		}
		if !bytes.Equal(passed(t, fault, c.to, c.from, sent), sent) {
			t.Errorf("%s alters what goes the other way", c.mutant)
		}
		if !bytes.Equal(passed(t, fault, c.from, c.to, other), other) {
			t.Errorf("%s alters what it has nothing to do with", c.mutant)
		}
	}
}

// TestFirstWrites writes to a place twice, and once more the same.
func TestFirstWrites(t *testing.T) {
	fault := faultOf(t, "old-writes-land-last")
	write := func(sector, sequence uint64) []byte {
		data := make([]byte, 2*stamp.Sector+24) // with a message behind the data
		stamp.Fill(data[:2*stamp.Sector], sector, stamp.Stamp{Sequence: sequence})
		var p roce.Packet
		frame := whole(t, roce.Packet{BTH: roce.BTH{OpCode: roce.RCWriteOnlyImm}, Payload: data})
		if err := p.Decode(passed(t, fault, theInitiator, theTarget, frame)); err != nil {
			t.Fatal(err)
		}
		return p.Payload
	}
	for i, c := range []struct{ sector, sequence, want uint64 }{{8, 1, 1}, {8, 2, 1}, {16, 2, 2}, {8, 1, 1}} {
		got, sector, err := stamp.Read(write(c.sector, c.sequence))
		if err != nil || got.Sequence != c.want || sector != c.sector {
			t.Errorf("write %d: %v at sector %d, %v; want write %d at sector %d", i, got, sector, err, c.want, c.sector)
		}
	}
}

// TestLostConnections looks whose disconnect requests are lost.
func TestLostConnections(t *testing.T) {
	p := faultOf(t, "half-open-for-ever").Match
	goodbye, hello := whole(t, managing(t, &roce.CMDreq{}, nil)), whole(t, managing(t, &roce.CMReq{}, nil))
	for _, c := range []struct {
		from  string
		frame []byte
		want  bool
	}{{theTarget, goodbye, true}, {"tester", goodbye, false}, {theTarget, hello, false}} {
		if got := p.Match(&fabric.Frame{From: c.from, Data: c.frame}); got != c.want {
			t.Errorf("from %s: %v, want %v", c.from, got, c.want)
		}
	}
}

// TestAlteredArguments starts programs behind mutants.
func TestAlteredArguments(t *testing.T) {
	for _, c := range []struct {
		mutant, program string
		args            []string
		want            string
	}{
		{"any-io-mode", "ibnbd-client", []string{"map", "--io-mode", "netio"}, "[map --io-mode netio --io-mode blockio]"},
		{"any-io-mode", "ibnbd-client", []string{"map", "--io-mode"}, "[map --io-mode]"},
		{"any-io-mode", "ibnbd-client", []string{"unmap"}, "[unmap]"},
		{"newer-writes-do-not-wait", "/run/ibnbd-client", []string{"map", "ram0"}, "[map ram0 --break no-order]"},
		{"newer-writes-do-not-wait", "/run/ibnbd-client", []string{"unmap"}, "[unmap]"},
		{"newer-writes-do-not-wait", "/run/ibnbd-server", []string{"map"}, "[map]"},
	} {
		m := named(t, c.mutant)
		if got := m.Programs(agent.Command{Path: c.program, Args: c.args}).Args; fmt.Sprint(got) != c.want {
			t.Errorf("%v became %v, want %s", c.args, got, c.want)
		}
	}
}
