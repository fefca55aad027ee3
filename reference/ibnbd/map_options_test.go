// SPDX-License-Identifier: Apache-2.0

package ibnbd

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

func TestParseMapOptions(t *testing.T) {
	path := func(text string, port uint16) ibtrs.PathAddr {
		p, err := ibtrs.ParsePath(text)
		if err != nil {
			t.Fatal(err)
		}
		p.Port = port
		return p
	}
	for _, c := range []struct {
		text    string
		dialect Dialect
		want    MapOptions
	}{
		{
			"sessname=blya path=ip:10.0.0.1 device_path=/dev/ram0\n", DialectIBNBD,
			MapOptions{"blya", []ibtrs.PathAddr{path("ip:10.0.0.1", 1234)}, "/dev/ram0", ReadWrite, BlockIO, 0},
		},
		{
			"  device_path=a=b  io_mode=fileio path=ip:10.0.0.2,ip:10.0.0.1 access_mode=ro path=gid:fe80::2@gid:fe80::1 sessname=blya ", DialectIBNBD,
			MapOptions{"blya", []ibtrs.PathAddr{path("ip:10.0.0.2,ip:10.0.0.1", 1234), path("gid:fe80::2,gid:fe80::1", 1234)}, "a=b", ReadOnly, FileIO, 0},
		},
		{
			"sessname=blya device_path=ram0", DialectRNBD,
			MapOptions{"blya", nil, "ram0", ReadWrite, BlockIO, 0},
		},
		{
			"path=ip:10.0.0.1 dest_port=5678 path=ip:10.0.0.3 sessname=blya nr_poll_queues=-1 device_path=ram0 access_mode=migration", DialectRNBD,
			MapOptions{"blya", []ibtrs.PathAddr{path("ip:10.0.0.1", 1234), path("ip:10.0.0.3", 5678)}, "ram0", Migration, BlockIO, -1},
		},
	} {
		got, err := ParseMapOptions(c.text, c.dialect)
		if err != nil {
			t.Errorf("%q: %v", c.text, err)
			continue
		}
		if diff := cmp.Diff(c.want, got, cmpopts.EquateComparable(ibtrs.PathAddr{})); diff != "" {
			t.Errorf("%q (-want +got):\n%s", c.text, diff)
		}
	}
}

func TestParseMapOptionsRefuses(t *testing.T) {
	good := "sessname=blya path=ip:10.0.0.1 device_path=ram0"
	sevenPaths := good
	for i := range 6 {
		sevenPaths += fmt.Sprintf(" path=ip:10.0.1.%d", i)
	}
	for _, c := range []struct {
		name, text string
		dialect    Dialect
		want       ibtrs.Errno
	}{
		{"nothing", "", DialectIBNBD, ibtrs.EINVAL},
		{"no sessname", "path=ip:10.0.0.1 device_path=ram0", DialectIBNBD, ibtrs.EINVAL},
		{"no device_path", "sessname=blya path=ip:10.0.0.1", DialectIBNBD, ibtrs.EINVAL},
		{"no path", "sessname=blya device_path=ram0", DialectIBNBD, ibtrs.EINVAL},
		{"garbage", "garbage", DialectRNBD, ibtrs.EINVAL},
		{"unknown option", good + " colour=red", DialectIBNBD, ibtrs.EINVAL},
		{"empty value", good + " access_mode=", DialectIBNBD, ibtrs.EINVAL},
		{"empty session", "sessname= path=ip:10.0.0.1 device_path=ram0", DialectIBNBD, ibtrs.EINVAL},
		{"option twice", good + " sessname=blyat", DialectIBNBD, ibtrs.EINVAL},
		{"session with slash", "sessname=a/b path=ip:10.0.0.1 device_path=ram0", DialectIBNBD, ibtrs.EINVAL},
		{"session of 255", "sessname=" + strings.Repeat("x", 255) + " path=ip:10.0.0.1 device_path=ram0", DialectIBNBD, ibtrs.EINVAL},
		{"device path of 255", "sessname=blya path=ip:10.0.0.1 device_path=" + strings.Repeat("x", 255), DialectIBNBD, ibtrs.EINVAL},
		{"access mode", good + " access_mode=wr", DialectIBNBD, ibtrs.EINVAL},
		{"io mode", good + " io_mode=autoio", DialectIBNBD, ibtrs.EINVAL},
		{"io mode of the other dialect", good + " io_mode=fileio", DialectRNBD, ibtrs.EINVAL},
		{"port of the other dialect", good + " dest_port=1234", DialectIBNBD, ibtrs.EINVAL},
		{"port", good + " dest_port=65536", DialectRNBD, ibtrs.EINVAL},
		{"poll queues", good + " nr_poll_queues=-2", DialectRNBD, ibtrs.EINVAL},
		{"poll queues of the other dialect", good + " nr_poll_queues=0", DialectIBNBD, ibtrs.EINVAL},
		{"destination without prefix", "sessname=blya path=10.0.0.1 device_path=ram0", DialectIBNBD, ibtrs.EPROTONOSUPPORT},
		{"bad address", "sessname=blya path=ip:10.0.0 device_path=ram0", DialectIBNBD, ibtrs.EINVAL},
		{"seven paths", sevenPaths, DialectIBNBD, ibtrs.ENOMEM},
	} {
		if _, err := ParseMapOptions(c.text, c.dialect); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

func TestFullPath(t *testing.T) {
	for _, c := range []struct{ search, device, want string }{
		{"/", "dev/ram0", "/dev/ram0"},
		{"/", "/dev//ram0", "/dev/ram0"},
		{"/dev/", "ram0", "/dev/ram0"},
		{"/exports/%SESSNAME%", "disk", "/exports/blya/disk"},
		{"/exports/%SESSNAME%/behind/%SESSNAME%", "a///b", "/exports/blya/a/b"},
		{"", "ram0", "/ram0"},
	} {
		if got, err := FullPath(c.search, "blya", c.device); got != c.want || err != nil {
			t.Errorf("%s + %s = %q (%v), want %q", c.search, c.device, got, err, c.want)
		}
	}
	for name, c := range map[string]struct{ search, device string }{
		"parent":                {"/", "../dev/ram1"},
		"two dots in a name":    {"/", "a..b"},
		"sum of 4096":           {"/" + strings.Repeat("s", 4000), strings.Repeat("d", 95)},
		"full path of 4096":     {"/" + strings.Repeat("s", 4000), strings.Repeat("d", 94)},
		"session makes it long": {"/%SESSNAME%" + strings.Repeat("s", 3000), strings.Repeat("d", 1084)},
	} {
		search := c.search
		session := "blya"
		if name == "session makes it long" {
			session = strings.Repeat("x", 4000)
		}
		if got, err := FullPath(search, session, c.device); !errors.Is(err, ibtrs.EINVAL) {
			t.Errorf("%s: %d bytes (%v), want EINVAL", name, len(got), err)
		}
	}
	if got, err := FullPath("/"+strings.Repeat("s", 4000), "blya", strings.Repeat("d", 93)); err != nil || len(got) != 4095 {
		t.Errorf("full path of %d bytes: %v", len(got), err)
	}
}

func TestLinkName(t *testing.T) {
	if got, err := LinkName("/dev/ram0", "blya", DialectIBNBD); got != "!dev!ram0" || err != nil {
		t.Errorf("%q (%v)", got, err)
	}
	if got, err := LinkName("dev/ram0", "blya", DialectRNBD); got != "dev!ram0@blya" || err != nil {
		t.Errorf("%q (%v)", got, err)
	}
	if _, err := LinkName(strings.Repeat("x", 251), "blya", DialectRNBD); !errors.Is(err, ibtrs.ENAMETOOLONG) {
		t.Errorf("256 bytes: %v, want ENAMETOOLONG", err)
	}
	if _, err := LinkName(strings.Repeat("x", 250), "blya", DialectRNBD); err != nil {
		t.Errorf("255 bytes: %v", err)
	}
}
