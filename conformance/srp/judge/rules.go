// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"math/bits"
	"slices"
	"time"

	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/reference/layout"
	"github.com/ibnbd/ibnbd/reference/srp"
)

var (
	loginReqCMLayout = srp.Layout.MustMessage("login_req_cm")
	cmdLayout        = srp.Layout.MustMessage("cmd")
	tskMgmtLayout    = srp.Layout.MustMessage("tsk_mgmt")
	credRspLayout    = srp.Layout.MustMessage("cred_rsp")
)

// unitRules judge units, data and credits.
var unitRules = []rule{
	{"SRP-LOGIN-004", on(audit.ConnectionRequest, CommandSent, TaskManagement, CreditResponse), checkSRPReserved},
	{"SRP-LOGIN-009", on(CommandSent, TaskManagement), func(e *Event, r *audit.Ruling) {
		if m := e.Channel.Login; m.HasRequest {
			if !r.Kept(e.Message.Length <= int(m.Request.RequestedIULength) && m.Request.RequestedIULength >= srp.MinIULength) {
				r.Breaks("unit has %d bytes, the login asked for %d", e.Message.Length, m.Request.RequestedIULength)
			}
		}
	}},
	{"SRP-LOGIN-010", on(CommandSent, TaskManagement), func(e *Event, r *audit.Ruling) {
		if m := e.Channel.Login; m.HasResponse {
			if !r.Kept(e.Message.Length <= int(m.Response.MaxInitiatorIULength)) {
				r.Breaks("unit has %d bytes, the target takes %d", e.Message.Length, m.Response.MaxInitiatorIULength)
			}
		}
	}},
	{"SRP-LOGIN-012", on(CommandAnswered, TaskManagementAnswered, UnknownAnswer, CreditRequest, AsyncEvent, Logout), func(e *Event, r *audit.Ruling) {
		if m := e.Channel.Login; m.HasResponse && e.From == audit.Target {
			if !r.Kept(e.Message.Length <= int(m.Response.MaxTargetIULength)) {
				r.Breaks("unit has %d bytes, the target announced %d at most", e.Message.Length, m.Response.MaxTargetIULength)
			}
		}
	}},
	{"SRP-LOGIN-036", on(CommandSent), func(e *Event, r *audit.Ruling) {
		m, c := e.Channel.Login, e.Command
		if !m.HasResponse {
			return
		}
		for _, f := range []srp.Format{c.OutFormat, c.InFormat} {
			listed, has := map[srp.Format]uint16{srp.Direct: srp.FormatsDirect, srp.Indirect: srp.FormatsIndirect}[f]
			if has && !r.Kept(m.Response.SupportedFormats&listed != 0) {
				r.Breaks("buffer format %d is used, the login response lists %#04x", f, m.Response.SupportedFormats)
			}
		}
	}},
	{"SRP-CH-002", on(CommandAnswered, TaskManagementAnswered, UnknownAnswer), checkSameChannel},
	{"SRP-CMD-001", on(CommandSent), formatted(srp.NoData, srp.NoData, func(e *Event, r *audit.Ruling) {
		if !r.Kept(e.Message.Length == srp.CmdSize+additionalCDB(e)) {
			r.Breaks("command without data has %d bytes", e.Message.Length)
		}
	})},
	{"SRP-CMD-002", on(CommandSent), formatted(srp.NoData, srp.Direct, checkDirectSize)},
	{"SRP-CMD-003", on(CommandSent), formatted(srp.Direct, srp.NoData, checkDirectSize)},
	{"SRP-CMD-004", on(CommandSent), func(e *Event, r *audit.Ruling) {
		if len(e.Unit) >= srp.CmdSize {
			end := srp.CmdSize + additionalCDB(e)
			if !r.Kept(end <= e.Message.Length) {
				r.Breaks("the additional command block ends at byte %d of %d", end, e.Message.Length)
			}
		}
	}},
	{"SRP-CMD-005", on(CommandSent), func(e *Event, r *audit.Ruling) {
		const variableLength = 0x7F
		if c := e.Command; c.OpCode() == variableLength && len(e.Unit) >= srp.CmdSize {
			want := (int(c.CDB[7]) + 8 - 16 + 3) &^ 3
			if !r.Kept(additionalCDB(e) == want) {
				r.Breaks("command block of %d bytes has %d additional bytes", int(c.CDB[7])+8, additionalCDB(e))
			}
		}
	}},
	{"SRP-CMD-006", on(CommandSent), func(e *Event, r *audit.Ruling) {
		if c := e.Command; c.ParseError == nil && (c.OutFormat == srp.Indirect || c.InFormat == srp.Indirect) {
			want := srp.CmdSize + additionalCDB(e) + descriptorBytes(c.OutFormat, e.Unit[6]) + descriptorBytes(c.InFormat, e.Unit[7])
			if !r.Kept(e.Message.Length == want) {
				r.Breaks("command with %d and %d list entries has %d bytes, not %d", e.Unit[6], e.Unit[7], e.Message.Length, want)
			}
		}
	}},
	{"SRP-CMD-007", on(CommandSent), func(e *Event, r *audit.Ruling) {
		if c := e.Command; c.OutFormat == srp.Indirect || c.InFormat == srp.Indirect {
			if !r.Kept(c.ParseError == nil) {
				r.Breaks("%v", c.ParseError)
			}
		}
	}},
	{"SRP-CMD-010", on(CommandSent), checkImmediateData},
	{"SRP-CMD-011", on(CommandSent), func(e *Event, r *audit.Ruling) {
		if padding, ok := immediatePadding(e); ok {
			if !r.Kept(allZero(padding)) {
				r.Breaks("the %d bytes between descriptor and immediate data are % x", len(padding), padding)
			}
		}
	}},
	{"SRP-CMD-014", on(CommandSent, TaskManagement), func(e *Event, r *audit.Ruling) {
		if e.Command.TagBusy {
			r.BreaksUnlessMissed([]audit.Stream{e.Flow.Back()}, e.Seq, "tag %v is in use", e.Command.Tag)
			return
		}
		r.Holds()
	}},
	{"SRP-CMD-015", on(CommandAnswered, UnknownAnswer), checkTag},
	{"SRP-CMD-016", on(CommandSent), func(e *Event, r *audit.Ruling) {
		_, ok := e.Command.LUN.Number()
		if !r.Kept(ok) {
			r.Breaks("LUN is %v", e.Command.LUN)
		}
	}},
	{"SRP-CRED-001", on(CommandSent, TaskManagement), func(e *Event, r *audit.Ruling) {
		if c := e.Command; c.LimitKnown {
			credit(e, r, c.Limit >= 1, "request is sent with a request limit of %d", c.Limit)
		}
	}},
	{"SRP-CRED-002", on(CommandAnswered, audit.ReceiverNotReady), func(e *Event, r *audit.Ruling) {
		switch {
		case e.Channel == nil:
		case e.Kind == CommandAnswered:
			r.Holds()
		case e.From == audit.Target && e.Channel.limitSure && e.Channel.limit >= 0 && e.Channel.answered:
			r.Breaks("the target is not ready for a request that it gave credit for: %v", e.Syndrome)
		}
	}},
	{"SRP-CRED-004", on(CommandSent), func(e *Event, r *audit.Ruling) {
		if c := e.Command; c.LimitKnown && c.Limit >= 1 {
			credit(e, r, c.Limit >= 2, "command takes the last credit")
		}
	}},
	{"SRP-CRED-006", on(CreditResponse), checkCreditAnswer},
	{"SRP-CRED-007", on(AsyncEventResponse), checkCreditAnswer},
	{"SRP-CRED-012", on(CommandSent), func(e *Event, r *audit.Ruling) {
		if c := e.Command; e.Channel.Login.Again && c.LimitKnown {
			credit(e, r, c.Limit >= 1, "after a new login, request is sent with a request limit of %d", c.Limit)
		}
	}},
	{"SRP-CRED-013", on(CreditRequest, AsyncEvent), func(e *Event, r *audit.Ruling) {
		if n := len(e.Channel.credReqs); n > 1 {
			r.BreaksUnlessMissed([]audit.Stream{e.Flow.Back()}, audit.Always, "%d requests of the target wait for their response", n)
			return
		}
		r.Holds()
	}},
	{"SRP-DATA-001", on(DataMoved), func(e *Event, r *audit.Ruling) {
		if e.From == audit.Target {
			r.Holds()
			return
		}
		r.Breaks("the initiator moves data by RDMA")
	}},
	{"SRP-DATA-002", on(DataMoved), func(e *Event, r *audit.Ruling) {
		m := e.Move
		switch {
		case e.From != audit.Target || m.Length == 0 || m.Late:
		case m.Inside:
			r.Holds()
		case m.Known && !e.Message.HeadMissing && e.Flow.Back() != nil && e.Flow.Back().Started():
			r.BreaksUnlessMissed([]audit.Stream{e.Flow.Back()}, audit.Always, "RDMA of %d bytes at %#x, key %#x, is outside the memory of every command", m.Length, m.Address, m.Key)
		}
	}},
	{"SRP-DATA-003", on(DataMoved, audit.ReadOverrun), func(e *Event, r *audit.Ruling) {
		switch {
		case e.Channel == nil:
		case e.Kind == audit.ReadOverrun:
			r.Breaks("%d RDMA READs are under way, the login granted %d", e.Packets, e.Connection.Request.ResponderResources)
		case e.Move.Read:
			r.Holds()
		}
	}},
	{"SRP-DATA-006", on(DataMoved), checkLateData},
	{"SRP-LOGOUT-001", on(audit.DisconnectReply), checkOrderlyLogout},
	{"SRP-LOGOUT-002", on(CommandAnswered, UnknownAnswer, audit.DisconnectRequest), func(e *Event, r *audit.Ruling) {
		ch := e.Channel
		switch {
		case ch == nil || ch.loggedOut != audit.Initiator:
		case e.Kind == audit.DisconnectRequest:
			r.Holds()
		case e.From == audit.Target && e.Kind == UnknownAnswer && e.Flow.Back() != nil && e.Flow.Back().CleanSince(audit.Always):
			r.Breaks("SRP_RSP after SRP_I_LOGOUT") // the logout is the last request: all before it were seen
		}
	}},
	{"SRP-LOGOUT-009", on(CommandSent, TaskManagement, CreditResponse, AsyncEventResponse, CommandAnswered, TaskManagementAnswered,
		UnknownAnswer, CreditRequest, AsyncEvent, audit.DisconnectRequest), func(e *Event, r *audit.Ruling) {
		switch ch := e.Channel; {
		case ch == nil || ch.loggedOut == audit.Nobody:
		case e.Kind == audit.DisconnectRequest:
			r.HoldsFor(ch.loggedOut)
		case e.From == ch.loggedOut:
			r.Breaks("%v behind a logout of the %s", e.Kind, e.From)
		}
	}},
	{"SRP-LOGOUT-004", on(audit.DisconnectReply, CommandSent), checkTargetDisconnect},
	{"SRP-RSP-001", on(CommandAnswered), func(e *Event, r *audit.Ruling) {
		if a := e.Answer; a.Response.Status == 0 && a.Response.Flags == 0 {
			if !r.Kept(a.Size == srp.RspSize) {
				r.Breaks("good response has %d bytes", a.Size)
			}
		}
	}},
	{"SRP-RSP-002", on(CommandAnswered), func(e *Event, r *audit.Ruling) {
		a, m := e.Answer, &e.Answer.Response
		if m.Flags&srp.SenseValid != 0 || m.SenseLength > 0 {
			want := uint64(srp.RspSize) + uint64(m.ResponseLength) + uint64(m.SenseLength)
			if !r.Kept(m.Flags&srp.SenseValid != 0 && m.SenseLength > 0 && uint64(a.Size) == want) {
				r.Breaks("response of %d bytes has flags %#02x, %d bytes of sense and %d of response data",
					a.Size, uint8(m.Flags), m.SenseLength, m.ResponseLength)
			}
		}
	}},
	{"SRP-RSP-005", on(CommandAnswered), checkUnderflowIn},
	{"SRP-RSP-006", on(CommandAnswered), checkUnderflowOut},
	{"SRP-RSP-007", on(CommandAnswered), func(e *Event, r *audit.Ruling) {
		m := &e.Answer.Response
		if over := m.Flags & (srp.DataInOver | srp.DataOutOver); over != 0 {
			count := m.DataInResidual
			if over&srp.DataOutOver != 0 {
				count = m.DataOutResidual
			}
			if !r.Kept(count > 0) {
				r.Breaks("overflow of 0 bytes, flags %#02x", uint8(m.Flags))
			}
		}
	}},
	{"SRP-RSP-014", on(CommandAnswered, DataMoved), checkDataFirst},
	{"SRP-TM-001", on(TaskManagement), func(e *Event, r *audit.Ruling) {
		c := e.Command
		if c.Task.Function != srp.AbortTask {
			return
		}
		if managed := e.Channel.commands[c.Task.ManagedTag]; managed != nil && managed != c {
			if !r.Kept(managed.LUN == c.LUN) {
				r.Breaks("abort of a command on LUN %v names LUN %v", managed.LUN, c.LUN)
			}
		}
	}},
	{"SRP-TM-002", on(TaskManagementAnswered, CommandAnswered), func(e *Event, r *audit.Ruling) {
		switch {
		case e.Kind == CommandAnswered && e.Command.aborted:
			r.Breaks("response to a command whose abort was answered with success")
		case e.Kind == TaskManagementAnswered && e.Command.Task.Function == srp.AbortTask && e.Command.Managed:
			if code, ok := e.Answer.Response.ResponseCode(); ok && code == srp.ResponseOK {
				r.Holds()
			}
		}
	}},
	{"SRP-TM-006", on(TaskManagementAnswered), func(e *Event, r *audit.Ruling) {
		m := &e.Answer.Response
		if !r.Kept(m.Flags&srp.RspValid != 0 && m.ResponseLength == srp.ResponseDataSize && e.Answer.Size == srp.RspSize+srp.ResponseDataSize) {
			r.Breaks("answer has %d bytes, flags %#02x and %d bytes of response data", e.Answer.Size, uint8(m.Flags), m.ResponseLength)
		}
	}},
	{"SRP-TM-009", on(TaskManagement), func(e *Event, r *audit.Ruling) {
		c := e.Connection
		closed := c.State == audit.Disconnecting || c.State == audit.Disconnected
		if closed {
			if _, known := r.Elapsed(c.ClosedAt); !known || e.Message.FirstAt.Sub(c.ClosedAt) < time.Second {
				return
			}
		}
		if !r.Kept(!closed) {
			r.Breaks("task management on a channel that was closed")
		}
	}},
}

// rule decides one clause.
type rule struct {
	clause string
	on     []audit.Kind
	check  func(e *Event, r *audit.Ruling)
}

func on(kinds ...audit.Kind) []audit.Kind { return kinds }

// acrossChannels are the clauses that depend on what comes first on which channel of a nexus.
var acrossChannels = map[string]bool{
	"SRP-CH-001": true, "SRP-CH-002": true, "SRP-LOGIN-028": true, "SRP-RECON-004": true, "SRP-RECON-005": true, "SRP-RECON-028": true,
}

// rules are all rules as the engine wants them.
func rules() []audit.Rule {
	var all []audit.Rule
	for _, r := range slices.Concat(loginRules, unitRules) {
		known := audit.Rule{Clause: r.clause, On: r.on, Check: func(e *audit.Event, ruling *audit.Ruling) { r.check(Of(e), ruling) }}
		if acrossChannels[r.clause] {
			known.Across = func(*audit.Event) bool { return true }
		}
		all = append(all, known)
	}
	return all
}

func additionalCDB(e *Event) int { return int(e.Unit[31] &^ 3) }

func descriptorBytes(f srp.Format, entries byte) int {
	switch f {
	case srp.Direct:
		return 16
	case srp.Indirect:
		return 20 + 16*int(entries)
	case srp.Immediate:
		return 4
	}
	return 0
}

// formatted lets only commands pass with these two formats.
func formatted(out, in srp.Format, check func(*Event, *audit.Ruling)) func(*Event, *audit.Ruling) {
	return func(e *Event, r *audit.Ruling) {
		if e.Command.OutFormat == out && e.Command.InFormat == in && len(e.Unit) >= srp.CmdSize {
			check(e, r)
		}
	}
}

func checkDirectSize(e *Event, r *audit.Ruling) {
	want := srp.CmdSize + additionalCDB(e) + 16
	if !r.Kept(e.Message.Length == want) {
		r.Breaks("command with a direct descriptor has %d bytes, not %d", e.Message.Length, want)
	}
}

func checkSRPReserved(e *Event, r *audit.Ruling) {
	var set []layout.NonZero
	switch {
	case e.Kind == audit.ConnectionRequest && e.Channel == nil:
		return
	case e.Kind == audit.ConnectionRequest:
		set = loginReqCMLayout.ReservedSet(e.Private)
	case e.Kind == CommandSent:
		set = cmdLayout.ReservedSet(e.Unit)
	case e.Kind == TaskManagement:
		set = tskMgmtLayout.ReservedSet(e.Unit)
	default:
		set = credRspLayout.ReservedSet(e.Unit)
	}
	if !r.Kept(len(set) == 0) {
		r.Breaks("not zero: %s", audit.ReservedText(set))
	}
}

// credit blames for a request without credit, unless a response with credit was missed.
func credit(e *Event, r *audit.Ruling, ok bool, format string, args ...any) {
	switch {
	case ok:
		r.Holds()
	case e.Flow.Back() != nil:
		r.BreaksUnlessMissed([]audit.Stream{e.Flow.Back()}, e.Seq, format, args...)
	}
}

func checkSameChannel(e *Event, r *audit.Ruling) {
	if e.Kind != UnknownAnswer {
		r.Holds()
		return
	}
	n := e.Channel.nexus
	if n == nil || e.Flow.Back() == nil {
		return
	}
	for _, other := range n.channels {
		if c := other.commands[e.Answer.Response.Tag]; other != e.Channel && c != nil && other.epoch == c.epoch {
			r.BreaksUnlessMissed([]audit.Stream{e.Flow.Back()}, audit.Always, "answer to tag %v, which came on channel %d", c.Tag, other.conn.ID)
			return
		}
	}
}

func checkTag(e *Event, r *audit.Ruling) {
	switch {
	case e.Kind == CommandAnswered:
		r.Holds()
	case e.Flow.Back() == nil || !e.Flow.Back().Started() || e.Channel.blind > 0 || len(e.Unit) < srp.RspSize:
		r.Unsure("answer to tag %v, whose request was not seen", e.Answer.Response.Tag)
	default:
		r.BreaksUnlessMissed([]audit.Stream{e.Flow.Back()}, audit.Always, "answer has tag %v, which no request had", e.Answer.Response.Tag)
	}
}

func checkImmediateData(e *Event, r *audit.Ruling) {
	c := e.Command
	if c.OutFormat != srp.Immediate || !e.Channel.Login.HasResponse {
		return
	}
	granted := e.Channel.Login.Response.Flags&srp.LoginImmediate != 0
	want := int(e.Channel.Login.Request.ImmediateOffset) + c.Out
	if !r.Kept(granted && c.ParseError == nil && c.InFormat == srp.NoData && e.Message.Length == want) {
		r.Breaks("immediate data, granted: %v, %d bytes in a unit of %d: %v", granted, c.Out, e.Message.Length, c.ParseError)
	}
}

// immediatePadding returns the bytes between the descriptor and the data of a command with immediate data.
func immediatePadding(e *Event) ([]byte, bool) {
	c := e.Command
	if c.OutFormat != srp.Immediate || c.ParseError != nil {
		return nil, false
	}
	from, to := srp.CmdSize+additionalCDB(e)+4, int(e.Channel.Login.Request.ImmediateOffset)
	if from > to || to > len(e.Unit) {
		return nil, false
	}
	return e.Unit[from:to], true
}

func allZero(b []byte) bool {
	for _, v := range b {
		if v != 0 {
			return false
		}
	}
	return true
}

func checkCreditAnswer(e *Event, r *audit.Ruling) {
	switch {
	case e.Again:
		r.Holds()
	case e.Channel.forgotten: // it may answer one of those
	case e.Flow.Back() != nil && e.Flow.Back().Started():
		r.BreaksUnlessMissed([]audit.Stream{e.Flow.Back()}, audit.Always, "%v to a request that the target did not make", e.Kind)
	}
}

func checkLateData(e *Event, r *audit.Ruling) {
	m := e.Move
	switch {
	case e.From != audit.Target || m.Length == 0:
	case m.Inside:
		r.Holds()
	case m.Late && m.Known && e.Flow.Back() != nil && e.Flow.Back().Started():
		r.BreaksUnlessMissed([]audit.Stream{e.Flow.Back()}, e.Seq, "RDMA of %d bytes at %#x, key %#x, for a command that was answered", m.Length, m.Address, m.Key)
	}
}

// checkOrderlyLogout: an initiator that ends a channel that works says so first. Behind a logout of the target it must not, and a
// port that has lost a channel closes the others without.
func checkOrderlyLogout(e *Event, r *audit.Ruling) {
	c, ch := e.Connection, e.Channel
	if ch == nil || !ch.up || c.Closer != audit.Initiator || len(ch.commands) > 0 || ch.loggedOut == audit.Target {
		return
	}
	if ch.nexus != nil && ch.nexus.disturbed() {
		return
	}
	if since, known := r.Elapsed(c.ClosedAt); !known || since > time.Second {
		return
	}
	requests := c.Flow(audit.Initiator)
	if requests == nil || !requests.Started() || !requests.CleanSince(1) || !requests.AllTaken() {
		return // the queue pair may not have worked any more
	}
	if ch.loggedOut == audit.Initiator {
		r.Holds()
		return
	}
	r.Breaks("the initiator closes the channel without SRP_I_LOGOUT")
}

func checkTargetDisconnect(e *Event, r *audit.Ruling) {
	c := e.Connection
	if e.Channel == nil || c.Closer != audit.Target {
		return
	}
	if e.Kind == audit.DisconnectReply && e.From == audit.Initiator {
		r.Holds()
		return
	}
	if e.Kind != CommandSent {
		return
	}
	if _, known := r.Elapsed(c.ClosedAt); known && e.Message.FirstAt.Sub(c.ClosedAt) > time.Second {
		r.Breaks("command %s after the target closed the channel", audit.ShortTime(e.Message.FirstAt.Sub(c.ClosedAt)))
	}
}

func checkUnderflowIn(e *Event, r *audit.Ruling) {
	c, m := e.Command, &e.Answer.Response
	if c.In <= 0 || c.InFormat == srp.NoData || e.Answer.DataUnsure || m.Status != 0 || m.Flags&(srp.DataInOver|srp.RspValid) != 0 || e.Answer.ParseError != nil {
		return
	}
	missing := uint64(c.In) - min(c.MovedIn, uint64(c.In))
	flagged, residual := m.Flags&srp.DataInUnder != 0, uint64(m.DataInResidual)
	switch {
	case missing == 0 && !flagged:
	case flagged && residual > 0 && residual >= missing && residual <= uint64(c.In): // a target may fill up the buffer
		r.Holds()
	default:
		r.Breaks("%d of %d bytes were written, underflow flag: %v, residual %d", c.MovedIn, c.In, flagged, m.DataInResidual)
	}
}

func checkUnderflowOut(e *Event, r *audit.Ruling) {
	c, m := e.Command, &e.Answer.Response
	if c.Out <= 0 || e.Answer.DataUnsure || m.Status != 0 || m.Flags&(srp.DataOutOver|srp.RspValid) != 0 || e.Answer.ParseError != nil || c.OutFormat == srp.Immediate {
		return
	}
	missing := uint64(c.Out) - min(c.MovedOut, uint64(c.Out))
	flagged, residual := m.Flags&srp.DataOutUnder != 0, uint64(m.DataOutResidual)
	switch {
	case missing == 0 && !flagged:
	case flagged && residual > 0 && residual >= missing && residual <= uint64(c.Out): // a target may fill up the buffer
		r.Holds()
	default:
		r.Breaks("%d of %d bytes were fetched, underflow flag: %v, residual %d", c.MovedOut, c.Out, flagged, m.DataOutResidual)
	}
}

// checkDataFirst: all data of a command is written before its response.
func checkDataFirst(e *Event, r *audit.Ruling) {
	if e.Kind == CommandAnswered {
		if e.Command.MovedIn > 0 {
			r.Holds()
		}
		return
	}
	if m := e.Move; !m.Read && m.Late && m.Known && m.Length > 0 && e.From == audit.Target && e.Flow.Back() != nil && e.Flow.Back().Started() {
		r.BreaksUnlessMissed([]audit.Stream{e.Flow.Back()}, e.Seq, "RDMA WRITE of %d bytes at %#x comes after the response", m.Length, m.Address)
	}
}

// littleEndian reports whether a number makes sense only in the other byte order.
func littleEndian(n, least, most uint32) bool {
	other := bits.ReverseBytes32(n)
	return (n < least || n > most) && other >= least && other <= most
}
