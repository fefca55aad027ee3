// SPDX-License-Identifier: Apache-2.0

package qemu

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
)

// ErrPanic says that the guest's kernel panicked. An [ExitError] of such an end wraps it.
var ErrPanic = errors.New("the guest's kernel panicked")

// ExitError says how a machine ended that nobody asked to end.
type ExitError struct {
	Name    string // the machine's name
	Reason  string // one clause: what is known of the cause
	Panic   bool   // the guest's kernel panicked
	Console string // the last lines of the serial console, from the panic on if there was one
	Stderr  string // what QEMU complained of, in one line
}

// Error gives, in one line, the name and the reason, what QEMU complained of, and the guest's last words; the console has more.
func (e *ExitError) Error() string {
	s := fmt.Sprintf("machine %s ended: %s", e.Name, e.Reason)
	if e.Stderr != "" {
		s += "; QEMU says: " + e.Stderr
	}
	if words := e.lastWords(); words != "" {
		s += "; its last words: " + words
	}
	return s
}

// kernelTime is what Linux puts before each line on the console.
var kernelTime = regexp.MustCompile(`^\[ *[0-9.]+\] *`)

// lastWords are the lines of the console that tell most: the one of the panic, or else the last few.
func (e *ExitError) lastWords() string {
	const few = 3
	lines := strings.Split(strings.TrimSpace(e.Console), "\n")
	if e.Panic {
		lines = lines[:1]
	}
	lines = lines[max(0, len(lines)-few):]
	for i, line := range lines {
		lines[i] = kernelTime.ReplaceAllString(strings.TrimSpace(line), "")
	}
	return strings.Join(lines, "; ")
}

// Unwrap returns [ErrPanic] where that was it.
func (e *ExitError) Unwrap() error {
	if e.Panic {
		return ErrPanic
	}
	return nil
}

// exitError describes the end of QEMU from its exit status, its last event and what it wrote. m.mu is held or not needed.
func (m *Machine) exitError() *ExitError {
	e := &ExitError{Name: m.config.Name, Reason: "QEMU: " + m.process.describeExit()}
	console := tail(m.config.Console())
	switch {
	case m.shutdown == "guest-panic" || strings.Contains(console, panicMark):
		e.Panic, e.Reason = true, ErrPanic.Error()
	case m.shutdown == "guest-reset":
		e.Reason = "the guest rebooted"
	case m.shutdown == "guest-shutdown":
		e.Reason = "the guest powered off"
	case m.shutdown != "":
		e.Reason = "QEMU shut down: " + m.shutdown
	}
	e.Console = lastLines(console)
	e.Stderr = strings.ReplaceAll(strings.TrimSpace(tail(m.stderrPath())), "\n", "; ")
	return e
}

// panicMark begins the line with which a Linux kernel reports a panic.
const panicMark = "Kernel panic - not syncing"

// lastLines returns a console's end, from the panic on where there is one.
func lastLines(console string) string {
	const lines = 12
	if i := strings.Index(console, panicMark); i >= 0 {
		begin := strings.LastIndexByte(console[:i], '\n') + 1
		console = console[begin:]
		rows := strings.SplitAfterN(strings.TrimSpace(console), "\n", lines+1)
		return strings.Join(rows[:min(lines, len(rows))], "")
	}
	rows := strings.SplitAfter(strings.TrimSpace(console), "\n")
	return strings.Join(rows[max(0, len(rows)-lines):], "")
}

// tail returns the last part of a file as clean text; "" where it cannot be read.
func tail(path string) string {
	const size = 16 << 10
	file, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer file.Close()
	if end, err := file.Seek(0, io.SeekEnd); err == nil {
		_, _ = file.Seek(max(0, end-size), io.SeekStart)
	}
	data, err := io.ReadAll(file)
	if err != nil {
		return ""
	}
	data = bytes.ReplaceAll(data, []byte("\r"), nil)
	return strings.ToValidUTF8(string(data), "?")
}
