// SPDX-License-Identifier: Apache-2.0

package ibtrs

import "sync/atomic"

// ServerPathStats are the counters of a server's path.
type ServerPathStats struct {
	Reads, ReadBytes   uint64 // requests, and the bytes of their data and user headers
	Writes, WriteBytes uint64
	Inflight           int
}

type serverStats struct {
	reads, readBytes   atomic.Uint64
	writes, writeBytes atomic.Uint64
}

func (c *serverStats) count(d Direction, bytes int) {
	if d == Write {
		c.writes.Add(1)
		c.writeBytes.Add(uint64(bytes))
		return
	}
	c.reads.Add(1)
	c.readBytes.Add(uint64(bytes))
}

// Stats gives the counters.
func (p *ServerPath) Stats() ServerPathStats {
	c := &p.stats
	s := ServerPathStats{
		Reads: c.reads.Load(), ReadBytes: c.readBytes.Load(), Writes: c.writes.Load(), WriteBytes: c.writeBytes.Load(),
	}
	if !p.serving.Load() {
		return s
	}
	for k := range p.requests {
		if p.requests[k].state.Load() != requestFree {
			s.Inflight++
		}
	}
	return s
}

// ResetStats sets the counters to 0.
func (p *ServerPath) ResetStats() {
	c := &p.stats
	for _, u := range []*atomic.Uint64{&c.reads, &c.readBytes, &c.writes, &c.writeBytes} {
		u.Store(0)
	}
}
