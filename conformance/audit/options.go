// SPDX-License-Identifier: Apache-2.0

package audit

import "time"

// Options bound what a [Tracker] keeps, and tell what it cannot see on the wire. The zero value of a field means its
// default.
type Options struct {
	// Protocols are those that are followed. A connection belongs to the first one that claims it; without any, only the transport
	// is followed.
	Protocols []*Protocol
	// MaxConnections is the number of established connections that are followed at a time; the one that was silent for
	// the longest is forgotten first. Default 16384.
	MaxConnections int
	// MaxHalfOpen is the same for connections that are asked for and not yet established. Default 4096.
	MaxHalfOpen int
	// MaxSessions is the number of sessions remembered, also after their last path is gone. Default 4096.
	MaxSessions int
	// MaxHeld is the number of packets of one direction of a queue pair that are held back while an earlier one is
	// missing. Default 256.
	MaxHeld int
	// MaxMessage is the number of bytes of a SEND that are put together; the rest of a longer one is not looked at.
	// Default 1 MiB and 64 bytes, an INFO response with a region for each of 65535 chunks.
	MaxMessage int
	// SkipICRC leaves the invariant CRC unchecked. Otherwise packets in which it is wrong count as corrupted and are
	// ignored, as their receiver does.
	SkipICRC bool
}

func (o Options) withDefaults() Options {
	setDefault(&o.MaxConnections, 16384)
	setDefault(&o.MaxHalfOpen, 4096)
	setDefault(&o.MaxSessions, 4096)
	setDefault(&o.MaxHeld, 256)
	setDefault(&o.MaxMessage, 1<<20+64)
	return o
}

func setDefault(field *int, value int) {
	if *field <= 0 {
		*field = value
	}
}

// Policy is how an initiator is configured to choose the path of a request.
type Policy string

// The multipath policies.
const (
	PolicyUnknown Policy = ""
	RoundRobin    Policy = "round-robin"
	MinInflight   Policy = "min-inflight"
	MinLatency    Policy = "min-latency"
)

// Configuration is what a judge must be told because no packet says it. What is not given is not judged.
type Configuration struct {
	// ReconnectDelay is the configured delay of automatic reconnects, without the second that an initiator adds. Give it
	// only for runs in which nobody reconnects by hand.
	ReconnectDelay time.Duration
	// ReconnectAttempts is the configured number of automatic attempts; nil or negative: without end.
	ReconnectAttempts *int
	// Policy is the configured multipath policy, if it is the same in the whole run.
	Policy Policy
	// TargetHeartbeats and InitiatorHeartbeats are the heartbeats that either side is configured to send. A field that is 0 has the
	// default of the protocol, which is judged.
	TargetHeartbeats, InitiatorHeartbeats Heartbeats
}

// Heartbeats are the heartbeats of a side.
type Heartbeats struct {
	Interval time.Duration
	Misses   int // that it allows before it gives its peer up
}

// defaultBeats are those of whoever was not configured otherwise.
var defaultBeats = Heartbeats{Interval: 5 * time.Second, Misses: 5}

// Heartbeats are the configured heartbeats of a side, or the defaults.
func (c Configuration) Heartbeats(side Side) Heartbeats {
	b := c.TargetHeartbeats
	if side == Initiator {
		b = c.InitiatorHeartbeats
	}
	setDefault(&b.Misses, defaultBeats.Misses)
	if b.Interval <= 0 {
		b.Interval = defaultBeats.Interval
	}
	return b
}

// Early is the time before which a heartbeat behind another comes out of its turn.
func (b Heartbeats) Early() time.Duration { return b.Interval * 4 / 5 }

// Late is the time after which a heartbeat must have come: timers of kernels round the interval up, and virtual machines are late
// now and then.
func (b Heartbeats) Late() time.Duration { return 3*b.Interval + b.Interval/2 }

// Dead is the silence after which a peer may be given up.
func (b Heartbeats) Dead() time.Duration { return time.Duration(b.Misses+1) * b.Interval }

// Acknowledged is the time within which both sides acknowledge a heartbeat.
func (c Configuration) Acknowledged() time.Duration {
	return min(c.Heartbeats(Target).Interval, c.Heartbeats(Initiator).Interval) / 2
}
