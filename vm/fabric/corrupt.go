// SPDX-License-Identifier: Apache-2.0

package fabric

import (
	"fmt"
	"slices"

	"github.com/ibnbd/ibnbd/reference/roce"
)

// Region is the part of a frame in which an offset counts.
type Region string

// The regions of a frame.
const (
	InFrame     Region = "frame"     // from the destination address on
	InTransport Region = "transport" // from the base transport header of a RoCEv2 packet on, to the ICRC
	InPayload   Region = "payload"   // the payload of a RoCEv2 packet, without pad bytes
)

// Corrupt flips one bit of the frame. A frame that has no such bit arrives as it is, and the fault does not count it as
// applied.
type Corrupt struct {
	Region Region // "" stands for InFrame
	Offset int    // in bytes, from the begin of the region; negative from its end, so that -1 is its last byte
	Bit    uint   // 0 (least significant) to 7
	// FixICRC recomputes the ICRC of a RoCEv2 packet, so that the receiver takes the changed packet for genuine. Without it
	// a change in what the ICRC covers makes the receiver drop the packet.
	FixICRC bool
}

func (a Corrupt) start() effect {
	return func(p *passage) bool {
		frame := Frame{Data: p.data}
		begin, end, ok := frame.region(a.Region)
		at := begin + a.Offset
		if a.Offset < 0 {
			at = end + a.Offset
		}
		if !ok || at < begin || at >= end {
			return false
		}
		p.data, p.changed = slices.Clone(p.data), true
		p.data[at] ^= 1 << a.Bit
		if a.FixICRC {
			reseal(p.data)
		}
		return true
	}
}

func (a Corrupt) check() error {
	switch a.Region {
	case "", InFrame, InTransport, InPayload:
	default:
		return fmt.Errorf("corrupt: the region %q is none of %q, %q, %q", a.Region, InFrame, InTransport, InPayload)
	}
	if a.Bit > 7 {
		return fmt.Errorf("corrupt: bit %d is outside 0 to 7", a.Bit)
	}
	return nil
}

func (a Corrupt) String() string {
	region := a.Region
	if region == "" {
		region = InFrame
	}
	s := fmt.Sprintf("corrupt %s byte %d bit %d", region, a.Offset, a.Bit)
	if a.FixICRC {
		s += " with a right icrc"
	}
	return s
}

// region returns where a region begins and ends in the frame.
func (f *Frame) region(r Region) (begin, end int, ok bool) {
	if r == "" || r == InFrame {
		return 0, len(f.Data), true
	}
	p := f.decode()
	if p.transport == 0 {
		return 0, 0, false
	}
	pad := p.end - roce.ICRCLen - len(p.bth.Pad)
	if r == InTransport {
		return p.transport, pad + len(p.bth.Pad), true
	}
	return p.transport + p.bth.OpCode.HeaderLen(), pad, true
}
