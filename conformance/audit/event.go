// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"slices"
	"time"

	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/roce"
)

// Kind says what an event is.
type Kind uint8

// The kinds of events.
const (
	NoEvent Kind = iota

	// Connections.
	ConnectionRequest
	ConnectionRequestAgain // the same REQ once more
	ConnectionReply
	ConnectionReject
	ConnectionEstablished
	DisconnectRequest
	DisconnectReply

	// The transport below.
	Retransmission
	Gap // packets that were never seen
	ReceiverNotReady
	SequenceNAK
	FatalNAK

	// IBTRS and IBNBD.
	InfoRequest
	InfoResponse
	PathUp
	PathDown
	SessionUp
	SessionDown
	RequestSent
	RequestAnswered  // also a response that answers no request that was seen
	Unanswered       // the connection ended before the answer
	LateInvalidation // of a read's key, after the answer
	Heartbeat
	HeartbeatAck
	Stray          // a message that has no place in the protocol
	EarlierRequest // of a connection that began before the capture

	// SRP.
	ChannelUp
	CommandSent
	CommandAnswered
	CommandUnanswered
	TaskManagement
	TaskManagementAnswered
	UnknownAnswer // an SRP_RSP with a tag that no request seen had
	CreditRequest
	CreditResponse
	AsyncEvent
	AsyncEventResponse
	Logout
	DataMoved   // an RDMA WRITE or READ of a target
	ReadOverrun // more RDMA READs were under way than granted
	StrayUnit

	CaptureEnd
	kinds
)

var kindNames = [kinds]string{
	"none", "connection-request", "connection-request-again", "connection-reply", "connection-reject",
	"connection-established", "disconnect-request", "disconnect-reply", "retransmission", "gap", "receiver-not-ready",
	"sequence-nak", "fatal-nak", "info-request", "info-response", "path-up", "path-down", "session-up", "session-down",
	"request", "io", "unanswered", "late-invalidation", "heartbeat", "heartbeat-ack", "stray", "earlier-request", "channel-up", "command-sent", "command",
	"command-unanswered", "task-management-sent", "task-management", "unknown-answer", "credit-request",
	"credit-response", "async-event", "async-event-response", "logout", "data-moved", "read-overrun", "stray-unit", "capture-end",
}

// String names the kind as reports do.
func (k Kind) String() string { return kindNames[k] }

// Event is one thing that happened. The event and all that it points to belong to the tracker and change after the
// call in which an observer gets it; values may be copied.
type Event struct {
	Kind       Kind
	At         time.Time
	Untimed    bool // the capture does not say when; At is the time of an earlier frame
	From       Side // who did it
	Connection *Connection
	Path       *Path
	Session    *Session

	// Of connection management.
	Private      []byte // private data: the application's part in a REQ, all of it in REP and REJ
	ConnRequest  ibtrs.ConnRequest
	ConnResponse ibtrs.ConnResponse
	Accept       ibtrs.ConnResponse // what the path's build was told before
	HasAccept    bool
	Between      [2]string // addresses of sender and receiver, of an EarlierRequest
	ParseError   error     // what is wrong with the message of this event
	RejectReason roce.RejReason
	NewPath      bool   // the path was not seen before
	HasPrevious  bool   // the path was built before, and this begins a new build
	Previous     uint16 // incarnation of that build
	LostAt       time.Time
	Again        bool // seen before

	// Of the transport below.
	PSN      roce.PSN
	Count    int // packets
	Syndrome roce.Syndrome
	Refused  *Request // the request that a NAK refuses

	// Of messages.
	Message      *Message
	InfoRequest  ibtrs.InfoRequest
	InfoResponse ibtrs.InfoResponse
	Request      *Request
	Response     Response
	Beat         Beat

	// Of SRP.
	Channel *Channel
	Command *Command
	Answer  *Answer
	Login   *Login
	Unit    []byte // an information unit
	Move    Move

	flow       *Flow
	build      *build
	ghost      *suspicion // of a response, that it answers nothing: dropped if its request comes after it
	prior      *build     // the build that a connection request replaces
	manager    *manager
	otherGroup *Session // that had the path's UUID before
	namesake   *Session // of an INFO request: the same initiator has this session of the same name, which is up
	seq        uint64
	apart      bool      // what came first in another file is not known
	vagueUntil time.Time // since when it is known how much time has passed
	frames     [8]FrameID
	nframes    int
}

// Frames are the frames that show the event, the first eight at most. The slice is the caller's.
func (e *Event) Frames() []FrameID { return slices.Clone(e.frames[:e.nframes]) }

func (e *Event) addFrame(f FrameID) {
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

func (e *Event) setConnection(c *Connection, from Side) {
	e.Connection, e.From = c, from
	if c.lane != nil {
		e.build = c.lane.build
	}
	if c.path != nil {
		e.Path, e.Session = c.path, c.path.session
	}
	e.Channel = c.channel
}

func (e *Event) setFlow(f *Flow) {
	e.setConnection(f.conn, f.from)
	e.flow = f
}

func (e *Event) setPath(p *Path) {
	e.Path, e.Session, e.build = p, p.session, p.build
}

func (e *Event) setMessage(f *Flow, m *Message) {
	e.setFlow(f)
	e.Message = m
	e.At = m.LastAt
	if e.Kind != RequestAnswered {
		e.addFrame(m.First)
		e.addFrame(m.Last)
	}
}

func (e *Event) setRequest(r *Request) {
	e.Request = r
	e.setConnection(r.lane.conn, e.From)
	if e.From == Nobody {
		e.addFrame(r.Frames[0])
		e.addFrame(r.Frames[1])
	}
}
