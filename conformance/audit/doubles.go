// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"time"

	"github.com/ibnbd/ibnbd/reference/roce"
)

// A frame that is captured at several places, or mirrored, or seen with its VLAN tag and without, is in the capture several times and
// was on the wire once. Sent again by its sender it comes again at each place, later. So the n-th time at one place is the n-th time
// at all others.

const (
	doubleSets  = 1 << 10
	doubleWays  = 4 // packets of each set
	doubleViews = 4
	// doubleFor is how long the places of a capture may be apart.
	doubleFor = time.Second
	// doubleAtOnce is how soon the same packet at the same place is no retransmission, for which a sender needs a reason first.
	doubleAtOnce = 100 * time.Microsecond
)

// doubles remembers the packets that came last.
type doubles struct {
	table []doubleEntry
	rails map[string]uint32
	rail  string // looked up last, and its number
	index uint32
}

type doubleEntry struct {
	digest uint64
	last   int64 // nanoseconds
	views  [doubleViews]doubleView
}

// doubleView is how often a packet was seen at a place.
type doubleView struct {
	place uint64
	last  int64
	times int
}

// place numbers where a frame was captured, and how wrapped.
func (d *doubles) place(f Frame, wrap wrapping) uint64 {
	if d.rails == nil {
		d.rails = make(map[string]uint32)
	}
	if d.rail != f.Rail || d.index == 0 {
		index, known := d.rails[f.Rail]
		if !known {
			index = uint32(len(d.rails)) + 1
			if len(d.rails) < mostTallied {
				d.rails[f.Rail] = index
			}
		}
		d.rail, d.index = f.Rail, index
	}
	const ifaceAt, ifaceEnd = 4, 8
	iface := uint64(0)
	if f.Link == LinuxSLLv2 && len(f.Data) >= ifaceEnd {
		iface = uint64(be.Uint32(f.Data[ifaceAt:]))
	}
	return mix(mix(uint64(wrap)<<8^uint64(d.index), iface), uint64(f.File)) | 1
}

// seen notes a packet, and reports whether it is one that was seen elsewhere before.
func (d *doubles) seen(p *roce.Packet, place uint64, when time.Time) bool {
	at := when.UnixNano()
	e := d.entry(digestOf(p), at)
	e.last = at
	own, most := e.view(place)
	switch {
	case own.times == 0 && own.place != place: // no room for one place more
		return true
	case own.times < most:
	case own.times > 0 && apart(at, own.last) <= doubleAtOnce:
		return true
	default:
		own.times, own.last = own.times+1, at
		return false
	}
	own.times, own.last = own.times+1, at
	return true
}

// entry finds a packet that was seen lately, or makes room for it in the place of one that was not seen for the longest.
func (d *doubles) entry(digest uint64, at int64) *doubleEntry {
	if d.table == nil {
		d.table = make([]doubleEntry, doubleSets*doubleWays)
	}
	set := d.table[digest%doubleSets*doubleWays:][:doubleWays]
	oldest := &set[0]
	for i := range set {
		e := &set[i]
		if e.digest == digest && apart(at, e.last) <= doubleFor {
			return e
		}
		if e.last < oldest.last {
			oldest = e
		}
	}
	*oldest = doubleEntry{digest: digest}
	return oldest
}

func apart(a, b int64) time.Duration { return time.Duration(a - b).Abs() }

// view finds or makes the entry of a place, and gives how often any other place has seen the packet.
func (e *doubleEntry) view(place uint64) (own *doubleView, most int) {
	own = &doubleView{}
	for i := range e.views {
		v := &e.views[i]
		switch {
		case v.times > 0 && v.place == place:
			own = v
		case v.times > 0:
			most = max(most, v.times)
		case own.place != place:
			v.place, own = place, v
		}
	}
	return own, most
}

// digestOf stands for what is the same wherever a packet is captured, and however it is wrapped.
func digestOf(p *roce.Packet) uint64 {
	b := &p.BTH
	h := mix(uint64(p.UDPLength)<<16|uint64(p.IPID), uint64(b.OpCode)<<32|uint64(b.DestQP))
	h = mix(h, uint64(b.PSN))
	if b.AckReq {
		h++
	}
	if len(b.Payload) >= 4 { // the syndrome of an acknowledgement is there
		h = mix(h, uint64(be.Uint32(b.Payload)))
	}
	const transactionAt, idAt = 8, roce.MADHeaderLen
	if p.IsMAD() && len(p.Payload) >= idAt+8 {
		h = mix(mix(h, be.Uint64(p.Payload[transactionAt:])), be.Uint64(p.Payload[idAt:]))
	}
	src, dst := p.Src.As16(), p.Dst.As16()
	return mix(mix(h, be.Uint64(src[8:])), be.Uint64(dst[8:]))
}

// mix folds one number more into a sum.
func mix(sum, x uint64) uint64 {
	sum = (sum ^ x) * 0x9E3779B97F4A7C15
	return sum ^ sum>>29
}
