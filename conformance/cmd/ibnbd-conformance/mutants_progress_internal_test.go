// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"testing"

	"github.com/ibnbd/ibnbd/conformance/verdict/matrix"
)

// TestCountdown follows a run in a log, and on a terminal.
func TestCountdown(t *testing.T) {
	for terminal, want := range map[bool]string{
		false: "deaf survived: nobody saw it\n",
		true:  "\r\x1b[K1 of 2 mutants were tried\r\x1b[Kdeaf survived: nobody saw it\n2 of 2 mutants were tried\r\x1b[K",
	} {
		var out bytes.Buffer
		c := newCountdown(&out, 2)
		c.terminal = terminal
		c.row(matrix.Row{Mutant: "any-magic", Status: matrix.Killed})
		c.row(matrix.Row{Mutant: "deaf", Status: matrix.Survived, Message: "nobody saw it"})
		c.end()
		if out.String() != want {
			t.Errorf("terminal %t: %q, want %q", terminal, out.String(), want)
		}
	}
}
