// SPDX-License-Identifier: Apache-2.0

package ibnbd

import (
	"fmt"
	"strings"

	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

const (
	// MaxFullPath is the longest path of a device on the server, in bytes.
	MaxFullPath = 4095
	// DefaultSearchPath is where a server looks for devices unless told otherwise.
	DefaultSearchPath = "/"

	maxLinkName       = 255 // of a directory entry
	sessionInSearch   = "%SESSNAME%"
	twoDots           = ".."
	pathSeparator     = "/"
	separatorInLink   = "!"
	sessionMarkInLink = "@"
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

func collapseSlashes(path string) string {
	var b strings.Builder
	for i := range len(path) {
		if path[i] != '/' || i == 0 || path[i-1] != '/' {
			b.WriteByte(path[i])
		}
	}
	return b.String()
}

// LinkName returns the name of the link to a mapped disk in the client's ctl/devices: the device path with ! for each
// slash (Clause IBNBD-SYSFS-018), in the dialect of mainline followed by @ and the session's name. The error is
// ENAMETOOLONG to errors.Is.
func LinkName(device, session string, d Dialect) (string, error) {
	name := strings.ReplaceAll(device, pathSeparator, separatorInLink)
	if d.SessionInLink {
		name += sessionMarkInLink + session
	}
	if len(name) > maxLinkName {
		return "", fmt.Errorf("link name for device %q has %d bytes, at most %d are allowed: %w", device, len(name), maxLinkName, ibtrs.ENAMETOOLONG)
	}
	return name, nil
}
