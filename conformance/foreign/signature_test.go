// SPDX-License-Identifier: Apache-2.0

package foreign

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestSignaturesOfRealThings makes what people have on their devices, with the tools that they use.
func TestSignaturesOfRealThings(t *testing.T) {
	for _, c := range []struct{ want, script string }{
		{"", "true"},
		{"an ext2, ext3 or ext4 file system (at byte 1080)", "mke2fs -q $0"},
		{"swap space (at byte 4086)", "mkswap -q $0"},
	} {
		file := filepath.Join(t.TempDir(), "device")
		if err := os.WriteFile(file, make([]byte, 8<<20), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("sh", "-c", c.script, file)
		cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/sbin:/usr/sbin")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", c.script, err, out)
		}
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got := findSignature(content[:signatureArea]); got != c.want {
			t.Errorf("after %q: %q, want %q", c.script, got, c.want)
		}
	}
}

func TestSignatureTable(t *testing.T) {
	for _, s := range signatures {
		for _, at := range s.at {
			device := make([]byte, signatureArea)
			copy(device[at:], s.magic)
			if got := findSignature(device); !strings.HasPrefix(got, s.what) {
				t.Errorf("%s at %d is %q", s.what, at, got)
			}
			if got := findSignature(device[:at+len(s.magic)-1]); got != "" {
				t.Errorf("%s at %d, cut off, is %q", s.what, at, got)
			}
		}
	}
}
