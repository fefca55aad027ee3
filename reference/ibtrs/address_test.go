// SPDX-License-Identifier: Apache-2.0

package ibtrs

import "testing"

func TestNetwork(t *testing.T) {
	for in, want := range map[string]string{
		"ip:10.0.0.1":                "10.0.0.1",
		"ip:fe80::1%eth0":            "fe80::1%eth0",
		"ip:::ffff:10.0.0.1":         "10.0.0.1",
		"gid:::ffff:10.0.0.1":        "10.0.0.1",
		"gid:::ffff:0a00:0001":       "10.0.0.1",
		"gid:fe80::5054:ff:fe00:1":   "fe80::5054:ff:fe00:1",
		"gid:fd00:0:0:0:0:0:0:0001":  "fd00::1",
		"gid:::10.0.0.1":             "::a00:1", // not the mapped form
		"gid:0:0:0:0:0:FFFF:A00:001": "10.0.0.1",
	} {
		addr, err := ParseAddr(in)
		if err != nil || addr.Network().String() != want {
			t.Errorf("%s is %s (%v), must be %s", in, addr.Network(), err, want)
		}
	}
}

func TestParseAddrRefuses(t *testing.T) {
	for _, in := range []string{"", "10.0.0.1", "ib:10.0.0.1", "ip:", "ip:10.0.0.256", "ip:server", "gid:10.0.0.1", "gid:fe80::1%eth0"} {
		if addr, err := ParseAddr(in); err == nil {
			t.Errorf("%q is %s, must be refused", in, addr)
		}
	}
}
