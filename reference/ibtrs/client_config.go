// SPDX-License-Identifier: Apache-2.0

package ibtrs

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"runtime"
	"time"

	"github.com/ibnbd/ibnbd/reference/rdma"
)

// ClientConfig is what a client's session is made of. Start from [DefaultClientConfig], and set Name and Paths.
type ClientConfig struct {
	Name  string       // of the session, for people; see [CheckSessionName]
	Paths []PathConfig // at least one, at most MaxPaths

	Timers               Timers
	Connections          int        // of each path, 2 to MaxConnections; the first of them carries no I/O
	Policy               Policy     // of choosing a path for a request
	MaxReconnectAttempts int        // how often in a row a lost path is tried: Forever or 0 to 9999
	AckTimeout           int        // local ACK timeout code of the connections; 0 leaves it to the provider
	Scheduler            *Scheduler // of reconnect attempts; nil: the one of the process
	Log                  *slog.Logger
	Rand                 io.Reader // of UUIDs and of the reconnect spread
	Rules                ClientRules

	// Lost is called when the session loses its last path, Restored when it has one again, but not when it is opened.
	// The calls come one after the other, Lost before any request can use a path that comes later. They must not wait,
	// and not call the session. Either may be nil.
	Lost     func()
	Restored func()
	// Transition, unless nil, is called for each change of a path's state. It must not wait, and not call the path.
	Transition func(path *Path, from, to PathState)
}

// PathConfig says where a path goes and which device it starts from.
type PathConfig struct {
	Device rdma.Device // stays the caller's, and must outlive the session
	Server netip.AddrPort
}

// Forever is the number of reconnect attempts that never ends.
const Forever = -1

const (
	maxAttempts      = 9999
	maxAckTimeout    = 31
	leastConnections = 2
	mostIOByDefault  = 8 // connections for I/O beyond that help nobody in userspace
)

// DefaultClientConfig lacks only a name and paths.
func DefaultClientConfig() ClientConfig {
	return ClientConfig{
		Timers:               DefaultTimers,
		Connections:          1 + min(runtime.NumCPU(), mostIOByDefault),
		Policy:               MinInflight,
		MaxReconnectAttempts: Forever,
		Scheduler:            &processScheduler,
		Log:                  slog.New(slog.DiscardHandler),
		Rand:                 rand.Reader,
	}
}

// Validate refuses values that make no sense, but needs no paths. The error names field, value and limit, and is EINVAL to
// errors.Is.
func (c *ClientConfig) Validate() error {
	if err := CheckSessionName(c.Name); err != nil {
		return err
	}
	if c.Connections < leastConnections || c.Connections > MaxConnections {
		return fmt.Errorf("connections of each path are %d, must be %d to %d: %w", c.Connections, leastConnections, MaxConnections, EINVAL)
	}
	if !c.Policy.Valid() {
		return fmt.Errorf("multipath policy is %d, must be 0 to 2: %w", c.Policy, EINVAL)
	}
	if c.AckTimeout < 0 || c.AckTimeout > maxAckTimeout {
		return fmt.Errorf("ACK timeout code is %d, must be 0 to %d: %w", c.AckTimeout, maxAckTimeout, EINVAL)
	}
	if err := checkAttempts(c.MaxReconnectAttempts); err != nil {
		return err
	}
	return c.Timers.Validate()
}

// validate is Validate for a session that is opened.
func (c *ClientConfig) validate() error {
	if err := c.Validate(); err != nil {
		return err
	}
	if n := len(c.Paths); n < 1 || n > MaxPaths {
		return fmt.Errorf("the session has %d paths, must be 1 to %d: %w", n, MaxPaths, EINVAL)
	}
	if c.Scheduler == nil {
		c.Scheduler = &processScheduler
	}
	return nil
}

func checkAttempts(n int) error {
	if n < Forever || n > maxAttempts {
		return fmt.Errorf("max reconnect attempts are %d, must be %d to %d: %w", n, Forever, maxAttempts, EINVAL)
	}
	return nil
}

func (c *ClientConfig) newUUID() (UUID, error) {
	var u UUID
	if _, err := io.ReadFull(c.Rand, u[:]); err != nil {
		return u, fmt.Errorf("draw a UUID: %w", err)
	}
	return u, nil
}

// spread draws the random part of a reconnect delay.
func (c *ClientConfig) spread() time.Duration {
	var b [8]byte
	if _, err := io.ReadFull(c.Rand, b[:]); err != nil {
		return c.Timers.ReconnectSpread
	}
	return time.Duration(binary.LittleEndian.Uint64(b[:]) % uint64(c.Timers.ReconnectSpread+1))
}
