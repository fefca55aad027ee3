// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// terminal is a screen on which lines can be taken back.
type terminal interface {
	// size is asked for anew before each drawing: people resize windows.
	size() (columns, rows int)
}

// terminalOf returns the terminal that w writes to, or nil where w is something else.
func terminalOf(w io.Writer) terminal {
	file, ok := w.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" {
		return nil
	}
	if _, err := unix.IoctlGetWinsize(int(file.Fd()), unix.TIOCGWINSZ); err != nil {
		return nil
	}
	return tty{file}
}

type tty struct{ file *os.File }

// size is that of the usual terminal where the real one does not tell.
func (t tty) size() (columns, rows int) {
	const usualColumns, usualRows = 80, 24
	size, err := unix.IoctlGetWinsize(int(t.file.Fd()), unix.TIOCGWINSZ)
	if err != nil || size.Col == 0 || size.Row == 0 {
		return usualColumns, usualRows
	}
	return int(size.Col), int(size.Row)
}
