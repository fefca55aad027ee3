// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestPortGIDs finds what is in use in a table with gaps, and does not read what stands far behind the last.
func TestPortGIDs(t *testing.T) {
	port := t.TempDir()
	if err := os.Mkdir(filepath.Join(port, "gids"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, gid := range map[string]string{
		"0":  "fe80:0000:0000:0000:5054:00ff:fe00:0101",
		"1":  "0000:0000:0000:0000:0000:0000:0000:0000", // unused
		"3":  "0000:0000:0000:0000:0000:ffff:0a00:0001",
		"18": "fd00:0000:0000:0000:0000:0000:0000:0001",
		"50": "fd00:0000:0000:0000:0000:0000:0000:0002",
	} {
		if err := os.WriteFile(filepath.Join(port, "gids", name), []byte(gid+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var want [][16]byte
	for _, a := range []string{"fe80::5054:ff:fe00:101", "::ffff:10.0.0.1", "fd00::1"} {
		want = append(want, netip.MustParseAddr(a).As16())
	}
	if diff := cmp.Diff(want, portGIDs(port)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
