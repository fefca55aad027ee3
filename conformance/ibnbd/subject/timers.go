// SPDX-License-Identifier: Apache-2.0

package subject

import (
	"fmt"
	"time"

	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// Timers are the configured times of an implementation: what its user set, or its defaults. Nothing here is measured.
type Timers struct {
	ibtrs.Timers               // of which PacketLifetime is 0 where writes of a lost path are not held back
	Resolve      time.Duration // longest wait for address, and again for route resolution, where Connect does not include it
	Lateness     int           // percent by which a timer may fire late: what its clock's granularity makes of it

	heard    int // intervals after a fault in which the peer may still be heard
	promises Promises
}

// WheelLateness is that of timers on the timer wheel of Linux: a wheel level is eight times as coarse as the one below it, so
// a timer is late by up to an eighth. With HZ=250 a timer of 5 s fires after 5.12 s.
const WheelLateness = 13

// DefaultTimers are those of mainline Linux, which are also this project's (clauses IBTRS-HB-001, IBTRS-HB-004,
// IBTRS-PATH-009, IBTRS-CONN-045, IBTRS-CONN-050).
var DefaultTimers = Timers{
	Timers: ibtrs.Timers{
		HeartbeatInterval: 5 * time.Second,
		HeartbeatMisses:   5,
		Connect:           30 * time.Second,
		Info:              30 * time.Second,
		HalfOpen:          60 * time.Second,
		Teardown:          30 * time.Second,
		ReconnectDelay:    30 * time.Second,
		ReconnectSettle:   1 * time.Second,
		ReconnectSpread:   8 * time.Second,
	},
	Resolve:  30 * time.Second,
	Lateness: WheelLateness,
}

// SchedulerLateness is that of timers that are exact, on a machine that is busy.
const SchedulerLateness = 5

// ReferenceTimers are the defaults of the reference in userspace, whose timers are exact.
var ReferenceTimers = Timers{Timers: ibtrs.DefaultTimers, Lateness: SchedulerLateness}

// late is how long a timer may take.
func (t Timers) late(d time.Duration) time.Duration { return d + d*time.Duration(t.Lateness)/100 }

// StillHearing are the timers for a fault of which the peer does not know yet: it sends one more heartbeat, up to an interval
// after the fault, and then none while nobody answers that (clause IBTRS-HB-001).
func (t Timers) StillHearing() Timers {
	t.heard = 1
	return t
}

// Detection is the longest time from a fault to the end of a path. A heartbeat may have been sent just before the peer was
// heard for the last time, so one interval passes before the first miss is counted.
func (t Timers) Detection() verdict.Bound {
	heard := ""
	if t.heard > 0 {
		heard = fmt.Sprintf(" + %d until the peer is silent", t.heard)
	}
	return verdict.Bound{
		Limit:   t.late(t.HeartbeatInterval * time.Duration(t.HeartbeatMisses+2+t.heard)),
		Formula: fmt.Sprintf("heartbeat interval %s x (misses %d + 2%s), timers late by %d %%", t.HeartbeatInterval, t.HeartbeatMisses, heard, t.Lateness),
	}
}

// Patience is how long an idle side waits for a silent peer: no longer than Detection, and no shorter than it takes to
// forgive all misses (clause IBTRS-HB-004).
func (t Timers) Patience() verdict.Bound {
	b := t.Detection()
	b.AtLeast = t.HeartbeatInterval * time.Duration(t.HeartbeatMisses+1)
	return b
}

// StallWithPath is the longest time that an application waits for one I/O when another path is whole.
func (t Timers) StallWithPath() verdict.Bound {
	b := t.Detection()
	b.Formula = "detection: " + b.Formula
	if t.PacketLifetime > 0 {
		b.Limit += t.late(t.PacketLifetime)
		b.Formula += fmt.Sprintf(" + packet lifetime %s", t.PacketLifetime)
	}
	return t.unlessPromised(b, t.promises.StallWithPath, t.heard)
}

// ErrorWithoutPath is the longest time until an I/O fails when no path is left.
func (t Timers) ErrorWithoutPath() verdict.Bound {
	b := t.Promised(Promises{}).StallWithPath()
	return t.unlessPromised(b, t.promises.ErrorWithoutPath, t.heard)
}

// Pause is the longest time between the end of a path, or of an attempt that was refused, and the next attempt.
func (t Timers) Pause() verdict.Bound {
	return verdict.Bound{
		Limit: t.late(t.ReconnectDelay + t.ReconnectSettle + t.ReconnectSpread),
		Formula: fmt.Sprintf("delay %s + settle %s + spread %s, timers late by %d %%",
			t.ReconnectDelay, t.ReconnectSettle, t.ReconnectSpread, t.Lateness),
	}
}

// Reconnect is the longest time from heal to a connected path, where one path is lost.
func (t Timers) Reconnect() verdict.Bound {
	return t.unlessPromised(t.reconnect(1), t.promises.Reconnect, 0)
}

// reconnect is by the formula of [ibtrs.Timers.Reconnect] for so many paths, with what Connect does not include and how late timers
// are.
func (t Timers) reconnect(paths int) verdict.Bound {
	exact := t.Timers.Reconnect(paths)
	resolve := ""
	if t.Resolve > 0 {
		resolve = fmt.Sprintf(" + resolve address and route 2 x %s", t.Resolve)
	}
	return verdict.Bound{
		Limit:   t.Detection().Limit + t.late(exact.Limit-t.Timers.Detection().Limit+2*t.Resolve),
		Formula: fmt.Sprintf("%s%s, timers late by %d %%", exact.Formula, resolve, t.Lateness),
	}
}
