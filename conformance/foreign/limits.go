// SPDX-License-Identifier: Apache-2.0

package foreign

import (
	"errors"
	"fmt"
	"time"

	"github.com/ibnbd/ibnbd/conformance/audit"
)

// Limits of Config.Patience. A shorter one calls every answer late, a longer one is for ever.
const (
	LeastPatience = 10 * time.Millisecond
	MostPatience  = time.Hour
)

// CheckPatience refuses a patience with which nothing could be judged.
func CheckPatience(d time.Duration) error {
	if d < LeastPatience || d > MostPatience {
		return fmt.Errorf("patience %s is outside %s to %s", d, LeastPatience, MostPatience)
	}
	return nil
}

// Limits of Config.Heartbeats.
const (
	LeastHeartbeat = 10 * time.Millisecond
	MostHeartbeat  = time.Hour
	MostMisses     = 1000
)

// CheckHeartbeats refuses heartbeats that nobody sends, and any of a protocol without heartbeats. A field that is 0 stands for the
// protocol's.
func (p *Protocol) CheckHeartbeats(h audit.Heartbeats) error {
	switch {
	case !p.Heartbeats && h != audit.Heartbeats{}:
		return errors.New("heartbeat is nothing that this protocol has")
	case h.Interval != 0 && (h.Interval < LeastHeartbeat || h.Interval > MostHeartbeat):
		return fmt.Errorf("heartbeat %s is outside %s to %s", h.Interval, LeastHeartbeat, MostHeartbeat)
	case h.Misses < 0 || h.Misses > MostMisses:
		return fmt.Errorf("heartbeat-misses %d is outside 0 to %d", h.Misses, MostMisses)
	}
	return nil
}

// CheckExports refuses what cannot be the exports of a target: one, or a second for a conforming bystander.
func (p *Protocol) CheckExports(names []string) error {
	if len(names) < 1 || len(names) > 2 {
		return fmt.Errorf("%d exports of the foreign target, must be one or two", len(names))
	}
	for _, name := range names {
		if most := p.Targets.LongestExport; len(name) < 1 || len(name) > most {
			return fmt.Errorf("export %.32q has %d bytes, must have 1 to %d", name, len(name), most)
		}
		if check := p.Targets.CheckExport; check != nil {
			if err := check(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// CheckIdentity refuses what does not say all that initiators of a target have to say, or something else.
func (p *Protocol) CheckIdentity(identity map[string]string) error {
	known := make(map[string]bool)
	for _, w := range p.Targets.Identity {
		known[w.Name] = true
		value, said := identity[w.Name]
		if !said {
			return fmt.Errorf("%s is missing: %s", w.Name, w.Usage)
		}
		if err := w.Check(value); err != nil {
			return fmt.Errorf("%s %w", w.Name, err)
		}
	}
	for name := range identity {
		if !known[name] {
			return fmt.Errorf("%s is nothing that a target of this protocol has", name)
		}
	}
	return nil
}
