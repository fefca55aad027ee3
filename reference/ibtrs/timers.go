// SPDX-License-Identifier: Apache-2.0

package ibtrs

import (
	"fmt"
	"time"
)

// Timers are the times that both sides work by. A zero Timers is not usable; start from [DefaultTimers].
type Timers struct {
	HeartbeatInterval time.Duration // between two looks at the miss counter
	HeartbeatMisses   int           // looks at a silent peer that are forgiven

	Connect  time.Duration // longest wait of the client for one connection, address resolution included
	Info     time.Duration // longest wait of the client for the INFO response
	HalfOpen time.Duration // longest wait of the server for the INFO request
	Teardown time.Duration // longest wait for a peer to confirm a disconnect

	// PacketLifetime is how long a packet that has left may take until the server has taken note of it. Writes of a lost
	// path are neither sent again nor failed before it has passed, unless the server has confirmed the disconnect.
	PacketLifetime time.Duration

	ReconnectDelay  time.Duration // between the end of a teardown and the next attempt
	ReconnectSettle time.Duration // added before each attempt
	ReconnectSpread time.Duration // largest random addition before an attempt
}

// DefaultTimers are those of mainline Linux, with the random spread that mainline meant to have (Clauses IBTRS-HB-001,
// IBTRS-HB-004, IBTRS-PATH-009, IBTRS-CONN-045, IBTRS-CONN-050).
var DefaultTimers = Timers{
	HeartbeatInterval: 5 * time.Second,
	HeartbeatMisses:   5,
	Connect:           30 * time.Second,
	Info:              30 * time.Second,
	HalfOpen:          60 * time.Second,
	Teardown:          30 * time.Second,
	PacketLifetime:    1 * time.Second,
	ReconnectDelay:    30 * time.Second,
	ReconnectSettle:   1 * time.Second,
	ReconnectSpread:   8 * time.Second,
}

// Validate refuses times that make no sense. The error names the field, its value and the limit, and is EINVAL to
// errors.Is.
func (t Timers) Validate() error {
	const longest = 24 * time.Hour
	for _, f := range []struct {
		name        string
		value, most time.Duration
		least       time.Duration
	}{
		{"heartbeat interval", t.HeartbeatInterval, longest, time.Millisecond},
		{"connect timeout", t.Connect, longest, time.Millisecond},
		{"INFO timeout", t.Info, longest, time.Millisecond},
		{"half-open timeout", t.HalfOpen, longest, time.Millisecond},
		{"teardown timeout", t.Teardown, longest, 0},
		{"packet lifetime", t.PacketLifetime, longest, 0},
		{"reconnect delay", t.ReconnectDelay, longest, 0},
		{"reconnect settle time", t.ReconnectSettle, longest, 0},
		{"reconnect spread", t.ReconnectSpread, longest, 0},
	} {
		if f.value < f.least || f.value > f.most {
			return fmt.Errorf("%s is %s, must be %s to %s: %w", f.name, f.value, f.least, f.most, EINVAL)
		}
	}
	if t.HeartbeatMisses < 1 || t.HeartbeatMisses > 1000 {
		return fmt.Errorf("heartbeat misses are %d, must be 1 to 1000: %w", t.HeartbeatMisses, EINVAL)
	}
	return nil
}

// Bound is a time that a user can rely on, and how it follows from the timers.
type Bound struct {
	Limit   time.Duration `json:"limit_ns"`
	Formula string        `json:"formula"`
}

// String gives the limit and its derivation.
func (b Bound) String() string { return fmt.Sprintf("%s = %s", b.Limit, b.Formula) }

// Detection is the longest time from the last sign of life of a peer to the end of its path: up to one interval until
// the heartbeat that stays without answer, and an interval for each look after it.
func (t Timers) Detection() Bound {
	return Bound{
		Limit:   t.HeartbeatInterval * time.Duration(t.HeartbeatMisses+2),
		Formula: fmt.Sprintf("heartbeat interval %s x (misses %d + 2)", t.HeartbeatInterval, t.HeartbeatMisses),
	}
}

// StallWithPath is the longest time that one I/O waits longer than usual because its path died, when another path is
// whole. It holds for any number of failing paths as long as one stays.
func (t Timers) StallWithPath() Bound {
	d := t.Detection()
	return Bound{
		Limit:   d.Limit + t.PacketLifetime,
		Formula: fmt.Sprintf("detection (%s) + packet lifetime %s", d.Formula, t.PacketLifetime),
	}
}

// ErrorWithoutPath is the longest time until an I/O fails when no path is left.
func (t Timers) ErrorWithoutPath() Bound { return t.StallWithPath() }

// Reconnect is the longest time from the moment the network of a path is whole again to its being connected, where so many paths of
// the process are lost. The loss may not have been noticed yet; an attempt that began just before the heal is in vain, and fails with
// its first connection; and attempts are made one at a time, so that each other path, whose network may still be broken, has its turn
// before the one that succeeds. Where the pause is so short that the server may not have noticed the loss, it refuses one more.
func (t Timers) Reconnect(paths int) Bound {
	d := t.Detection()
	pauses := 2
	if t.Teardown+t.ReconnectDelay+t.ReconnectSettle < t.HeartbeatInterval {
		pauses++
	}
	pause := t.Teardown + t.ReconnectDelay + t.ReconnectSettle + t.ReconnectSpread
	return Bound{
		Limit: d.Limit + time.Duration(pauses)*pause + time.Duration(paths+1)*t.Connect,
		Formula: fmt.Sprintf("detection %s + %d x (teardown %s + delay %s + settle %s + spread %s) + (%d paths + 1) x connect %s",
			d.Limit, pauses, t.Teardown, t.ReconnectDelay, t.ReconnectSettle, t.ReconnectSpread, paths, t.Connect),
	}
}

// ServerRelease is the longest time from a client's last sign of life until the server has given back all it held for
// it, apart from I/O that the block device itself does not end.
func (t Timers) ServerRelease() Bound {
	d := t.Detection()
	return Bound{
		Limit:   max(d.Limit, t.HalfOpen),
		Formula: fmt.Sprintf("the longer of detection (%s) and half-open %s", d.Formula, t.HalfOpen),
	}
}
