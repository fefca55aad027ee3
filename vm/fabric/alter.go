// SPDX-License-Identifier: Apache-2.0

package fabric

import (
	"errors"
	"slices"
)

// Alter lets other code change the frame, so that its sender seems to say something else, or its receiver to be told. The ICRC of a
// RoCEv2 packet is made right, whatever it was.
type Alter struct {
	What string // what it does, for evidence, such as "say that nothing has failed"
	// Change changes bytes of the frame in place, from the destination address on, and says whether it has. It is asked again
	// about each repetition of a packet, and for each destination of a flooded frame, and must then do the same. Calls come one at
	// a time for each rail.
	Change func(frame []byte) bool
}

func (a Alter) start() effect {
	return func(p *passage) bool {
		data := slices.Clone(p.data)
		if !a.Change(data) {
			return false
		}
		reseal(data)
		p.data, p.changed = data, true
		return true
	}
}

func (a Alter) check() error {
	if a.What == "" || a.Change == nil {
		return errors.New("alter: it has no name or changes nothing")
	}
	return nil
}

func (a Alter) String() string { return "alter: " + a.What }
