// SPDX-License-Identifier: Apache-2.0

package fabric

import (
	"fmt"
	"sync"
	"time"
)

// EventKind says what an [Event] tells.
type EventKind string

// The kinds of events.
const (
	Injected     EventKind = "injected"     // a fault was put on a rail
	Began        EventKind = "began"        // a fault began to act
	Applied      EventKind = "applied"      // a fault hit a frame
	Ended        EventKind = "ended"        // a fault's time was over, or it was removed
	Failed       EventKind = "failed"       // a fault could not do what it should
	Connected    EventKind = "connected"    // a guest NIC came to its port
	Disconnected EventKind = "disconnected" // a guest NIC left its port
	Overflowed   EventKind = "overflowed"   // a destination's queue was full; the frame is lost there
	Marked       EventKind = "marked"       // a line from the caller
)

// Event is one thing that happened on a rail.
type Event struct {
	Number uint64    `json:"number"`          // position among all events of the fabric, from 0
	At     time.Time `json:"at"`              // host clock
	Rail   string    `json:"rail,omitempty"`  // the rail's name
	Kind   EventKind `json:"kind"`            // what happened
	Fault  int       `json:"fault,omitempty"` // the [Handle.ID] of the fault, from 1; 0 where no fault is concerned
	Frame  uint64    `json:"frame,omitempty"` // the [Frame.Number] on its rail; 0 where no frame is concerned
	Detail string    `json:"detail,omitempty"`
}

// String gives the event as one line, without its time.
func (e Event) String() string {
	s := string(e.Kind)
	if e.Rail != "" {
		s = e.Rail + ": " + s
	}
	if e.Fault != 0 {
		s += fmt.Sprintf(" fault %d", e.Fault)
	}
	if e.Frame != 0 {
		s += fmt.Sprintf(" frame %d", e.Frame)
	}
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	return s
}

// eventsKept bounds the memory of a long run; a spec that loses everything for a minute makes some thousands.
const eventsKept = 1 << 16

// eventLog is a ring of the last events.
type eventLog struct {
	mu   sync.Mutex
	ring []Event
	next uint64
}

func (l *eventLog) add(e Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.Number = l.next
	l.next++
	if len(l.ring) < eventsKept {
		l.ring = append(l.ring, e)
		return
	}
	l.ring[e.Number%eventsKept] = e
}

func (l *eventLog) from(since uint64) ([]Event, uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	first := l.next - uint64(len(l.ring))
	since = max(since, first)
	var events []Event
	for n := since; n < l.next; n++ {
		events = append(events, l.ring[n%eventsKept])
	}
	return events, l.next
}
