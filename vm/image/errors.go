// SPDX-License-Identifier: Apache-2.0

package image

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
)

// An EnvironmentError says that this machine, not the caller's request or the code, is why something cannot be done: a
// package that cannot be had, a tool that is missing, a full disk. Its text is one sentence that says what, where and what
// to do. It is the type of all packages that need a machine: of this one, of package vm, and of those that run specs.
type EnvironmentError struct {
	What string // what was attempted, on what; "" where Err says it
	Err  error  // why it failed; nil where What says it
	Do   string // what to do about it; "" for nothing
}

func (e *EnvironmentError) Error() string {
	text := e.What
	if e.Err != nil {
		text = strings.TrimPrefix(text+": "+e.Err.Error(), ": ")
	}
	if e.Do != "" {
		text += "; " + e.Do
	}
	return text
}

// Unwrap returns the reason.
func (e *EnvironmentError) Unwrap() error { return e.Err }

// environment makes err, met while doing what, an EnvironmentError. A full disk and a missing tool get the advice that
// fits them in place of advice. Nil stays nil, and an EnvironmentError stays what it is.
func environment(err error, what, advice string) error {
	var already *EnvironmentError
	var missing *exec.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &already):
		return err
	case errors.Is(err, syscall.ENOSPC), strings.Contains(strings.ToLower(err.Error()), "no space left on device"):
		advice = "free some space there, or choose another cache directory"
	case errors.As(err, &missing) && errors.Is(err, exec.ErrNotFound):
		advice = fmt.Sprintf("install the package with the program %q, or run ci/setup", missing.Name)
	}
	return &EnvironmentError{What: what, Err: err, Do: advice}
}
