// SPDX-License-Identifier: Apache-2.0

package foreign

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// hook makes a hook of a shell script.
func hook(t *testing.T, script string) Hook {
	t.Helper()
	file := filepath.Join(t.TempDir(), "hook")
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	h, err := ParseHook(file + " first")
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestHook(t *testing.T) {
	for _, c := range []struct {
		name, script, says string
		fails              string // part of the error
		unsupported        bool
	}{
		{"does it", `echo "$1 $2 $IBNBD_TARGET"`, "first status 10.0.0.66\n", "", false},
		{"does not know it", "exit 127", "", "not supported", true},
		{"fails", "echo one >&2; echo no such machine >&2; exit 3", "", "exit status 3: no such machine", false},
	} {
		says, err := hook(t, c.script).Do(t.Context(), Status, "IBNBD_TARGET=10.0.0.66")
		if says != c.says || (err == nil) != (c.fails == "") || err != nil && !strings.Contains(err.Error(), c.fails) ||
			errors.Is(err, ErrNotSupported) != c.unsupported {
			t.Errorf("%s: %q, %v", c.name, says, err)
		}
	}
	if _, err := Hook(nil).Do(t.Context(), Crash); !errors.Is(err, ErrNotSupported) {
		t.Errorf("no hook: %v", err)
	}
}

// TestHookThatHangs ends with the caller's patience, and takes along what the hook has started.
func TestHookThatHangs(t *testing.T) {
	h := hook(t, "echo $$; sleep 1000")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := h.Do(ctx, Restart); err == nil || errors.Is(err, ErrNotSupported) {
		t.Errorf("error %v", err)
	}
}

func TestParseHook(t *testing.T) {
	for _, line := range []string{"", "  ", "/no/such/program", "no-such-program-anywhere restart"} {
		if h, err := ParseHook(line); err == nil {
			t.Errorf("%q is %q", line, h)
		}
	}
}

func TestFacts(t *testing.T) {
	got := facts("hello\nversion=1.2=3\n a sentence = none\n=x\nserving=yes")
	if diff := cmp.Diff(map[string]string{"version": "1.2=3", "serving": "yes"}, got); diff != "" {
		t.Error(diff)
	}
}
