// SPDX-License-Identifier: Apache-2.0

//go:build verbs && cgo && linux

package verbs

import (
	"net/netip"
	"testing"
)

func TestAddresses(t *testing.T) {
	for in, want := range map[string]string{
		"10.1.2.3:7471":            "10.1.2.3:7471",
		"[::ffff:10.1.2.3]:1":      "10.1.2.3:1",
		"[fd00::2:1]:65535":        "[fd00::2:1]:65535",
		"[fe80::1%lo]:5":           "[fe80::1%1]:5", // the loopback interface is the first
		"[fe80::1%7]:5":            "[fe80::1%7]:5",
		"255.255.255.255:0":        "255.255.255.255:0",
		"[2001:db8:1:2:3:4:5:6]:9": "[2001:db8:1:2:3:4:5:6]:9",
	} {
		c, err := toC(netip.MustParseAddrPort(in))
		if got := fromC(&c).String(); err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", in, got, err, want)
		}
	}
	if _, err := toC(netip.MustParseAddrPort("[fe80::1%nosuch0]:5")); err == nil {
		t.Error("an interface that is not there: no error")
	}
}
