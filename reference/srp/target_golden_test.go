// SPDX-License-Identifier: Apache-2.0

package srp_test

import (
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/ibnbd/ibnbd/reference/srp"
)

// TestTargetAnswersMainline sends units of mainline's initiator as they were captured, and wants the answers that mainline's
// target gave. Only address, key and room of a descriptor are this initiator's; %D stands for them.
func TestTargetAnswersMainline(t *testing.T) {
	const tag, lun, none = "0400000000000000", "0000000000000000", "00000000"
	for _, tc := range []struct{ name, unit, want string }{
		{
			"INQUIRY", "0200000000010000" + tag + none + lun + none + "12000000240000000000000000000000" + "%D00000024",
			"c100000000000001" + tag + none + none + lun + none,
		},
		{
			"REPORT LUNS", "0200000000010000" + tag + none + lun + none + "a0000000000000000010000000000000" + "%D00000010",
			"c100000000000001" + tag + none + none + lun + none,
		},
		{
			"READ CAPACITY(16)", "0200000000010000" + tag + none + lun + none + "9e100000000000000000000000200000" + "%D00001000",
			"c100000000000001" + tag + "00002000" + none + "00000fe0" + none + none,
		},
		{
			"logical unit reset", "0100000000000000" + "0100008000000000" + none + lun + "00000800" + "ffffffff00000000" + lun,
			"c100000000000001" + "0100008000000000" + "00000100" + none + none + none + "00000004" + none,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				l.listen(l.targetConfig())
				p := l.connect(1)
				key := hex.EncodeToString(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(nil, p.memory.Addr()), p.memory.Key()))
				unit, err := hex.DecodeString(strings.ReplaceAll(tc.unit, "%D", key))
				if err != nil {
					t.Fatal(err)
				}
				p.send(unit)
				got, err := p.unit()
				if err != nil || hex.EncodeToString(got) != tc.want {
					t.Errorf("answered %x, %v, want %s", got, err, tc.want)
				}
			})
		})
	}
}

// TestTargetTakesMainlinesLogin of a capture, and answers as mainline does but for its own limits.
func TestTargetTakesMainlinesLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		cfg := l.targetConfig()
		cfg.RequestLimit = srp.DefaultRequestLimit
		cfg.Port = srp.PortID{0x50, 0x54, 0, 0xff, 0xfe, 0, 0, 1, 0x50, 0x54, 0, 0xff, 0xfe, 0, 0, 1}
		l.listen(cfg)
		b, err := hex.DecodeString("0000000000000000" + "0006" + "80" + "00" + "00002044" + "0000000000000000505400fffe000002" + "505400fffe000001505400fffe000001" + "0044" + "000000000000")
		if err != nil {
			t.Fatal(err)
		}
		request, err := srp.ParseLoginReqCM(b)
		if err != nil {
			t.Fatal(err)
		}
		p, err := l.dial(request)
		if err != nil {
			t.Fatal(err)
		}
		got := hex.EncodeToString(p.conn.PeerData()[:srp.LoginRspSize])
		if want := "c0000000" + "00000080" + "0000000000000000" + "00002054" + "00000048" + "0006" + "80" + strings.Repeat("00", 25); got != want {
			t.Errorf("answered\n%s, want\n%s", got, want)
		}
	})
}
