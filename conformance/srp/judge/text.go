// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"fmt"

	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/reference/roce"
	"github.com/ibnbd/ibnbd/reference/srp"
)

// InTimeline reports whether the event belongs into a timeline: requests come again in their answers.
func (e *Event) InTimeline() bool {
	switch e.Kind {
	case CommandSent, TaskManagement, DataMoved:
		return false
	}
	return true
}

// SessionName names the two ports, as EXTENSION:PORT@IOC_GUID; "" if no login was seen.
func (e *Event) SessionName() string {
	if e.Channel == nil || e.Channel.nexus == nil {
		return ""
	}
	return e.Channel.nexus.name
}

// PathName gives "10.0.0.2 to 10.0.0.1", "" if there is no channel.
func (e *Event) PathName() string {
	if e.Channel == nil {
		return ""
	}
	return e.Channel.conn.String()
}

// Place names the channel.
func (e *Event) Place() string {
	if e.Channel == nil {
		return ""
	}
	return fmt.Sprintf("SRP %s to %s, channel %d", e.Channel.Initiator, e.Channel.Target, e.Channel.conn.ID)
}

// Text says what happened.
func (e *Event) Text() string {
	switch e.Kind {
	case audit.ConnectionRequest:
		m := e.Login.Request
		return fmt.Sprintf("login request, initiator port %v, target port %v, flags %#02x", m.InitiatorPort, m.TargetPort, m.Flags)
	case audit.ConnectionReply:
		if e.Login != nil {
			m := e.Login.Response
			return fmt.Sprintf("login accepted, request limit %d, flags %#02x", m.RequestLimitDelta, m.Flags)
		}
	case audit.ConnectionReject:
		if e.RejectReason == roce.RejConsumer && e.Login != nil && e.Login.HasReject {
			return fmt.Sprintf("%s, %v", e.Plain(), e.Login.Reject.Reason)
		}
	case ChannelUp:
		return "channel is up"
	case CommandAnswered:
		return e.commandText()
	case CommandUnanswered:
		return e.Command.text() + ", not answered before the channel was closed"
	case TaskManagementAnswered:
		code, _ := e.Answer.Response.ResponseCode()
		return fmt.Sprintf("%v on LUN %v, answered %s, response code %d", e.Command.Task.Function, e.Command.LUN, audit.After(e.Answer.Latency), code)
	case UnknownAnswer:
		return fmt.Sprintf("answer to tag %v, whose request was not seen", e.Answer.Response.Tag)
	case CreditRequest:
		return "credit request of the target"
	case CreditResponse:
		return "credit response of the initiator"
	case AsyncEvent:
		return "asynchronous event of the target"
	case AsyncEventResponse:
		return "asynchronous event answered"
	case Logout:
		return fmt.Sprintf("logout by the %s", e.From)
	case StrayUnit:
		kind, _ := srp.IUType(e.Unit)
		return fmt.Sprintf("stray information unit of the %s, type %#02x", e.From, kind)
	}
	return ""
}

func (e *Event) commandText() string {
	r := e.Answer.Response
	text := fmt.Sprintf("%s, answered %s, status %d", e.Command.text(), audit.After(e.Answer.Latency), r.Status)
	for _, residual := range []struct {
		flag  srp.RspFlags
		name  string
		count uint32
	}{
		{srp.DataOutOver, "data-out overflow", r.DataOutResidual}, {srp.DataOutUnder, "data-out residual", r.DataOutResidual},
		{srp.DataInOver, "data-in overflow", r.DataInResidual}, {srp.DataInUnder, "data-in residual", r.DataInResidual},
	} {
		if r.Flags&residual.flag != 0 {
			text += fmt.Sprintf(", %s %d", residual.name, residual.count)
		}
	}
	if sense := r.Sense(); len(sense) >= 14 && sense[0]&0x7E == 0x70 {
		text += fmt.Sprintf(", sense %x/%02x/%02x", sense[2]&0xF, sense[12], sense[13])
	}
	return text
}

// text describes an SRP request without its answer.
func (c *Command) text() string {
	if c.Management {
		return fmt.Sprintf("%v on LUN %v", c.Task.Function, c.LUN)
	}
	return fmt.Sprintf("%s on LUN %v", c.scsiText(), c.LUN)
}
