// SPDX-License-Identifier: Apache-2.0

package srp

import (
	"errors"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

const required = "id_ext=505400fffe000001,ioc_guid=505400fffe000001,dest=10.0.0.1:5555"

func defaults(change func(*LoginString)) LoginString {
	s := LoginString{
		IDExt: targetGUID, IOCGUID: targetGUID, IOClass: IOClassRev16a, QueueSize: 62, CmdSGEntries: 12,
		SGTableSize: 12, TLRetryCount: 7,
	}
	change(&s)
	return s
}

func TestParseLoginString(t *testing.T) {
	for text, want := range map[string]LoginString{
		required + "\n": defaults(func(s *LoginString) { s.Dest = netip.MustParseAddrPort("10.0.0.1:5555") }),
		"dest=[fe80::1%eth0]:5555,ioc_guid=505400fffe000001,id_ext=505400fffe000001": defaults(func(s *LoginString) {
			s.Dest = netip.MustParseAddrPort("[fe80::1%eth0]:5555")
		}),
		required + ",src=10.0.0.2,initiator_ext=1,queue_size=16,tl_retry_count=5,ch_count=2,cmd_sg_entries=255,allow_ext_sg=1,io_class=0xff00": defaults(func(s *LoginString) {
			s.Dest, s.Src = netip.MustParseAddrPort("10.0.0.1:5555"), netip.MustParseAddr("10.0.0.2")
			s.InitiatorExt, s.QueueSize, s.TLRetryCount, s.ChannelCount = 1, 16, 5, 2
			s.CmdSGEntries, s.SGTableSize, s.AllowExtSG, s.IOClass = 255, 255, true, IOClassRev10
		}),
		required + ",max_sect=128,max_cmd_per_lun=4,target_can_queue=8,sg_tablesize=2048,comp_vector=1,max_it_iu_size=0": defaults(func(s *LoginString) {
			s.Dest = netip.MustParseAddrPort("10.0.0.1:5555")
			s.MaxSect, s.MaxCmdPerLUN, s.TargetCanQueue, s.SGTableSize, s.CompVector = 128, 4, 8, 2048, 1
		}),
		"id_ext=505400fffe000001,ioc_guid=505400fffe000001,dgid=fe80000000000000505400fffe000001,pkey=ffff,service_id=505400fffe000001": defaults(func(s *LoginString) {
			s.DGID, s.PKey, s.ServiceID = netip.MustParseAddr("fe80::5054:ff:fe00:1"), 0xffff, targetGUID
		}),
	} {
		got, err := ParseLoginString(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
	s, _ := ParseLoginString(required)
	if s.TargetPort() != NewPortID(targetGUID, targetGUID, IOClassRev16a) {
		t.Errorf("target port %v", s.TargetPort())
	}
}

func TestParseLoginStringRefuses(t *testing.T) {
	bad := []string{
		"", "garbage", "id_ext=1,ioc_guid=1", "ioc_guid=1,dest=10.0.0.1:5555", "id_ext=1,dest=10.0.0.1:5555",
		"id_ext=1,ioc_guid=1,dgid=fe80000000000000505400fffe000001,pkey=ffff",
		"id_ext=1,ioc_guid=1,dest=10.0.0.1", "id_ext=1,ioc_guid=1,dest=server:5555",
		"id_ext=11112222333344445,ioc_guid=1,dest=10.0.0.1:5555",
	}
	for _, option := range []string{
		"colour=red", "src=10.0.0", "queue_size", "queue_size=", "queue_size=0", "max_sect=-1", "max_cmd_per_lun=0",
		"target_can_queue=0", "io_class=0x0200", "cmd_sg_entries=0", "cmd_sg_entries=256", "allow_ext_sg=2",
		"sg_tablesize=0", "sg_tablesize=2049", "comp_vector=-1", "tl_retry_count=1", "tl_retry_count=8",
		"max_it_iu_size=-1", "ch_count=0", "dgid=fe80", "pkey=10000", "dest=10.0.0.1:5555", "queue_size=2147483648", "",
	} {
		bad = append(bad, required+","+option)
	}
	for _, text := range bad {
		if s, err := ParseLoginString(text); !errors.Is(err, syscall.EINVAL) {
			t.Errorf("%s: %+v (%v), want EINVAL", strings.TrimPrefix(text, required), s, err)
		}
	}
}
