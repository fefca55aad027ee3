// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/ibnbd/ibnbd/conformance/verdict/report"
)

// screen says what the output is like: the width of a terminal, and colours unless NO_COLOR is set. Anything but a
// terminal is 100 columns wide and without colours.
func screen(out io.Writer) report.TerminalOptions {
	file, ok := out.(*os.File)
	if !ok {
		return report.TerminalOptions{Width: 100}
	}
	size, err := unix.IoctlGetWinsize(int(file.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return report.TerminalOptions{Width: 100}
	}
	return report.TerminalOptions{Width: int(size.Col), Color: os.Getenv("NO_COLOR") == ""}
}
