// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestPublishIsAllOrNothing(t *testing.T) {
	c := cache{t.TempDir()}
	broken := errors.New("broken")
	err := c.publish(func(dir string) error {
		if err := os.WriteFile(filepath.Join(dir, "half"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		return broken
	}, "things", "name")
	if !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	if left, _ := os.ReadDir(c.path("things")); len(left) != 0 {
		t.Errorf("a build that failed left %v", left)
	}
	built := 0
	for range 2 {
		err := c.publish(func(dir string) error {
			built++
			return os.WriteFile(filepath.Join(dir, "whole"), nil, 0o644)
		}, "things", "name")
		if err != nil {
			t.Fatal(err)
		}
	}
	if built != 1 || !c.has("things", "name", "whole") {
		t.Errorf("built %d times", built)
	}
}

func TestBuildsTakeTurns(t *testing.T) {
	c := cache{t.TempDir()}
	release, err := c.lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*lockPoll)
	defer cancel()
	if _, err := c.lock(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a second lock: %v", err)
	}
	release()
	again, err := c.lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	again()
}

func TestLackOfSpaceIsSaidBeforeItHappens(t *testing.T) {
	c := cache{t.TempDir()}
	if err := c.requireSpace(1, "try"); err != nil {
		t.Error(err)
	}
	err := c.requireSpace(1<<60, "unpack guest packages")
	var environment *EnvironmentError
	if !errors.As(err, &environment) || !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("error %v", err)
	}
	for _, part := range []string{"unpack guest packages in " + c.dir, "1099511627776 MiB are needed", "free some space"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not say %q", err, part)
		}
	}
}

func TestLeftoversOfKilledBuildsAreSwept(t *testing.T) {
	c := cache{t.TempDir()}
	for _, dir := range []string{"images/.new-123/build", "images/whole", "debs"} {
		if err := os.MkdirAll(c.path(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.sweep(); err != nil {
		t.Fatal(err)
	}
	if c.has("images", ".new-123") || !c.has("images", "whole") || !c.has("debs") {
		t.Error("the wrong things were swept")
	}
}

func TestPathThatKernelMakefilesDoNotBearIsRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "with space")
	_, err := Build(t.Context(), Config{Cache: dir}, nil)
	var environment *EnvironmentError
	if !errors.As(err, &environment) || !strings.Contains(err.Error(), "with space") {
		t.Errorf("error %v", err)
	}
}

func TestKeyFollowsContent(t *testing.T) {
	one, other := key([]string{"a", "b"}), key([]string{"ab"})
	if one == other || one != key([]string{"a", "b"}) {
		t.Errorf("keys %s and %s", one, other)
	}
}

// fakeTools makes a PATH of shell scripts by name.
func fakeTools(t *testing.T, scripts map[string]string) {
	t.Helper()
	dir := t.TempDir()
	for name, script := range scripts {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
}

// onePackage is what apt-get says when it knows every package.
const onePackage = `echo "'http://x' linux-image-9_1_amd64.deb 10 hash"`

func TestEnvironmentErrorsSayWhatToDo(t *testing.T) {
	init := filepath.Join(t.TempDir(), "init")
	if err := os.WriteFile(init, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		tools map[string]string
		says  []string
	}{
		"no apt": {nil, []string{"find the packages linux-image-6.12-amd64", "not found", `"apt-get"`, "ci/setup"}},
		"no such package": {map[string]string{"apt-get": "echo 'E: Unable to locate package' >&2; exit 100"},
			[]string{"find the packages linux-image-6.12-amd64", "Unable to locate package", "apt-get update"}},
		"offline": {map[string]string{"apt-get": "case \"$*\" in *print-uris*) " + onePackage +
			";; *) echo 'E: Failed to fetch http://x Temporary failure resolving' >&2; exit 100;; esac"},
			[]string{"download linux-image-9=1 linux-image-9=1 to ", "Failed to fetch", "check the network"}},
		"disk full": {map[string]string{"apt-get": "case \"$*\" in *print-uris*) " + onePackage +
			";; *) echo 'E: Write error - write (28: No space left on device)' >&2; exit 100;; esac"},
			[]string{"No space left on device", "free some space"}},
		"broken package": {map[string]string{"apt-get": "case \"$*\" in *print-uris*) " + onePackage + ";; esac",
			"dpkg-deb": "echo 'dpkg-deb: error: not a Debian format archive' >&2; exit 2"},
			[]string{"unpack linux-image-9=1", "not a Debian format archive", "delete"}},
	} {
		t.Run(name, func(t *testing.T) {
			fakeTools(t, test.tools)
			_, err := Build(t.Context(), Config{Agent: init, Cache: t.TempDir()}, nil)
			var environment *EnvironmentError
			if !errors.As(err, &environment) {
				t.Fatalf("error %v is no EnvironmentError", err)
			}
			for _, part := range test.says {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q does not say %q", err, part)
				}
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("error %q is more than a sentence", err)
			}
		})
	}
}

func TestTextOfEnvironmentError(t *testing.T) {
	full := errors.New("disk full")
	for want, err := range map[string]EnvironmentError{
		"write a file: disk full; free space": {What: "write a file", Err: full, Do: "free space"},
		"write a file: disk full":             {What: "write a file", Err: full},
		"it took too long; select less":       {What: "it took too long", Do: "select less"},
		"disk full; free space":               {Err: full, Do: "free space"},
	} {
		if err.Error() != want || !errors.Is(&err, full) && err.Err != nil {
			t.Errorf("%q, want %q", err.Error(), want)
		}
	}
}

func TestUnknownNamesAreTheCallersFault(t *testing.T) {
	for says, spec := range map[string]Config{
		`unknown kernel "7.99": the package set has 6.1, 6.12, debug; a path has a slash`: {Kernel: "7.99"},
		`unknown module set "zfs": the package set has rnbd`:                              {Modules: []string{"zfs"}},
	} {
		_, err := Build(t.Context(), spec, nil)
		var environment *EnvironmentError
		if err == nil || err.Error() != says || errors.As(err, &environment) {
			t.Errorf("error %v, want %q", err, says)
		}
	}
}

func TestResolutionIsKeptUntilTheListsChange(t *testing.T) {
	calls := filepath.Join(t.TempDir(), "calls")
	fakeTools(t, map[string]string{"apt-get": "echo x >> " + calls + "\n" + onePackage})
	c := cache{t.TempDir()}
	var got [][]deb
	for range 2 {
		debs, err := c.resolve(t.Context(), "linux-image-9")
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, debs)
	}
	if data, err := os.ReadFile(calls); err != nil || string(data) != "x\n" {
		t.Errorf("apt-get was called: %q, %v", data, err)
	}
	if diff := cmp.Diff(got[0], got[1]); diff != "" {
		t.Errorf("the second answer differs:\n%s", diff)
	}
}

func TestBuildEndsWithItsContext(t *testing.T) {
	fakeTools(t, map[string]string{"apt-get": "exec /bin/sleep 1000"})
	init := filepath.Join(t.TempDir(), "init")
	if err := os.WriteFile(init, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Build(ctx, Config{Agent: init, Cache: t.TempDir()}, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
}
