// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"github.com/ibnbd/ibnbd/conformance/audit"
)

// The kinds of events of SRP.
const (
	ChannelUp              audit.Kind = "channel-up"
	CommandSent            audit.Kind = "command-sent"
	CommandAnswered        audit.Kind = "command"
	CommandUnanswered      audit.Kind = "command-unanswered"
	TaskManagement         audit.Kind = "task-management-sent"
	TaskManagementAnswered audit.Kind = "task-management"
	UnknownAnswer          audit.Kind = "unknown-answer" // an SRP_RSP with a tag that no request seen had
	CreditRequest          audit.Kind = "credit-request"
	CreditResponse         audit.Kind = "credit-response"
	AsyncEvent             audit.Kind = "async-event"
	AsyncEventResponse     audit.Kind = "async-event-response"
	Logout                 audit.Kind = "logout"
	DataMoved              audit.Kind = "data-moved" // an RDMA WRITE or READ of a target
	StrayUnit              audit.Kind = "stray-unit"
)

// Event is an event with what SRP knows of it.
type Event struct {
	*audit.Event
	Channel    *Channel
	Command    *Command
	Answer     *Answer
	Login      *Login
	Unit       []byte // an information unit
	Move       Move
	ParseError error // what is wrong with the message of this event
}

// Of is the event with what SRP knows of it; nil if it is not of SRP.
func Of(e *audit.Event) *Event {
	d, _ := e.Detail.(*Event)
	return d
}

// describe makes the detail of an event.
func (t *follower) describe(e *audit.Event) *Event {
	t.event = Event{Event: e}
	e.Detail = &t.event
	return &t.event
}

// fresh returns the tracker's event, emptied, for the next Emit.
func (t *follower) fresh(kind audit.Kind) *Event {
	e := t.Fresh(kind)
	e.Protocol = t.protocol
	return t.describe(e)
}

func (e *Event) setConnection(c *audit.Connection, from audit.Side) {
	e.SetConnection(c, from)
	e.locate()
}

func (e *Event) setMessage(f *audit.Flow, m *audit.Message) {
	e.SetMessage(f, m)
	e.locate()
}

// locate says in which channel it happened.
func (e *Event) locate() {
	if c, _ := e.Connection.Carries().(*conversation); c != nil {
		e.Channel = c.channel
	}
}
