// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"slices"
	"time"

	"github.com/ibnbd/ibnbd/reference/roce"
)

// Kind says what an event is: a name, as reports have it. Protocols have kinds of their own.
type Kind string

// String names the kind as reports do.
func (k Kind) String() string { return string(k) }

// The kinds of events that are the same for all protocols.
const (
	// Connections.
	ConnectionRequest      Kind = "connection-request"
	ConnectionRequestAgain Kind = "connection-request-again" // the same REQ once more
	ConnectionReply        Kind = "connection-reply"
	ConnectionReject       Kind = "connection-reject"
	ConnectionEstablished  Kind = "connection-established"
	DisconnectRequest      Kind = "disconnect-request"
	DisconnectReply        Kind = "disconnect-reply"

	// The transport below.
	Retransmission   Kind = "retransmission"
	Gap              Kind = "gap" // packets that were never seen
	ReceiverNotReady Kind = "receiver-not-ready"
	SequenceNAK      Kind = "sequence-nak"
	FatalNAK         Kind = "fatal-nak"
	ReadOverrun      Kind = "read-overrun" // more RDMA READs were under way than granted

	CaptureEnd Kind = "capture-end"
)

// Event is one thing that happened. The event and all that it points to belong to the tracker and change after the
// call in which an observer gets it; values may be copied.
type Event struct {
	Kind       Kind
	At         time.Time
	Untimed    bool   // the capture does not say when; At is the time of an earlier frame
	Apart      bool   // what came first in another file is not known
	From       Side   // who did it
	Seq        uint64 // number of the present frame among all frames
	Connection *Connection
	Protocol   *Protocol // whose event it is; nil if it is nobody's
	Detail     Detail    // what the protocol knows of it; nil if it is nobody's

	// Of connection management.
	Manager      *Manager // who sent the datagram
	Private      []byte   // private data: the application's part in a REQ, all of it in REP and REJ
	RejectReason roce.RejReason
	Again        bool // seen before

	// Of the transport below.
	PSN      roce.PSN
	Packets  int
	Syndrome roce.Syndrome

	// Of messages.
	Flow    *Flow
	Message *Message

	vagueUntil time.Time // since when it is known how much time has passed
	frames     [8]FrameID
	nframes    int
}

// Frames are the frames that show the event, the first eight at most. The slice is the caller's.
func (e *Event) Frames() []FrameID { return slices.Clone(e.frames[:e.nframes]) }

// AddFrame names one more frame that shows the event.
func (e *Event) AddFrame(f FrameID) {
	if e.nframes == len(e.frames) || f.Number == 0 {
		return
	}
	for _, have := range e.frames[:e.nframes] {
		if have == f {
			return
		}
	}
	e.frames[e.nframes] = f
	e.nframes++
}

// SetConnection says on which connection it happened, and who did it.
func (e *Event) SetConnection(c *Connection, from Side) {
	e.Connection, e.From, e.Protocol = c, from, c.Protocol
}

// SetFlow says in which direction of a connection it happened.
func (e *Event) SetFlow(f *Flow) {
	e.SetConnection(f.conn, f.from)
	e.Flow = f
}

// SetMessage says which message it is, with its time and its frames.
func (e *Event) SetMessage(f *Flow, m *Message) {
	e.SetFlow(f)
	e.Message = m
	e.At = m.LastAt
	e.AddFrame(m.First)
	e.AddFrame(m.Last)
}
