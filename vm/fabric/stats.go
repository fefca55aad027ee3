// SPDX-License-Identifier: Apache-2.0

package fabric

import "sync/atomic"

// LinkStats counts what went through one port or station, frames without their framing.
type LinkStats struct {
	FramesIn  uint64 `json:"frames_in"` // from the guest or program to the rail
	BytesIn   uint64 `json:"bytes_in"`
	FramesOut uint64 `json:"frames_out"` // from the rail, put into the queue
	BytesOut  uint64 `json:"bytes_out"`
	Overflow  uint64 `json:"overflow"`  // lost because the queue was full
	Unplugged uint64 `json:"unplugged"` // lost because nobody was connected
}

type counters struct {
	framesIn, bytesIn, framesOut, bytesOut, overflow, unplugged atomic.Uint64
	overflowing                                                 atomic.Bool // the last frame was lost in overflow
}

func (c *counters) in(bytes int) {
	c.framesIn.Add(1)
	c.bytesIn.Add(uint64(bytes))
}

func (c *counters) out(bytes int) {
	c.framesOut.Add(1)
	c.bytesOut.Add(uint64(bytes))
	if c.overflowing.Load() {
		c.overflowing.Store(false)
	}
}

// lost counts an overflow and says whether it is the first of its kind in a row.
func (c *counters) lost() bool {
	c.overflow.Add(1)
	return !c.overflowing.Swap(true)
}

func (c *counters) stats() LinkStats {
	return LinkStats{
		FramesIn: c.framesIn.Load(), BytesIn: c.bytesIn.Load(),
		FramesOut: c.framesOut.Load(), BytesOut: c.bytesOut.Load(),
		Overflow: c.overflow.Load(), Unplugged: c.unplugged.Load(),
	}
}
