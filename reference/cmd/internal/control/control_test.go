// SPDX-License-Identifier: Apache-2.0

package control_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ibnbd/ibnbd/reference/cmd/internal/control"
)

// pathOf makes a path of n bytes.
func pathOf(t *testing.T, n int) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "control-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, strings.Repeat("d", 20), "s")
	return path + strings.Repeat("s", n-len(path))
}

// TestLengthOfASocketPath tries the longest path that a Unix socket can have, and one more byte.
func TestLengthOfASocketPath(t *testing.T) {
	longest := pathOf(t, 107)
	l, err := control.Listen(longest)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()

	path := pathOf(t, 108)
	_, err = control.Listen(path)
	errs := map[string]error{"Listen": err}
	_, errs["ListenLocal"] = control.ListenLocal("unix:" + path)
	errs["Ask"] = control.Ask(context.Background(), path, http.MethodGet, "/", nil)
	errs["CheckSocketPath"] = control.CheckSocketPath(path)
	want := fmt.Sprintf("path of Unix socket %s has 108 bytes, at most 107 are possible", path)
	for name, err := range errs {
		var long *control.SocketPathError
		if !errors.As(err, &long) || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := os.Stat(filepath.Dir(path)); err == nil {
		t.Error("a directory was made for a socket that cannot be")
	}
}

// TestNothingButSocketsIsReplaced listens where a program has left its socket, and where something else is.
func TestNothingButSocketsIsReplaced(t *testing.T) {
	t.Chdir(t.TempDir())
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: "left"})
	if err != nil {
		t.Fatal(err)
	}
	left.SetUnlinkOnClose(false)
	if err := left.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := control.Listen("left")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := control.Listen("left"); err == nil || !strings.Contains(err.Error(), "in use by another program") {
		t.Errorf("where a program listens: %v", err)
	}

	if err := os.WriteFile("disk.img", []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir("directory", 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"disk.img", "directory"} {
		if _, err := control.Listen(path); err == nil || !strings.Contains(err.Error(), path+" is there already, and is not a socket") {
			t.Errorf("Listen(%q): %v", path, err)
		}
	}
	if data, err := os.ReadFile("disk.img"); err != nil || string(data) != "precious" {
		t.Errorf("the file holds %q: %v", data, err)
	}
}

// TestSocketsAreFiles takes no name for that of a socket outside the file system.
func TestSocketsAreFiles(t *testing.T) {
	t.Chdir(t.TempDir())
	l, err := control.Listen("@s")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat("@s"); err != nil {
		t.Error(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}
