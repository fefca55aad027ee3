// SPDX-License-Identifier: Apache-2.0

package ibnbd

import (
	"fmt"
	"strings"

	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/layout"
)

const (
	// MaxFullPath is the longest path of a device on the server, in bytes.
	MaxFullPath = 4095
	// DefaultSearchPath is where a server looks for devices unless told otherwise.
	DefaultSearchPath = "/"

	sessionInSearch = "%SESSNAME%"
	twoDots         = ".."
	pathSeparator   = "/"
)

// FullPath returns the path that a device path of an OPEN leads to on a server with the given search path. A
// %SESSNAME% in the search path is replaced by the session's name, and what follows it there is dropped; runs of
// slashes become one (Clauses IBNBD-OPEN-016, IBNBD-OPEN-017). It refuses paths with two dots in a row anywhere, and
// what gets longer than 4095 bytes (Clauses IBNBD-OPEN-005, IBNBD-OPEN-006); the error is EINVAL to errors.Is.
func FullPath(search, session, device string) (string, error) {
	if n := len(search) + len(device); n > MaxFullPath {
		return "", fmt.Errorf("search path and device path have %d bytes, at most %d are allowed: %w", n, MaxFullPath, ibtrs.EINVAL)
	}
	if strings.Contains(device, twoDots) {
		return "", fmt.Errorf("device path %q has two dots in a row: %w", device, ibtrs.EINVAL)
	}
	full := search + pathSeparator + device
	if before, _, found := strings.Cut(search, sessionInSearch); found {
		full = before + pathSeparator + session + pathSeparator + device
	}
	if len(full) > MaxFullPath {
		return "", fmt.Errorf("full path of device %q has %d bytes, at most %d are allowed: %w", device, len(full), MaxFullPath, ibtrs.EINVAL)
	}
	return collapseSlashes(full), nil
}

// CheckExport refuses the path of an export to which no device path of any session leads on a server with the given search
// path. The error is EINVAL to errors.Is.
func CheckExport(search, path string) error {
	path = collapseSlashes(pathSeparator + path)
	session, device, err := reach(search, path)
	if err == nil && len(device) > layout.MaxName {
		err = fmt.Errorf("the device path has %d bytes, at most %d are possible: %w", len(device), layout.MaxName, ibtrs.EINVAL)
	}
	if err == nil && strings.ContainsRune(device, 0) {
		err = fmt.Errorf("the device path %q has a NUL: %w", device, ibtrs.EINVAL)
	}
	if err == nil {
		_, err = FullPath(search, session, device)
	}
	if err != nil {
		return fmt.Errorf("export %.64q can be mapped by no client: %w", path, err)
	}
	return nil
}

// reach finds the device path that leads to a full path, and the session for which it does; none if it does for all.
func reach(search, path string) (session, device string, err error) {
	base, _, perSession := strings.Cut(search, sessionInSearch)
	device, below := strings.CutPrefix(path, collapseSlashes(base+pathSeparator))
	if !below {
		return "", "", fmt.Errorf("it is not below the search path %.64s: %w", search, ibtrs.EINVAL)
	}
	if perSession {
		session, device, _ = strings.Cut(device, pathSeparator)
		if err := ibtrs.CheckSessionName(session); err != nil {
			return "", "", fmt.Errorf("it is not below the search path %.64s: %w", search, err)
		}
	}
	if device == "" {
		return "", "", fmt.Errorf("the device path is empty: %w", ibtrs.EINVAL)
	}
	return session, device, nil
}

func collapseSlashes(path string) string {
	var b strings.Builder
	for i := range len(path) {
		if path[i] != '/' || i == 0 || path[i-1] != '/' {
			b.WriteByte(path[i])
		}
	}
	return b.String()
}
