// SPDX-License-Identifier: Apache-2.0

package control_test

import (
	"context"
	"errors"
	"fmt"
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
