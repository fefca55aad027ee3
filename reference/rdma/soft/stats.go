// SPDX-License-Identifier: Apache-2.0

package soft

import "sync/atomic"

// Stats are counters of a device since it was opened.
type Stats struct {
	Sent, Received uint64 // packets
	Dropped        uint64 // received packets that had no effect, repeated ones included
	BadICRC        uint64 // of these: with a wrong ICRC
	CNPs           uint64 // of these: congestion notifications
	Duplicates     uint64 // of these: requests that were executed before
	Timeouts       uint64 // repetitions because no answer came in time
	Repeats        uint64 // repetitions because the peer, or a gap in its answers, told what is missing
	RNRWaits       uint64 // waits because the peer had no receive
}

// counters are Stats while they count.
type counters struct {
	sent, received, dropped, badICRC, cnps, duplicates, timeouts, repeats, rnrWaits atomic.Uint64
}

// Stats gives the counters as they are now.
func (d *Device) Stats() Stats {
	c := &d.stats
	return Stats{
		Sent: c.sent.Load(), Received: c.received.Load(), Dropped: c.dropped.Load(), BadICRC: c.badICRC.Load(),
		CNPs: c.cnps.Load(), Duplicates: c.duplicates.Load(), Timeouts: c.timeouts.Load(), Repeats: c.repeats.Load(),
		RNRWaits: c.rnrWaits.Load(),
	}
}
