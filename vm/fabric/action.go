// SPDX-License-Identifier: Apache-2.0

package fabric

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// Action is what a [Fault] does: [Drop], [Duplicate], [Reorder], [Delay], [Corrupt], [Alter], [Sequence] or [CarrierLoss].
type Action interface {
	// start returns the action for one run of a fault, with its own random generators where it needs some.
	start() effect
	check() error
	String() string
}

// effect changes a passage: what happens to one frame that a fault has picked. It says whether it did anything.
type effect func(p *passage) bool

// passage is one frame's way to one destination. Each fault that picks the frame changes it; at the end, the rail does what
// it says.
type passage struct {
	frame   *Frame
	data    []byte        // what will arrive; the frame's own bytes until an effect replaces it by a changed copy
	changed bool          // data is such a copy
	dropped bool          // nothing arrives
	held    bool          // the last effect holds it back, so that it goes out when that fault ends
	copies  int           // how many more times it arrives
	delay   time.Duration // how much later it arrives
	behind  int           // how many later frames of the fault pass it
	after   *time.Time    // where set: it arrives no earlier, and what follows no earlier than it
}

// Drop loses the frame without a sound.
type Drop struct{}

// Duplicate lets the frame arrive Copies more times, right behind itself.
type Duplicate struct {
	Copies int // at least 1
}

// Delay lets the frame arrive later: by Base, and by a random part, evenly spread between 0 and Jitter. Jitter may reorder
// frames, unless InOrder makes each wait for the one before.
type Delay struct {
	Base    time.Duration
	Jitter  time.Duration
	Seed    uint64 // of the generator for jitter
	InOrder bool
}

// Reorder holds the frame until Behind later frames from the same sender that match the fault have passed it, or until it
// has been held for Hold (0 stands for one second), so that nothing is held forever where nothing follows.
type Reorder struct {
	Behind int // at least 1
	Hold   time.Duration
}

// Sequence does several actions to the same frame, in order.
type Sequence []Action

func (Drop) start() effect {
	return func(p *passage) bool {
		p.dropped = true
		return true
	}
}

func (a Duplicate) start() effect {
	return func(p *passage) bool {
		p.copies += a.Copies
		return true
	}
}

func (a Delay) start() effect {
	random := seeded(a.Seed)
	var last *time.Time
	if a.InOrder {
		last = new(time.Time)
	}
	return func(p *passage) bool {
		p.delay += a.Base + jitter(random, a.Jitter)
		p.held = true
		if last != nil {
			p.after = last
		}
		return true
	}
}

// jitter returns a random time from 0 to limit.
func jitter(random *rand.Rand, limit time.Duration) time.Duration {
	if limit <= 0 {
		return 0
	}
	return time.Duration(random.Int64N(int64(limit) + 1))
}

// defaultHold is how long Reorder holds a frame that nothing overtakes.
const defaultHold = time.Second

func (a Reorder) start() effect {
	hold := a.Hold
	if hold == 0 {
		hold = defaultHold
	}
	return func(p *passage) bool {
		p.behind = max(p.behind, a.Behind)
		p.delay += hold
		p.held = true
		return true
	}
}

func (a Sequence) start() effect {
	effects := make([]effect, len(a))
	for i, action := range a {
		effects[i] = action.start()
	}
	return func(p *passage) bool {
		did := false
		for _, e := range effects {
			did = e(p) || did
		}
		return did
	}
}

func (Drop) check() error { return nil }

func (a Duplicate) check() error {
	const limit = 1000
	if a.Copies < 1 || a.Copies > limit {
		return fmt.Errorf("duplicate: the number of copies is %d, outside 1 to %d", a.Copies, limit)
	}
	return nil
}

func (a Delay) check() error {
	if a.Base < 0 || a.Jitter < 0 || a.Base+a.Jitter == 0 {
		return fmt.Errorf("delay: base %v and jitter %v: neither may be negative, nor both zero", a.Base, a.Jitter)
	}
	return nil
}

func (a Reorder) check() error {
	if a.Behind < 1 || a.Hold < 0 {
		return fmt.Errorf("reorder: behind %d frames, held for %v: it needs at least 1 frame and no negative time", a.Behind, a.Hold)
	}
	return nil
}

func (a Sequence) check() error {
	if len(a) == 0 {
		return fmt.Errorf("sequence: it is empty")
	}
	for _, action := range a {
		switch action.(type) {
		case nil:
			return fmt.Errorf("sequence: an action in it is nil")
		case CarrierLoss:
			return fmt.Errorf("sequence: a carrier loss is not done to a frame; inject it by itself")
		}
		if err := action.check(); err != nil {
			return err
		}
	}
	return nil
}

func (Drop) String() string { return "drop" }

func (a Duplicate) String() string { return fmt.Sprintf("duplicate x%d", a.Copies) }

func (a Delay) String() string {
	s := fmt.Sprintf("delay %v", a.Base)
	if a.Jitter > 0 {
		s += fmt.Sprintf(" jitter %v seed %d", a.Jitter, a.Seed)
	}
	if a.InOrder {
		s += " in order"
	}
	return s
}

func (a Reorder) String() string {
	s := fmt.Sprintf("reorder behind %d", a.Behind)
	if a.Hold > 0 {
		s += fmt.Sprintf(" for at most %v", a.Hold)
	}
	return s
}

func (a Sequence) String() string {
	words := make([]string, len(a))
	for i, action := range a {
		words[i] = action.String()
	}
	return strings.Join(words, " then ")
}
