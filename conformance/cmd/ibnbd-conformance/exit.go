// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// exitError is an error that knows its exit code. Commands return no other kind; see exitCode for what happens if they do.
type exitError struct {
	code verdict.ExitCode
	err  error // nil when everything was said already
}

// Error is the sentence for the user.
func (e *exitError) Error() string {
	if e.err == nil {
		return e.code.Meaning()
	}
	return e.err.Error()
}

// Unwrap returns the cause.
func (e *exitError) Unwrap() error { return e.err }

// usagef is an error of the user: exit code 2.
func usagef(format string, args ...any) error {
	return &exitError{verdict.ExitUsage, fmt.Errorf(format, args...)}
}

// failsf is the error of something that does not hold: exit code 1.
func failsf(format string, args ...any) error {
	return &exitError{verdict.ExitFails, fmt.Errorf(format, args...)}
}

// environmentf is an error of the machine or of the suite: exit code 3.
func environmentf(format string, args ...any) error {
	return &exitError{verdict.ExitEnvironment, fmt.Errorf(format, args...)}
}

// exitWith ends the command with a code after everything was said. Code 0 is no error.
func exitWith(code verdict.ExitCode) error {
	if code == verdict.ExitHolds {
		return nil
	}
	return &exitError{code: code}
}

// exitCode maps an error to the exit code and to the one line that the user sees, "" for none. An error without a code
// comes from a defect here or below, which is the fault of the environment or the suite.
func exitCode(err error) (verdict.ExitCode, string) {
	var known *exitError
	switch {
	case err == nil:
		return verdict.ExitHolds, ""
	case !errors.As(err, &known):
		return verdict.ExitEnvironment, oneLine(err.Error())
	case known.err == nil:
		return known.code, ""
	default:
		return known.code, oneLine(known.Error())
	}
}

// oneLine joins the lines of a text: several errors, or a list of them behind a colon.
func oneLine(text string) string {
	var joined string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || joined == "":
			joined += line
		case strings.HasSuffix(joined, ":"):
			joined += " " + line
		default:
			joined += "; " + line
		}
	}
	return joined
}

// exitCodeHelp is the table of exit codes for --help.
func exitCodeHelp() string {
	var text strings.Builder
	text.WriteString("Exit codes:\n")
	for _, code := range verdict.ExitCodes() {
		fmt.Fprintf(&text, "  %d  %s\n", code, code.Meaning())
	}
	return strings.TrimRight(text.String(), "\n")
}
