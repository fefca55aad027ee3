// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"context"
	"encoding/json"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/ibnbd/ibnbd/vm/agent/internal/wire"
)

// clock answers every Ping with the time, at once, until the host has had enough.
func clock(_ context.Context, _ *session, st *stream, _ json.RawMessage) (any, error) {
	for {
		kind, _, err := wire.ReadMessage(st)
		if err != nil {
			return nil, err
		}
		switch kind {
		case wire.Ping:
			if err := wire.WriteJSON(st, wire.Item, clocks()); err != nil {
				return nil, err
			}
		case wire.End:
			return nil, nil
		default:
			return nil, fmt.Errorf("message of kind %d among pings", kind)
		}
	}
}

func clocks() wire.Clocks {
	return wire.Clocks{
		Realtime:  nanoseconds(unix.CLOCK_REALTIME),
		Monotonic: nanoseconds(unix.CLOCK_MONOTONIC),
		Boottime:  nanoseconds(unix.CLOCK_BOOTTIME),
	}
}

func nanoseconds(clock int32) int64 {
	var now unix.Timespec
	if err := unix.ClockGettime(clock, &now); err != nil {
		panic("agent: clock_gettime: " + err.Error()) // only an unknown clock fails
	}
	return now.Nano()
}
