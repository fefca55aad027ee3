// SPDX-License-Identifier: Apache-2.0

package qemu

import (
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// TestSpawnStepsBack asks a child for its niceness. This process and its later children keep theirs.
func TestSpawnStepsBack(t *testing.T) {
	before := niceness(t, (*exec.Cmd).Run)
	child := niceness(t, func(c *exec.Cmd) error {
		p, err := spawn(c)
		if err != nil {
			return err
		}
		<-p.done
		return p.err
	})
	if want := min(before+5, 19); child != want {
		t.Errorf("the child's niceness is %d, want %d: this process has %d", child, want, before)
	}
	if after := niceness(t, (*exec.Cmd).Run); after != before {
		t.Errorf("other children have a niceness of %d now, before it was %d", after, before)
	}
}

// niceness is that of a child which run runs to its end.
func niceness(t *testing.T, run func(*exec.Cmd) error) int {
	t.Helper()
	c := exec.Command("nice")
	var out strings.Builder
	c.Stdout = &out
	if err := run(c); err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(out.String()))
	if err != nil {
		t.Fatal(err)
	}
	return n
}
