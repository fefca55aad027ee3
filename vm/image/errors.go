// SPDX-License-Identifier: Apache-2.0

package image

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
)

// An EnvironmentError says that this machine, not the caller's request or the code, is why an image cannot be made: a
// package that cannot be had, a tool that is missing, a full disk. Its text is one sentence that says what, where and what
// to do.
type EnvironmentError struct {
	What string // what was attempted, on what
	Err  error  // why it failed
	Do   string // what to do about it
}

func (e *EnvironmentError) Error() string { return fmt.Sprintf("%s: %v; %s", e.What, e.Err, e.Do) }

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
