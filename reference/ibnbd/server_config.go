// SPDX-License-Identifier: Apache-2.0

package ibnbd

import (
	"fmt"
	"log/slog"

	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// ServerConfig is what a server is made of. Start from [DefaultServerConfig]; set Transport.Devices, and Exports or
// HostDevices.
type ServerConfig struct {
	Transport ibtrs.ServerConfig // all but its Handler

	Exports       []Export // belong to the server, which closes them
	HostDevices   bool     // block devices of the host may be opened, too
	SearchPath    string   // where device paths lead; may have %SESSNAME% in it, see [FullPath]
	DefaultIOMode IOMode   // for clients that choose none: BlockIO or FileIO
	Features      Features // offered to clients of profile X
	Workers       int      // goroutines that do the I/O which may wait

	Log   *slog.Logger
	Rules ServerRules
}

// DefaultWorkers is how many I/Os a server does at a time on backends that may wait.
const DefaultWorkers = 64

// DefaultServerConfig lacks only devices of the transport and something to export.
func DefaultServerConfig() ServerConfig {
	return ServerConfig{
		Transport: ibtrs.DefaultServerConfig(), SearchPath: DefaultSearchPath, DefaultIOMode: BlockIO,
		Features: AllFeatures, Workers: DefaultWorkers, Log: slog.New(slog.DiscardHandler),
	}
}

// Validate refuses values that make no sense, also those of the transport. It needs no devices and opens nothing. The error
// names field, value and limit, and is EINVAL to errors.Is.
func (c *ServerConfig) Validate() error {
	switch {
	case len(c.SearchPath) > MaxFullPath:
		return fmt.Errorf("search path has %d bytes, at most %d are allowed: %w", len(c.SearchPath), MaxFullPath, ibtrs.EINVAL)
	case c.DefaultIOMode != BlockIO && c.DefaultIOMode != FileIO:
		return fmt.Errorf("default I/O mode is %d, must be 0 (file) or 1 (block): %w", c.DefaultIOMode, ibtrs.EINVAL)
	case c.Workers < 1 || c.Workers > 1<<16:
		return fmt.Errorf("workers are %d, must be 1 to %d: %w", c.Workers, 1<<16, ibtrs.EINVAL)
	}
	if err := c.validateExports(); err != nil {
		return err
	}
	return c.Transport.Validate()
}

func (c *ServerConfig) validateExports() error {
	seen := map[string]bool{}
	for _, e := range c.Exports {
		path := collapseSlashes(pathSeparator + e.Path)
		if seen[path] {
			return fmt.Errorf("export %q is given twice: %w", path, ibtrs.EINVAL)
		}
		seen[path] = true
		if c.Rules.AnyDots {
			continue
		}
		if err := CheckExport(c.SearchPath, path); err != nil {
			return err
		}
	}
	return nil
}
