// SPDX-License-Identifier: Apache-2.0

package ibtrs

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/ibnbd/ibnbd/reference/rdma"
)

// ServerConfig is what a server is made of. Start from [DefaultServerConfig], and set Devices and Handler.
type ServerConfig struct {
	Devices []rdma.Device // to listen on; they stay the caller's, and must outlive the server
	Port    uint16        // 0: each listener picks a free one
	Handler Handler       // what requests are for

	Geometry      Geometry
	KeyRefresh    bool // each response brings a new key for its chunk
	Regions       int  // regions that the chunks are published as without key refresh; must divide the queue depth
	LegacyClients bool // for original IBTRS clients: every request may create a session, no key refresh, 16 descriptors
	Timers        Timers
	LastFirst     time.Duration // answers are held for so long, and the last goes first; 0: each goes when it is ready

	MaxSessions    int   // sessions at a time; more are rejected with ENOMEM
	MaxHalfOpen    int   // paths without INFO exchange at a time; more are rejected with ENOMEM
	MaxConnections int   // connections of all paths; more are rejected with ENOMEM
	MaxMemory      int64 // bytes of chunks of all paths; more are rejected with ENOMEM

	Log   *slog.Logger
	Rules ServerRules
	// Transition, unless nil, is called for each change of a path's state. It must not wait, and not call the path.
	Transition func(path *ServerPath, from, to PathState)
}

// Limits of a server that nobody configured.
const (
	DefaultMaxSessions    = 128
	DefaultMaxHalfOpen    = 32
	DefaultMaxConnections = 8192
	DefaultMaxMemory      = 16 << 30

	legacyDescriptors = 16
)

// DefaultServerConfig lacks only devices and a handler.
func DefaultServerConfig() ServerConfig {
	return ServerConfig{
		Port: DefaultPort, Geometry: DefaultGeometry, KeyRefresh: true, Regions: 1, Timers: DefaultTimers,
		MaxSessions: DefaultMaxSessions, MaxHalfOpen: DefaultMaxHalfOpen,
		MaxConnections: DefaultMaxConnections, MaxMemory: DefaultMaxMemory,
		Log: slog.New(slog.DiscardHandler),
	}
}

// Validate refuses values that make no sense. It needs neither devices nor a handler. The error names field, value and limit,
// and is EINVAL to errors.Is.
func (c *ServerConfig) Validate() error {
	if err := c.Geometry.ValidateServer(); err != nil {
		return err
	}
	if depth := int(c.Geometry.QueueDepth); c.Regions < 1 || depth%c.Regions != 0 {
		return fmt.Errorf("%d regions do not divide the queue depth %d: %w", c.Regions, depth, EINVAL)
	}
	const most = 1 << 20
	for _, f := range []struct {
		name         string
		value, least int
	}{
		{"max sessions", c.MaxSessions, 1}, {"max half-open paths", c.MaxHalfOpen, 1},
		{"max connections", c.MaxConnections, leastConnections}, // of one path
	} {
		if f.value < f.least || f.value > most {
			return fmt.Errorf("%s are %d, must be %d to %d: %w", f.name, f.value, f.least, most, EINVAL)
		}
	}
	if c.MaxMemory < c.pathMemory() {
		return fmt.Errorf("max memory is %d bytes, one path alone needs %d: %w", c.MaxMemory, c.pathMemory(), EINVAL)
	}
	if c.LastFirst < 0 || c.LastFirst > time.Second {
		return fmt.Errorf("answers are held for %s, must be 0s to 1s: %w", c.LastFirst, EINVAL)
	}
	return c.Timers.Validate()
}

// validate is Validate for a server that starts.
func (c *ServerConfig) validate() error {
	switch {
	case len(c.Devices) == 0:
		return fmt.Errorf("no device to listen on: %w", EINVAL)
	case c.Handler == nil:
		return fmt.Errorf("no handler for requests: %w", EINVAL)
	}
	if c.LegacyClients {
		c.KeyRefresh = false
	}
	return c.Validate()
}

// pathMemory is the size of one path's memory in bytes: its chunks, and with key refresh the room for copies behind them.
func (c *ServerConfig) pathMemory() int64 {
	if !c.KeyRefresh {
		return c.chunksSize()
	}
	return c.roomBegin() + int64(c.Geometry.QueueDepth)*smallData
}

func (c *ServerConfig) chunksSize() int64 {
	return int64(c.Geometry.QueueDepth) * int64(c.Geometry.ChunkSize())
}

// roomBegin is where the room for copies begins: at a page, behind the chunks, where no client has access.
func (c *ServerConfig) roomBegin() int64 {
	return (c.chunksSize() + smallData - 1) / smallData * smallData
}

func (c *ServerConfig) descriptors() int {
	if c.LegacyClients {
		return legacyDescriptors
	}
	return 1
}

// flags are those of the accept.
func (c *ServerConfig) flags() uint32 {
	if c.KeyRefresh != c.Rules.AnnounceOther {
		return KeyRefresh
	}
	return 0
}
