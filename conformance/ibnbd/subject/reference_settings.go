// SPDX-License-Identifier: Apache-2.0

package subject

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/reference/backend"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// referenceConfiguration is what a run has set of the reference in one role: flags of its program, and what follows from them for
// who judges it.
type referenceConfiguration struct {
	args     []string
	timers   Timers
	geometry ibtrs.Geometry // of a target
}

// referenceSettings are the flags that a run can set, with what their values change.
var referenceSettings = map[clauses.Role]map[string]func(*referenceConfiguration, string) error{
	clauses.Target: {
		"heartbeat-interval": timed(func(t *Timers) *time.Duration { return &t.HeartbeatInterval }),
		"heartbeat-misses":   misses,
		"half-open-timeout":  timed(func(t *Timers) *time.Duration { return &t.HalfOpen }),
		"queue-depth":        depth,
		"chunk-size":         sized(func(g *ibtrs.Geometry, size uint32) { g.MaxIOSize = size - g.MaxHeaderSize }),
		"last-first":         func(_ *referenceConfiguration, value string) error { return atMost(value, time.Second) },
	},
	clauses.Initiator: {
		"heartbeat-interval": timed(func(t *Timers) *time.Duration { return &t.HeartbeatInterval }),
		"heartbeat-misses":   misses,
		"connect-timeout":    timed(func(t *Timers) *time.Duration { return &t.Connect }),
		"info-timeout":       timed(func(t *Timers) *time.Duration { return &t.Info }),
		"teardown-timeout":   timed(func(t *Timers) *time.Duration { return &t.Teardown }),
		"packet-lifetime":    timed(func(t *Timers) *time.Duration { return &t.PacketLifetime }),
		"reconnect-delay":    timed(func(t *Timers) *time.Duration { return &t.ReconnectDelay }),
		"reconnect-settle":   timed(func(t *Timers) *time.Duration { return &t.ReconnectSettle }),
		"reconnect-spread":   timed(func(t *Timers) *time.Duration { return &t.ReconnectSpread }),
		"connections":        func(_ *referenceConfiguration, value string) error { return between(value, 2, 4096) },
	},
}

// timed is a setting that is a time.
func timed(field func(*Timers) *time.Duration) func(*referenceConfiguration, string) error {
	return func(c *referenceConfiguration, value string) error {
		d, err := time.ParseDuration(value)
		*field(&c.timers) = d
		return err
	}
}

// sized is a setting that is the size of a chunk.
func sized(set func(*ibtrs.Geometry, uint32)) func(*referenceConfiguration, string) error {
	return func(c *referenceConfiguration, value string) error {
		size, err := backend.ParseSize(value)
		if err != nil {
			return err
		}
		const most = 1 << 28 // what immediates can address
		if least := int64(c.geometry.MaxHeaderSize); size <= least || size > most {
			return fmt.Errorf("%d bytes are outside %d to %d", size, least+1, most)
		}
		set(&c.geometry, uint32(size))
		return nil
	}
}

func misses(c *referenceConfiguration, value string) (err error) {
	c.timers.HeartbeatMisses, err = strconv.Atoi(value)
	return err
}

func depth(c *referenceConfiguration, value string) error {
	err := between(value, 1, ibtrs.MaxQueueDepth)
	n, _ := strconv.ParseUint(value, 10, 16) // what is no number is refused already
	c.geometry.QueueDepth = uint16(n)
	return err
}

func atMost(value string, most time.Duration) error {
	d, err := time.ParseDuration(value)
	if err == nil && (d < 0 || d > most) {
		err = fmt.Errorf("%s is outside 0s to %s", d, most)
	}
	return err
}

func between(value string, least, most int) error {
	n, err := strconv.Atoi(value)
	if err == nil && (n < least || n > most) {
		err = fmt.Errorf("%d is outside %d to %d", n, least, most)
	}
	return err
}

// configureReference reads the settings of a run, each of the form NAME=VALUE.
func configureReference(role clauses.Role, settings []string) (referenceConfiguration, error) {
	c := referenceConfiguration{timers: ReferenceTimers, geometry: ibtrs.DefaultGeometry}
	known := referenceSettings[role]
	for _, s := range settings {
		name, value, _ := strings.Cut(s, "=")
		set := known[name]
		if set == nil {
			return c, fmt.Errorf("%q is not one of %s", name, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		}
		if err := set(&c, value); err != nil {
			return c, fmt.Errorf("%s: %w", s, err)
		}
		c.args = append(c.args, "--"+name, value)
	}
	if err := c.timers.Validate(); err != nil {
		return c, err
	}
	return c, c.geometry.ValidateServer()
}

// mustConfigure is for settings that were checked before the run.
func mustConfigure(role clauses.Role, settings []string) referenceConfiguration {
	c, err := configureReference(role, settings)
	if err != nil {
		panic(fmt.Sprintf("subject: configure the reference as %s: %v", role, err))
	}
	return c
}

// checkReference refuses settings that the reference does not have, or whose values make no sense.
func checkReference(role clauses.Role, settings []string) error {
	_, err := configureReference(role, settings)
	return err
}
