// SPDX-License-Identifier: Apache-2.0

package verbs

import "time"

// Config tunes a device. The zero value is good; every zero field means its default.
type Config struct {
	// ResolveTimeout bounds each of the two steps before a connection is asked for: finding the peer's hardware address,
	// and the route to it. Default 2 s.
	ResolveTimeout time.Duration
	// Backlog is how many requests of one listener may wait for Next; more are rejected. Default 128.
	Backlog int
	// MinRNRTimer is the RNR timer code for connections that do not set their own; default 12, 0.64 ms.
	MinRNRTimer int
	// Spin is how long Poll looks for completions before it waits for a notice of them. It trades a processor for
	// latency; default 0.
	Spin time.Duration
}
