// SPDX-License-Identifier: Apache-2.0

package roce_test

import (
	"bytes"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/gopacket"

	"github.com/ibnbd/ibnbd/reference/roce"
	"github.com/ibnbd/ibnbd/reference/roce/layer"
)

// cmVectors are datagrams that Linux 6.12 rxe sent. The bytes that are not
// given are zero.
var cmVectors = []struct {
	name    string
	bytes   string
	msg     roce.CMMessage
	private []byte
}{
	{
		"REQ",
		`01 07 02 03 00 00 00 00 00 00 00 02 d0 e2 f5 87
		00 10 00 00 00 00 00 00 87 f5 e2 d0 00 00 00 00
		00 00 00 00 01 06 1e 61 50 54 00 ff fe 00 00 02
		00 00 00 00 00 00 00 00 00 00 11 04 00 00 00 04
		00 00 00 a0 9c 47 98 a7 ff ff 37 f0 ff ff ff ff
		00 00 00 00 00 00 00 00 00 00 ff ff 0a 00 00 02
		00 00 00 00 00 00 00 00 00 00 ff ff 0a 00 00 01
		a2 8b 60 00 00 40 00 88 00 00 00 00 00 00 00 00
		00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
		00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
		00 00 00 00 00 40 d7 0b 00 00 00 00 00 00 00 00
		00 00 00 00 0a 00 00 02 00 00 00 00 00 00 00 00
		00 00 00 00 0a 00 00 01 50 52 49 56 44 41 54 41`,
		&roce.CMReq{
			LocalCommID: 0x87F5E2D0, ServiceID: roce.IPServiceID(roce.PortSpaceTCP, 7777),
			LocalCAGUID: 0x505400FFFE000002, LocalQPN: 0x11, ResponderResources: 4, InitiatorDepth: 4,
			RemoteCMTimeout: 20, StartingPSN: 0x9C4798, LocalCMTimeout: 20, RetryCount: 7, PKey: 0xFFFF,
			PathMTU: roce.MTU1024, RNRRetryCount: 7, MaxCMRetries: 15,
			Primary: roce.CMPath{
				LocalLID: 0xFFFF, RemoteLID: 0xFFFF,
				LocalGID: roce.GIDOf(netip.MustParseAddr("10.0.0.2")), RemoteGID: roce.GIDOf(netip.MustParseAddr("10.0.0.1")),
				FlowLabel: 0xA28B6, HopLimit: 64, ACKTimeout: 17,
			},
		},
		mustPrivate(netip.MustParseAddrPort("10.0.0.2:55051"), netip.MustParseAddr("10.0.0.1"), "PRIVDATA"),
	},
	{
		"REP",
		`01 07 02 03 00 00 00 00 00 00 00 02 d0 e2 f5 87
		00 13 00 00 00 00 00 00 bb fe 8e 40 87 f5 e2 d0
		00 00 00 00 00 00 11 00 00 00 00 00 18 52 08 00
		04 04 78 e0 50 54 00 ff fe 00 00 01 50 52 49 56
		44 41 54 41 00 00 00 00 00 00 00 00 00 00 00 00`,
		&roce.CMRep{
			LocalCommID: 0xBBFE8E40, RemoteCommID: 0x87F5E2D0, LocalQPN: 0x11, StartingPSN: 0x185208,
			ResponderResources: 4, InitiatorDepth: 4, TargetACKDelay: 15, RNRRetryCount: 7, LocalCAGUID: 0x505400FFFE000001,
		},
		[]byte("PRIVDATA"),
	},
	{
		"RTU",
		`01 07 02 03 00 00 00 00 00 00 00 02 d0 e2 f5 87
		00 14 00 00 00 00 00 00 87 f5 e2 d0 bb fe 8e 40`,
		&roce.CMRtu{LocalCommID: 0x87F5E2D0, RemoteCommID: 0xBBFE8E40}, nil,
	},
	{
		"DREQ",
		`01 07 02 03 00 00 00 00 00 00 00 02 d0 e2 f5 87
		00 15 00 00 00 00 00 00 87 f5 e2 d0 bb fe 8e 40 00 00 11`,
		&roce.CMDreq{LocalCommID: 0x87F5E2D0, RemoteCommID: 0xBBFE8E40, RemoteQPN: 0x11}, nil,
	},
	{
		"DREP",
		`01 07 02 03 00 00 00 00 00 00 00 02 d0 e2 f5 87
		00 16 00 00 00 00 00 00 bb fe 8e 40 87 f5 e2 d0`,
		&roce.CMDrep{LocalCommID: 0xBBFE8E40, RemoteCommID: 0x87F5E2D0}, nil,
	},
	{
		"MRA of a REQ",
		`01 07 02 03 00 00 00 00 00 00 00 02 d0 e2 f5 86
		00 11 00 00 00 00 00 00 b8 fe 8e 40 86 f5 e2 d0
		00 c0`,
		&roce.CMMra{LocalCommID: 0xB8FE8E40, RemoteCommID: 0x86F5E2D0, ServiceTimeout: 24}, nil,
	},
	{
		"REJ by the consumer",
		`01 07 02 03 00 00 00 00 00 00 00 02 d0 e2 f5 86
		00 12 00 00 00 00 00 00 b8 fe 8e 40 86 f5 e2 d0
		00 00 00 1c`,
		&roce.CMRej{LocalCommID: 0xB8FE8E40, RemoteCommID: 0x86F5E2D0, Reason: roce.RejConsumer}, nil,
	},
	{
		"REJ after a timeout",
		`01 07 02 03 00 00 00 00 00 00 00 02 64 ac d3 a0
		00 12 00 00 00 00 00 00 a0 d3 ac 64 00 00 00 00
		80 10 00 04 50 54 00 ff fe 00 00 01`,
		&roce.CMRej{
			LocalCommID: 0xA0D3AC64, MessageRejected: roce.KindOther, InfoLength: 8, Reason: roce.RejTimeout,
			Info: [72]byte{0x50, 0x54, 0, 0xFF, 0xFE, 0, 0, 1},
		}, nil,
	},
}

func mustPrivate(src netip.AddrPort, dst netip.Addr, application string) []byte {
	c := roce.NewIPCM(src, dst)
	private, err := c.AppendPrivate(nil, []byte(application))
	if err != nil {
		panic(err)
	}
	return private
}

func cmBytes(tb testing.TB, s string) []byte {
	tb.Helper()
	mad := make([]byte, roce.MADLen)
	copy(mad, unhex(tb, s))
	return mad
}

func TestCMVectors(t *testing.T) {
	for _, v := range cmVectors {
		t.Run(v.name, func(t *testing.T) {
			data := cmBytes(t, v.bytes)
			mad, msg, err := roce.DecodeCM(data)
			if err != nil {
				t.Fatal(err)
			}
			ignore := cmpopts.IgnoreUnexported(roce.CMReq{}, roce.CMRep{}, roce.CMRtu{}, roce.CMDreq{}, roce.CMDrep{}, roce.CMMra{}, roce.CMRej{})
			if diff := cmp.Diff(v.msg, msg, ignore); diff != "" {
				t.Errorf("decoded (-want +got):\n%s", diff)
			}
			private := msg.PrivateData()
			if !bytes.HasPrefix(private, v.private) || len(bytes.TrimLeft(private[len(v.private):], "\x00")) > 0 {
				t.Errorf("private data %x, want %x and zeros", private, v.private)
			}
			fresh := roce.NewCMHeader(0, mad.TransactionID)
			got, err := roce.AppendCM(nil, &fresh, v.msg, v.private)
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("built again: %v\n%x\nwant\n%x", err, got, data)
			}
		})
	}
}

func TestREQAddressing(t *testing.T) {
	_, msg, err := roce.DecodeCM(cmBytes(t, cmVectors[0].bytes))
	if err != nil {
		t.Fatal(err)
	}
	req := msg.(*roce.CMReq)
	ip, application, err := req.IPCM()
	if err != nil {
		t.Fatal(err)
	}
	if ip.SrcAddr().String() != "10.0.0.2" || ip.DstAddr().String() != "10.0.0.1" || ip.SrcPort != 55051 {
		t.Errorf("addressing is %+v", ip)
	}
	if len(application) != roce.REQIPPrivateLen || !bytes.HasPrefix(application, []byte("PRIVDATA")) {
		t.Errorf("application private data is %q", application)
	}
	if fl := roce.CMFlowLabel(ip.SrcPort, 7777); fl != req.Primary.FlowLabel {
		t.Errorf("flow label by rdma_cm is %#x, the REQ has %#x", fl, req.Primary.FlowLabel)
	}
	req.ServiceID = 0x123456789
	if _, _, err := req.IPCM(); !errors.Is(err, roce.ErrMalformed) {
		t.Errorf("another service: %v, want ErrMalformed", err)
	}
}

func TestIPCMAddresses(t *testing.T) {
	six := roce.NewIPCM(netip.MustParseAddrPort("[fd00::2]:1"), netip.MustParseAddr("fd00::1"))
	if six.IPVersion != 6 || six.SrcAddr().String() != "fd00::2" || six.DstAddr().String() != "fd00::1" {
		t.Errorf("IPv6 addressing is %+v", six)
	}
	four := roce.NewIPCM(netip.MustParseAddrPort("10.0.0.2:1"), netip.MustParseAddr("10.0.0.1"))
	if want := [16]byte{12: 10, 15: 2}; four.IPVersion != 4 || four.Src != want {
		t.Errorf("IPv4 addressing is %+v", four)
	}
	four.IPVersion = 5
	if four.SrcAddr().IsValid() {
		t.Error("IP version 5 has an address")
	}
}

func TestCMRefusesWrongLengths(t *testing.T) {
	for _, c := range []struct {
		msg  roce.CMMessage
		same gopacket.SerializableLayer
		room int
	}{
		{&roce.CMReq{}, &layer.CMReq{}, 92},
		{&roce.CMMra{}, &layer.CMMra{}, 222},
		{&roce.CMRej{}, &layer.CMRej{}, 148},
		{&roce.CMRep{}, &layer.CMRep{}, 196},
		{&roce.CMRtu{}, &layer.CMRtu{}, 224},
		{&roce.CMDreq{}, &layer.CMDreq{}, 220},
		{&roce.CMDrep{}, &layer.CMDrep{}, 224},
	} {
		m := roce.NewCMHeader(0, 1)
		whole, err := roce.AppendCM(nil, &m, c.msg, make([]byte, c.room))
		if err != nil || len(whole) != roce.MADLen {
			t.Errorf("%v: private data of %d bytes: %v, %d bytes", c.msg.Attribute(), c.room, err, len(whole))
		}
		if _, err := roce.AppendCM(nil, &m, c.msg, make([]byte, c.room+1)); !errors.Is(err, roce.ErrTooLong) {
			t.Errorf("%v: private data of %d bytes: %v, want ErrTooLong", c.msg.Attribute(), c.room+1, err)
		}
		if _, _, err := roce.DecodeCM(whole[:255]); !errors.Is(err, roce.ErrTruncated) {
			t.Errorf("%v of 255 bytes: %v, want ErrTruncated", c.msg.Attribute(), err)
		}
		if _, _, err := roce.DecodeCM(append(whole, 0)); !errors.Is(err, roce.ErrTooLong) {
			t.Errorf("%v of 257 bytes: %v, want ErrTooLong", c.msg.Attribute(), err)
		}
		buf := gopacket.NewSerializeBuffer()
		err = gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true}, layer.MADOf(m), c.same, gopacket.Payload("x"))
		if err != nil || len(buf.Bytes()) != roce.MADLen {
			t.Errorf("%v with FixLengths: %v, %d bytes", c.msg.Attribute(), err, len(buf.Bytes()))
		}
	}
	if _, err := (&roce.IPCM{}).AppendPrivate(nil, make([]byte, 57)); !errors.Is(err, roce.ErrTooLong) {
		t.Errorf("57 bytes for the application: %v, want ErrTooLong", err)
	}
}

func TestCMKnownByNameOnly(t *testing.T) {
	m := roce.NewCMHeader(roce.AttrSIDRReq, 1)
	datagram := make([]byte, roce.MADLen)
	m.Put(datagram)
	got, msg, err := roce.DecodeCM(datagram)
	if !errors.Is(err, roce.ErrNotCM) || msg != nil || got.AttributeID.String() != "SIDR_REQ" {
		t.Errorf("SIDR_REQ: %v, %v, %v", got.AttributeID, msg, err)
	}
}

func TestREJInformation(t *testing.T) {
	var rej roce.CMRej
	if err := rej.SetARI([]byte{1, 2, 3}); err != nil || !bytes.Equal(rej.ARI(), []byte{1, 2, 3}) {
		t.Errorf("ARI is %x, %v", rej.ARI(), err)
	}
	if err := rej.SetARI(make([]byte, 73)); !errors.Is(err, roce.ErrTooLong) {
		t.Errorf("ARI of 73 bytes: %v, want ErrTooLong", err)
	}
	rej.InfoLength = 127
	if len(rej.ARI()) != 72 {
		t.Errorf("ARI of length field 127 is %d bytes", len(rej.ARI()))
	}
}

func TestRejReasonNames(t *testing.T) {
	for r := range roce.RejReason(40) {
		named := r >= 1 && r <= 35 && r != 34
		if got := r.String(); strings.HasPrefix(got, "reserved") == named {
			t.Errorf("reason %d is %q", uint16(r), got)
		}
	}
}
