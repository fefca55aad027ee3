// SPDX-License-Identifier: Apache-2.0

package nbd_test

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ibnbd/ibnbd/reference/nbd"
)

func TestURI(t *testing.T) {
	for _, tc := range []struct{ socket, export, want string }{
		{"/run/a.sock", "ram0", "nbd+unix:///ram0?socket=/run/a.sock"},
		{"/run/a.sock", "", "nbd+unix:///?socket=/run/a.sock"},
		{"/run/a.sock", "/dev/sdb", "nbd+unix:////dev/sdb?socket=/run/a.sock"},
		{"/a b/s", "a b", "nbd+unix:///a%20b?socket=/a%20b/s"},
		{"/what?/s", "what?", "nbd+unix:///what%3F?socket=/what%3F/s"},
		{"/1#2/s", "1#2", "nbd+unix:///1%232?socket=/1%232/s"},
		{"/100%/s", "100%41", "nbd+unix:///100%2541?socket=/100%25/s"},
		{"/a+b&c;d=e/s", "a+b&c;d=e", "nbd+unix:///a%2Bb%26c%3Bd%3De?socket=/a%2Bb%26c%3Bd%3De/s"},
		{"/käse/s", "日本", "nbd+unix:///%E6%97%A5%E6%9C%AC?socket=/k%C3%A4se/s"},
		{"/s", "x://y:z@[::1]/\n\"'\\", "nbd+unix:///x%3A//y%3Az%40%5B%3A%3A1%5D/%0A%22%27%5C?socket=/s"},
	} {
		if got := nbd.URI(tc.socket, tc.export); got != tc.want {
			t.Errorf("URI(%q, %q) is\n%s, must be\n%s", tc.socket, tc.export, got, tc.want)
		}
	}
}

// TestProgramsUnderstandURIs has the programs of other people find exports and sockets with unusual names.
func TestProgramsUnderstandURIs(t *testing.T) {
	for _, name := range []string{"a b", "what?", "1#2", "100%41", "a+b&c;d=e", "käse 日本", "/dev/sd b", "x://y:z@[::1]", `quote"'\`} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), strings.ReplaceAll(name, "/", "_"))
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			socket := filepath.Join(dir, "s")
			l, err := net.Listen("unix", socket)
			if err != nil {
				t.Fatal(err)
			}
			d := &ram{data: make([]byte, 1<<20)}
			serveOn(t, l, map[string]nbd.Disk{"another": &ram{data: make([]byte, 512)}, name: d})
			uri := nbd.URI(socket, name)
			if out := run(t, "nbdinfo", "--size", uri); strings.TrimSpace(out) != "1048576" {
				t.Errorf("nbdinfo says that it has %s bytes", out)
			}
			if out := run(t, "qemu-img", "info", "-f", "raw", uri); !strings.Contains(out, "1048576 bytes") {
				t.Errorf("qemu-img says\n%s", out)
			}
			in := filepath.Join(dir, "in")
			want := bytes.Repeat([]byte{0xA5}, 1<<20)
			if err := os.WriteFile(in, want, 0o600); err != nil {
				t.Fatal(err)
			}
			run(t, "nbdcopy", in, uri)
			if !bytes.Equal(d.contents(), want) {
				t.Error("nbdcopy has written to another disk")
			}
		})
	}
}
