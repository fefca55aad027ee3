// SPDX-License-Identifier: Apache-2.0

package ibtrs

import (
	"errors"
	"testing"
)

func TestParsePath(t *testing.T) {
	for in, want := range map[string]string{
		"ip:10.0.0.1":                                 "ip:10.0.0.1",
		"ip:10.0.0.2,ip:10.0.0.1":                     "ip:10.0.0.2@ip:10.0.0.1",
		"ip:10.0.0.2@ip:10.0.0.1":                     "ip:10.0.0.2@ip:10.0.0.1",
		"ip:fe80:0:0:0:0:0:0:1%eth0":                  "ip:fe80::1%eth0",
		"ip:fd00::2,ip:fd00::1":                       "ip:fd00::2@ip:fd00::1",
		"gid:fe80::5054:ff:fe00:1":                    "gid:fe80:0000:0000:0000:5054:00ff:fe00:0001",
		"gid:fe80::2@gid:fe80::1":                     "gid:fe80:0000:0000:0000:0000:0000:0000:0002@gid:fe80:0000:0000:0000:0000:0000:0000:0001",
		"gid:0000:0000:0000:0000:0000:ffff:0a00:0001": "gid:0000:0000:0000:0000:0000:ffff:0a00:0001",
	} {
		path, err := ParsePath(in)
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		if path.String() != want || path.Port != DefaultPort {
			t.Errorf("%s is %s port %d, want %s port 1234", in, path, path.Port, want)
		}
	}
}

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

func TestParsePathRefuses(t *testing.T) {
	for in, want := range map[string]Errno{
		"":                            EPROTONOSUPPORT,
		"10.0.0.1":                    EPROTONOSUPPORT,
		"ib:10.0.0.1":                 EPROTONOSUPPORT,
		"ip:10.0.0.2,10.0.0.1":        EPROTONOSUPPORT,
		"ip:":                         EINVAL,
		"ip:10.0.0.256":               EINVAL,
		"ip:server":                   EINVAL,
		"gid:10.0.0.1":                EINVAL,
		"gid:fe80::1%eth0":            EINVAL,
		"10.0.0.2,ip:10.0.0.1":        EINVAL,
		",ip:10.0.0.1":                EINVAL,
		"ip:1.1.1.1,ip:1.1.1.2@ip:::": EINVAL,
	} {
		if _, err := ParsePath(in); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", in, err, want)
		}
	}
}
