// SPDX-License-Identifier: Apache-2.0

package ibtrs

import (
	"sync/atomic"
	"time"
)

// PathStats are the counters of a client's path.
type PathStats struct {
	Reads, ReadBytes   uint64 // requests and their bytes, user headers included
	Writes, WriteBytes uint64
	Inflight           int64
	FailedOver         uint64 // requests that came from another path that was lost (Clause IBTRS-PATH-014)

	Reconnected      int64 // -1 before the first connect, then 0
	ReconnectsFailed int64
	Latency          time.Duration // of the last heartbeat; 0 if none was measured
}

type pathStats struct {
	reads, readBytes    atomic.Uint64
	writes, writeBytes  atomic.Uint64
	failedOver          atomic.Uint64
	reconnected, failed atomic.Int64
	latency             atomic.Int64
}

func (c *pathStats) reset() { c.reconnected.Store(-1) }

// count notes a request that goes out.
func (c *pathStats) count(d Direction, bytes int) {
	if d == Write {
		c.writes.Add(1)
		c.writeBytes.Add(uint64(bytes))
		return
	}
	c.reads.Add(1)
	c.readBytes.Add(uint64(bytes))
}

// Stats gives the counters.
func (p *Path) Stats() PathStats {
	c := &p.stats
	return PathStats{
		Reads: c.reads.Load(), ReadBytes: c.readBytes.Load(), Writes: c.writes.Load(), WriteBytes: c.writeBytes.Load(),
		Inflight: p.inflight.Load(), FailedOver: c.failedOver.Load(),
		Reconnected: c.reconnected.Load(), ReconnectsFailed: c.failed.Load(),
		Latency: time.Duration(c.latency.Load()),
	}
}

// ResetStats sets all counters but the latency and what is in flight to 0.
func (p *Path) ResetStats() {
	c := &p.stats
	for _, u := range []*atomic.Uint64{&c.reads, &c.readBytes, &c.writes, &c.writeBytes, &c.failedOver} {
		u.Store(0)
	}
	c.reconnected.Store(0)
	c.failed.Store(0)
}
