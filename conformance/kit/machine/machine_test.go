// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"errors"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/ibnbd/ibnbd/vm/agent"
)

func TestFailureOf(t *testing.T) {
	for _, c := range []struct {
		name, said string
		exit       int
		errno      syscall.Errno
		want       string
	}{
		{"no failure", "time=1 msg=hello\n", 0, 0, ""},
		{"a number", "time=1 msg=hello\n" + `{"error":"map \"x\": EEXIST","errno":17,"errno_name":"EEXIST"}` + "\n", 1, syscall.EEXIST, `map "x"`},
		{"no number", `{"error":"no luck"}` + "\n", 1, 0, "no luck"},
		{"usage", `{"error":"--queue-depth 0 must be 1 to 65535"}` + "\n", exitUsage, syscall.EINVAL, "--queue-depth"},
		{"a crash", "panic: oh\n\ngoroutine 1\n", 2, 0, `"goroutine 1"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := FailureOf(&agent.Result{ExitCode: c.exit, Stderr: []byte(c.said)}, c.said)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("FailureOf() = %v, want %q", err, c.want)
			}
			if c.errno != 0 && !errors.Is(err, c.errno) {
				t.Errorf("FailureOf() = %v, want %v behind it", err, c.errno)
			}
		})
	}
}

func TestLines(t *testing.T) {
	var got []string
	l := &Lines{Do: func(line []byte) { got = append(got, string(line)) }}
	for _, piece := range []string{"a", "b\nc", "\n\nd"} {
		if _, err := l.Write([]byte(piece)); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{"ab", "c", ""}; !slices.Equal(got, want) {
		t.Errorf("lines are %q, want %q", got, want)
	}
}
