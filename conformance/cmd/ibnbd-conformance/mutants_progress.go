// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/ibnbd/ibnbd/conformance/verdict/matrix"
)

// countdown shows how a kill matrix goes: each mutant that is not dead has a line, and on a terminal the number of those tried
// stands below.
type countdown struct {
	out         io.Writer
	terminal    bool
	tried, most int
}

func newCountdown(out io.Writer, mutants int) *countdown {
	c := &countdown{out: out, most: mutants}
	if file, ok := out.(*os.File); ok {
		_, err := unix.IoctlGetWinsize(int(file.Fd()), unix.TIOCGWINSZ)
		c.terminal = err == nil
	}
	return c
}

// wipe is what takes the last line of a terminal away.
const wipe = "\r\x1b[K"

// row takes note of a mutant that was tried.
func (c *countdown) row(r matrix.Row) {
	c.tried++
	if c.terminal {
		fmt.Fprint(c.out, wipe)
	}
	if r.Status != matrix.Killed {
		fmt.Fprintf(c.out, "%s %s: %s\n", r.Mutant, r.Status, r.Message)
	}
	if c.terminal {
		fmt.Fprintf(c.out, "%d of %d mutants were tried", c.tried, c.most)
	}
}

// end leaves the terminal to what follows.
func (c *countdown) end() {
	if c.terminal {
		fmt.Fprint(c.out, wipe)
	}
}
