// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"math"
	"time"

	"github.com/ibnbd/ibnbd/vm/agent/internal/wire"
)

// clockExchanges is how often the time is asked for; the fastest answer says most.
const clockExchanges = 16

// A Clock relates the clocks of a guest to the host's, as they were at one moment. Guests drift, and stand still while
// they are paused: measure again for each stretch of evidence.
type Clock struct {
	// Realtime is the offset of the guest's CLOCK_REALTIME: guest minus host.
	Realtime time.Duration
	// Boot is the host's time at which the guest's CLOCK_MONOTONIC was zero.
	Boot time.Time
	// LogBehind is how far the clock of the guest's kernel log is behind its CLOCK_MONOTONIC.
	LogBehind time.Duration
	// RTT is the time of the exchange that this comes from; the offsets are wrong by half of it at most.
	RTT time.Duration
}

// FromRealtime is the host's time at a time of the guest's CLOCK_REALTIME.
func (c Clock) FromRealtime(guest time.Time) time.Time { return guest.Add(-c.Realtime) }

// FromMonotonic is the host's time at a reading of the guest's CLOCK_MONOTONIC.
func (c Clock) FromMonotonic(guest time.Duration) time.Time { return c.Boot.Add(guest) }

// FromLog is the host's time at the stamp of a record of the guest's kernel log.
func (c Clock) FromLog(stamp time.Duration) time.Time { return c.Boot.Add(stamp + c.LogBehind) }

// Clock compares the guest's clocks with the host's, as NTP does. It leaves a record in the guest's kernel log.
func (c *Client) Clock(ctx context.Context) (Clock, error) {
	clock, err := c.exchangeTimes(ctx)
	if err != nil {
		return Clock{}, err
	}
	var log wire.LogClock
	if err := c.call(ctx, wire.OpLogClock, nil, nil, &log); err != nil {
		return Clock{}, err
	}
	clock.LogBehind = time.Duration(log.Behind)
	return clock, nil
}

// exchangeTimes is the fastest of some exchanges.
func (c *Client) exchangeTimes(ctx context.Context) (Clock, error) {
	st, err := c.begin(ctx, wire.OpClock, nil)
	if err != nil {
		return Clock{}, err
	}
	defer st.finish()
	best := Clock{RTT: math.MaxInt64}
	for range clockExchanges {
		one, err := st.exchangeTime()
		if err != nil {
			return Clock{}, err
		}
		if one.RTT < best.RTT {
			best = one
		}
	}
	if err := wire.WriteMessage(st, wire.End, nil); err != nil {
		return Clock{}, st.failed(err)
	}
	return best, st.result(nil)
}

func (st *stream) exchangeTime() (Clock, error) {
	sent := time.Now()
	if err := wire.WriteMessage(st, wire.Ping, nil); err != nil {
		return Clock{}, st.failed(err)
	}
	kind, body, err := st.receive()
	if err != nil {
		return Clock{}, err
	}
	rtt := time.Since(sent)
	if kind != wire.Item {
		return Clock{}, st.unexpected(kind)
	}
	var guest wire.Clocks
	if err := st.decode(body, &guest); err != nil {
		return Clock{}, err
	}
	middle := sent.Add(rtt / 2)
	return Clock{
		Realtime: time.Unix(0, guest.Realtime).Sub(middle.Round(0)),
		Boot:     middle.Add(-time.Duration(guest.Monotonic)),
		RTT:      rtt,
	}, nil
}
