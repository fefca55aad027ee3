// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"fmt"
	"strings"

	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/roce"
)

// InTimeline reports whether the event belongs into a timeline: a request comes again in its answer.
func (e *Event) InTimeline() bool { return e.Kind != RequestSent }

// SessionName is the session's name, or its group UUID while the name is unknown; "" if there is no session.
func (e *Event) SessionName() string {
	if e.Session == nil {
		return ""
	}
	return e.Session.String()
}

// PathName gives "10.0.0.2 to 10.0.0.1", "" if there is no path.
func (e *Event) PathName() string {
	if e.Path == nil {
		return ""
	}
	return e.Path.String()
}

// Place names session, path and connection.
func (e *Event) Place() string {
	if e.Session == nil || e.Path == nil {
		return ""
	}
	place := fmt.Sprintf("session %s, path %s", e.Session, e.Path)
	if cid := e.CID(); cid >= 0 {
		place += fmt.Sprintf(", connection %d", cid)
	}
	return place
}

// Text says what happened.
func (e *Event) Text() string {
	switch e.Kind {
	case audit.ConnectionRequest:
		return e.requestText()
	case audit.ConnectionReply:
		return e.replyText()
	case audit.ConnectionReject:
		return e.rejectText()
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
		return fmt.Sprintf("stray message of the %s: %s", e.From, messageText(e.Message))
	}
	return ""
}

func (e *Event) by() string {
	if e.From == audit.Nobody {
		return ""
	}
	return ", closed by the " + e.From.String()
}

func (e *Event) requestText() string {
	r := e.ConnRequest
	text := fmt.Sprintf("connection request, %d of %d, incarnation %d", r.CID, r.ConnectionCount, r.Incarnation)
	if e.ParseError != nil {
		text += ": " + e.ParseError.Error()
	}
	return text
}

func (e *Event) replyText() string {
	r := e.ConnResponse
	refresh := "off"
	if r.Flags&ibtrs.KeyRefresh != 0 {
		refresh = "on"
	}
	return fmt.Sprintf("accepted, queue depth %d, max I/O size %d, max header size %d, key refresh %s", r.QueueDepth, r.MaxIOSize, r.MaxHeaderSize, refresh)
}

func (e *Event) rejectText() string {
	if e.RejectReason != roce.RejConsumer || e.ParseError != nil {
		return e.Plain()
	}
	return fmt.Sprintf("%s, errno %s", e.Plain(), errnoOf(e.ConnResponse))
}

// errnoOf is the name of the error number of a response to a connection request, and the number itself where it names no error.
func errnoOf(r ibtrs.ConnResponse) string {
	if r.Errno < 0 {
		return r.Rejection().String()
	}
	return fmt.Sprint(r.Errno)
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
	text := fmt.Sprintf("%s, answered %s, status %s", e.Request.text(), audit.After(a.Latency), status(a.Errno))
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
	return e.String()
}

func (e *Event) beatText() string {
	if e.Kind == Heartbeat {
		if e.Beat.HasSince && e.Beat.Since >= 0 {
			return fmt.Sprintf("heartbeat of the %s, %s after the last", e.From, audit.ShortTime(e.Beat.Since))
		}
		return fmt.Sprintf("heartbeat of the %s", e.From)
	}
	if e.Beat.Expected {
		return fmt.Sprintf("heartbeat acknowledged by the %s %s", e.From, audit.After(e.Beat.Since))
	}
	return fmt.Sprintf("acknowledgement of the %s for a heartbeat that was not seen", e.From)
}

// messageText describes a message that has no place in the protocol.
func messageText(m *audit.Message) string {
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
