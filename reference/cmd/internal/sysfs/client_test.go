// SPDX-License-Identifier: Apache-2.0

package sysfs_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/ibnbd/ibnbd/reference/cmd/internal/address"
	"github.com/ibnbd/ibnbd/reference/cmd/internal/sysfs"
)

// TestInterfacesThatEndAnAddress has paths whose interfaces have what stands between words and addresses for the kernel's client.
func TestInterfacesThatEndAnAddress(t *testing.T) {
	plain := netip.MustParseAddr("fe80::1%eth0.7")
	for zone, refused := range map[string]bool{
		"eth0.7": false, "e th0": true, "e\tth0": true, "eth0\n": true, "eth,0": true, "eth@0": true,
	} {
		odd := netip.MustParseAddr("fe80::2").WithZone(zone)
		for _, path := range []address.Endpoints{{Server: odd}, {Source: odd, Server: plain}, {Source: plain, Server: odd}} {
			m := &sysfs.Mapping{Session: "gold", Device: "dev/sda", IOMode: "blockio", Paths: []address.Endpoints{{Server: plain}, path}}
			err := (&sysfs.Client{}).Check(m)
			if (err != nil) != refused || err != nil && !strings.Contains(err.Error(), "address") {
				t.Errorf("path %q: %v", path, err)
			}
		}
	}
}
