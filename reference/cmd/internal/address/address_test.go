// SPDX-License-Identifier: Apache-2.0

package address

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
)

func TestParsePath(t *testing.T) {
	for in, want := range map[string]string{
		"10.0.0.1":                "invalid IP@10.0.0.1",
		"ip:10.0.0.1":             "invalid IP@10.0.0.1",
		"10.0.0.2@10.0.0.1":       "10.0.0.2@10.0.0.1",
		"ip:10.0.0.2,ip:10.0.0.1": "10.0.0.2@10.0.0.1",
		"fd00::2@fd00::1":         "fd00::2@fd00::1",
		"gid:::ffff:10.0.0.2,gid:::ffff:10.0.0.1":        "10.0.0.2@10.0.0.1",
		"gid:0000:0000:0000:0000:0000:ffff:0a00:0001":    "invalid IP@10.0.0.1",
		"10.0.0.2@gid:::ffff:10.0.0.1":                   "10.0.0.2@10.0.0.1",
		"gid:fd00::2@gid:fd00::1":                        "fd00::2@fd00::1",
		"fe80::1%eth7":                                   "invalid IP@fe80::1%eth7",
		"ip:fe80::2%eth7@gid:fe80::1":                    "fe80::2%eth7@fe80::1%eth7",
		"fe80::2%eth7,fe80::1":                           "fe80::2%eth7@fe80::1%eth7",
		"fe80::2%eth7,fe80::1%eth7":                      "fe80::2%eth7@fe80::1%eth7",
		"fd00::2@fe80::1%eth7":                           "fd00::2@fe80::1%eth7",
		"gid:0000:0000:0000:0000:0000:FFFF:0A00:0001":    "invalid IP@10.0.0.1",
		"::ffff:10.0.0.2@::ffff:10.0.0.1":                "10.0.0.2@10.0.0.1",
		"ip:2001:db8:0:0:0:0:0:2,gid:2001:db8:0:0::0001": "2001:db8::2@2001:db8::1",
	} {
		p, err := ParseEndpoints(in)
		if got := p.Source.String() + "@" + p.Server.String(); err != nil || got != want {
			t.Errorf("%s is %s (%v), must be %s", in, got, err, want)
		}
	}
}

func TestParsePathRefuses(t *testing.T) {
	for in, want := range map[string]string{
		"":                             `server: "" is not an IP address`,
		"gid:":                         `server: "" is not a GID`,
		"server":                       `server: "server" is not an IP address`,
		"gid:10.0.0.1":                 `"10.0.0.1" is not a GID, which is written like an IPv6 address`,
		"gid:fe80::1%eth0":             "without scope",
		"gid:fe80::1::2":               `"fe80::1::2" is not a GID`,
		"gid:::":                       ":: is not the address of one host",
		"gid:ff02::1":                  "ff02::1 is not the address of one host",
		"0.0.0.0":                      "0.0.0.0 is not the address of one host",
		"@10.0.0.1":                    `source: "" is not an IP address`,
		"10.0.0.2@":                    `server: "" is not an IP address`,
		"10.0.0.2@10.0.0.1@10.0.0.3":   `server: "10.0.0.1@10.0.0.3" is not an IP address`,
		"10.0.0.2@gid:fd00::1":         "source 10.0.0.2 and server fd00::1 are of different IP versions",
		"gid:fe80::1":                  "server: fe80::1 is link-local: say the interface, as in fe80::1%eth0, or give a source",
		"fd00::2@gid:fe80::1":          "server: fe80::1 is link-local and the source fd00::2 is not: say the interface, as in fe80::1%eth0",
		"fe80::2%eth7@fe80::1%eth8":    "are on different interfaces",
		"gid:fe80::dead@gid:fe80::1":   "source: no interface of this host has the address fe80::dead",
		"src=10.0.0.2,dst=10.0.0.1":    `source: "src=10.0.0.2" is not an IP address`,
		"gid:::ffff:10.0.0.2,10.0.0.x": `server: "10.0.0.x" is not an IP address`,
	} {
		if p, err := ParseEndpoints(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is %v (%v), must be refused with %q", in, p, err, want)
		}
	}
}

func TestParsePort(t *testing.T) {
	for in, want := range map[string]string{
		"10.0.0.1":                   "10.0.0.1:1234",
		"10.0.0.1:5":                 "10.0.0.1:5",
		"fd00::1":                    "[fd00::1]:1234",
		"[fd00::1]:5":                "[fd00::1]:5",
		"gid:::ffff:10.0.0.1":        "10.0.0.1:1234",
		"[gid:::ffff:10.0.0.1]:5":    "10.0.0.1:5",
		"ip:fe80::1%eth7":            "[fe80::1%eth7]:1234",
		"[ip:fe80::1%eth7]:5":        "[fe80::1%eth7]:5",
		"gid:fd00:0:0:0:0:0:0:00001": "",
		"nowhere":                    "",
		"10.0.0.1:65536":             "",
		"10.0.0.1:":                  "",
		"0.0.0.0:5":                  "",
	} {
		p, err := ParsePort(in, 1234)
		if want == "" {
			if err == nil {
				t.Errorf("%s is %s, must be refused", in, p)
			}
			continue
		}
		if err != nil || p.String() != want {
			t.Errorf("%s is %s (%v), must be %s", in, p, err, want)
		}
	}
}

// TestInterfaceOfALinkLocalAddress looks among the interfaces that this host has, under other names.
func TestInterfaceOfALinkLocalAddress(t *testing.T) {
	real, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	var loopback net.Interface
	for _, i := range real {
		if has, _ := hasAddr(&i, netip.IPv6Loopback()); has {
			loopback = i
		}
	}
	if loopback.Name == "" {
		t.Skip("no interface has the IPv6 loopback address")
	}
	none := func() ([]net.Interface, error) { return nil, nil }
	one := func() ([]net.Interface, error) { return []net.Interface{loopback}, nil }
	two := func() ([]net.Interface, error) { return []net.Interface{loopback, loopback}, nil }
	broken := errors.New("broken")
	if ip, err := zoned(netip.IPv6Loopback(), one); err != nil || ip.Zone() != loopback.Name {
		t.Errorf("on one interface: %s (%v)", ip, err)
	}
	if _, err := zoned(netip.IPv6Loopback(), none); err == nil || !strings.Contains(err.Error(), "no interface") {
		t.Errorf("on none: %v", err)
	}
	if _, err := zoned(netip.IPv6Loopback(), two); err == nil || !strings.Contains(err.Error(), "say which") {
		t.Errorf("on two: %v", err)
	}
	if _, err := zoned(netip.IPv6Loopback(), func() ([]net.Interface, error) { return nil, broken }); !errors.Is(err, broken) {
		t.Errorf("on a broken host: %v", err)
	}
}
