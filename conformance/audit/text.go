// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"fmt"
	"strings"
	"time"

	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/roce"
	"github.com/ibnbd/ibnbd/reference/srp"
)

// Storage reports whether the event belongs into a timeline of what happened to sessions, devices and I/O. The others
// are about packets, or come again in the answer.
func (e *Event) Storage() bool {
	switch e.Kind {
	case NoEvent, ConnectionRequestAgain, Retransmission, RequestSent, CommandSent, TaskManagement, DataMoved, CaptureEnd:
		return false
	}
	return true
}

// String gives the event as one line without its time: who, where, what, and how it ended.
func (e *Event) String() string {
	var b strings.Builder
	e.writePlace(&b)
	b.WriteString(e.what())
	return b.String()
}

func (e *Event) writePlace(b *strings.Builder) {
	switch {
	case e.Session != nil && e.Path != nil:
		fmt.Fprintf(b, "session %s, path %s to %s", e.Session, e.Path.Initiator, e.Path.Target)
		if e.Connection != nil && e.Connection.cid >= 0 {
			fmt.Fprintf(b, ", connection %d", e.Connection.cid)
		}
		b.WriteString(": ")
	case e.Channel != nil:
		fmt.Fprintf(b, "SRP %s to %s, channel %d: ", e.Channel.Initiator, e.Channel.Target, e.Channel.conn.ID)
	case e.Connection != nil:
		fmt.Fprintf(b, "%s to %s, connection %d: ", e.Connection.Initiator, e.Connection.Target, e.Connection.ID)
	}
}

func (e *Event) what() string {
	switch e.Kind {
	case ConnectionRequest:
		return e.requestText()
	case ConnectionReply:
		return e.replyText()
	case ConnectionReject:
		return e.rejectText()
	case ConnectionEstablished:
		return "established"
	case DisconnectRequest:
		if e.Again {
			return fmt.Sprintf("%s asks for disconnection again", e.From)
		}
		return fmt.Sprintf("%s asks for disconnection", e.From)
	case DisconnectReply:
		return "disconnected"
	case Gap:
		return fmt.Sprintf("%d packets of the %s from PSN %d on are missing in the capture", e.Count, e.From, e.PSN)
	case ReceiverNotReady:
		return fmt.Sprintf("%s is not ready to receive, PSN %d: %v", e.From, e.PSN, e.Syndrome)
	case SequenceNAK, FatalNAK:
		return fmt.Sprintf("%s refuses PSN %d: %v", e.From, e.PSN, e.Syndrome)
	case InfoRequest:
		return fmt.Sprintf("INFO request, session name %q", e.InfoRequest.SessionName.String())
	case InfoResponse:
		return fmt.Sprintf("INFO response, %d chunk regions", e.InfoResponse.Count)
	case PathUp:
		return "path is connected"
	case PathDown:
		return "path is lost" + e.by()
	case SessionUp:
		return "session is up"
	case SessionDown:
		return "session is down, its last path is lost"
	case RequestAnswered:
		return e.answerText()
	case Unanswered:
		return e.Request.text() + ", not answered before the path was lost"
	case Heartbeat, HeartbeatAck:
		return e.beatText()
	case EarlierRequest:
		return fmt.Sprintf("%s to %s, connection from before the capture, session unknown: %s", e.Between[0], e.Between[1], e.Request.text())
	case Stray:
		return fmt.Sprintf("stray message of the %s: %s", e.From, e.Message.text())
	}
	return e.srpText()
}

func (e *Event) by() string {
	if e.From == Nobody {
		return ""
	}
	return ", closed by the " + e.From.String()
}

func (e *Event) requestText() string {
	c := e.Connection
	switch c.Protocol {
	case IBTRS:
		r := e.ConnRequest
		text := fmt.Sprintf("connection request, %d of %d, incarnation %d", r.CID, r.ConnectionCount, r.Incarnation)
		if e.ParseError != nil {
			text += ": " + e.ParseError.Error()
		}
		return text
	case SRP:
		m := e.Login.Request
		return fmt.Sprintf("login request, initiator port %v, target port %v, flags %#02x", m.InitiatorPort, m.TargetPort, m.Flags)
	}
	return fmt.Sprintf("connection request, service %v", c.Request.ServiceID)
}

func (e *Event) replyText() string {
	switch e.Connection.Protocol {
	case IBTRS:
		r := e.ConnResponse
		refresh := "off"
		if r.Flags&ibtrs.KeyRefresh != 0 {
			refresh = "on"
		}
		return fmt.Sprintf("accepted, queue depth %d, max I/O size %d, max header size %d, key refresh %s", r.QueueDepth, r.MaxIOSize, r.MaxHeaderSize, refresh)
	case SRP:
		m := e.Login.Response
		return fmt.Sprintf("login accepted, request limit %d, flags %#02x", m.RequestLimitDelta, m.Flags)
	}
	return "accepted"
}

func (e *Event) rejectText() string {
	text := fmt.Sprintf("rejected by the %s: %v", e.From, e.RejectReason)
	switch {
	case e.RejectReason != roce.RejConsumer:
		return text
	case e.Connection.Protocol == IBTRS && e.ParseError == nil:
		return fmt.Sprintf("%s, errno %d (%v)", text, e.ConnResponse.Errno, e.ConnResponse.Rejection())
	case e.Connection.Protocol == SRP && e.Login.HasReject:
		return fmt.Sprintf("%s, %v", text, e.Login.Reject.Reason)
	}
	return text
}

// text describes a request without its answer.
func (r *Request) text() string {
	var b strings.Builder
	b.WriteString(r.operation())
	if r.ChunkKnown {
		fmt.Fprintf(&b, ", permit %d", r.Chunk)
	} else {
		b.WriteString(", permit unknown")
	}
	if r.Failover {
		b.WriteString(", after fail-over")
	}
	return b.String()
}

func (r *Request) operation() string {
	switch r.MessageType {
	case ibnbd.TypeSessInfo:
		return "SESS_INFO"
	case ibnbd.TypeOpen:
		m, _ := ibnbd.ParseOpenRequest(r.Header)
		return fmt.Sprintf("OPEN %q %v", m.DevicePath.String(), m.AccessMode)
	case ibnbd.TypeClose:
		m, _ := ibnbd.ParseCloseRequest(r.Header)
		return fmt.Sprintf("CLOSE device %d", m.DeviceID)
	case ibnbd.TypeIO:
		if r.HasIO {
			return ioText(r.IO)
		}
	}
	if !r.Parsed {
		return fmt.Sprintf("request of %d bytes that is not known", r.Length)
	}
	return fmt.Sprintf("request of unknown type %d, %d bytes of data", r.MessageType, r.DataLen)
}

func ioText(m ibnbd.IORequest) string {
	op := strings.ToUpper(m.Op().String())
	if m.Op() == ibnbd.OpFlush {
		return fmt.Sprintf("%s of device %d", op, m.DeviceID)
	}
	return fmt.Sprintf("%s %d bytes at sector %d of device %d", op, m.Size, m.Sector, m.DeviceID)
}

func (e *Event) answerText() string {
	a := &e.Response
	if e.Request == nil {
		return fmt.Sprintf("answer to permit %d, whose request was not seen, status %v", a.ID, status(a.Errno))
	}
	text := fmt.Sprintf("%s, answered %s, status %s", e.Request.text(), after(a.Latency), status(a.Errno))
	if e.Request.MessageType == ibnbd.TypeOpen && a.Errno == 0 {
		if m, err := ibnbd.ParseOpenResponse(a.Body); err == nil {
			text += fmt.Sprintf(", device %d of %d sectors", m.DeviceID, m.Capacity)
		}
	}
	return text
}

func status(e ibtrs.Errno) string {
	if e == 0 {
		return "0"
	}
	return fmt.Sprintf("-%d (%v)", uint16(e), e)
}

// shortTime gives a time with about three digits.
func shortTime(d time.Duration) string {
	switch {
	case d >= 100*time.Second:
		return d.Round(time.Second).String()
	case d >= time.Second:
		return fmt.Sprintf("%.2f s", d.Seconds())
	case d >= time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
	}
	return fmt.Sprintf("%d us", d.Microseconds())
}

func (e *Event) beatText() string {
	if e.Kind == Heartbeat {
		if e.Beat.HasSince && e.Beat.Since >= 0 {
			return fmt.Sprintf("heartbeat of the %s, %s after the last", e.From, shortTime(e.Beat.Since))
		}
		return fmt.Sprintf("heartbeat of the %s", e.From)
	}
	if e.Beat.Expected {
		return fmt.Sprintf("heartbeat acknowledged by the %s %s", e.From, after(e.Beat.Since))
	}
	return fmt.Sprintf("acknowledgement of the %s for a heartbeat that was not seen", e.From)
}

func (m *Message) text() string {
	text := [...]string{
		roce.OperationSend: "SEND", roce.OperationWrite: "RDMA WRITE", roce.OperationReadRequest: "RDMA READ",
		roce.OperationCompareSwap: "atomic", roce.OperationFetchAdd: "atomic", roce.OperationAtomicWrite: "atomic write",
	}[m.Operation]
	if text == "" {
		text = "other operation"
	}
	text += fmt.Sprintf(" of %d bytes", max(m.Length, int(m.DMALen)))
	if m.HasImm {
		text += fmt.Sprintf(" with immediate %#08x (%v)", m.Immediate, ibtrs.Immediate(m.Immediate))
	}
	if m.Invalidates {
		text += fmt.Sprintf(" that invalidates key %#x", m.InvalidKey)
	}
	return text
}

func (e *Event) srpText() string {
	switch e.Kind {
	case ChannelUp:
		return "channel is up"
	case CommandAnswered:
		return e.commandText()
	case CommandUnanswered:
		return e.Command.text() + ", not answered before the channel was closed"
	case TaskManagementAnswered:
		code, _ := e.Answer.Response.ResponseCode()
		return fmt.Sprintf("%v on LUN %v, answered %s, response code %d", e.Command.Task.Function, e.Command.LUN, after(e.Answer.Latency), code)
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
	return e.Kind.String()
}

func (e *Event) commandText() string {
	r := e.Answer.Response
	text := fmt.Sprintf("%s, answered %s, status %d", e.Command.text(), after(e.Answer.Latency), r.Status)
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
