// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"time"

	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/reference/roce"
	"github.com/ibnbd/ibnbd/reference/srp"
)

const multiChannel = 0x03 // bits of the login flags

// loginRules judge logins, and that reconnects are made one at a time.
var loginRules = []rule{
	{"SRP-LOGIN-001", on(audit.ConnectionRequest), ofLogin(func(e *Event, r *audit.Ruling) {
		if _, _, ok := e.Connection.Request.ServiceID.IP(); ok {
			if !r.Kept(len(e.Private) == srp.LoginReqCMSize && e.Login.Request.Type == srp.TypeLoginReq) {
				r.Breaks("login request has %d bytes and type %#02x", len(e.Private), e.Login.Request.Type)
			}
		}
	})},
	{"SRP-LOGIN-003", on(audit.ConnectionRequest, audit.ConnectionReply), ofLogin(func(e *Event, r *audit.Ruling) {
		n, what := e.Login.Request.RequestedIULength, "requested IU length"
		if e.Kind == audit.ConnectionReply {
			n, what = e.Login.Response.MaxInitiatorIULength, "maximum IU length"
		}
		if e.Kind == audit.ConnectionReply && !e.Login.HasResponse {
			return
		}
		if !r.Kept(!littleEndian(n, srp.MinIULength, 1<<20)) {
			r.Breaks("%s %#08x has its bytes in the wrong order", what, n)
		}
	})},
	{"SRP-LOGIN-013", on(audit.ConnectionReply, audit.ConnectionReject), ofLogin(func(e *Event, r *audit.Ruling) {
		tag, has := e.Login.Response.Tag, e.Login.HasResponse
		if e.Kind == audit.ConnectionReject {
			tag, has = e.Login.Reject.Tag, e.Login.HasReject
		}
		if has {
			if !r.Kept(tag == e.Login.Request.Tag) {
				r.Breaks("answer to login tag %v has tag %v", e.Login.Request.Tag, tag)
			}
		}
	})},
	{"SRP-LOGIN-020", on(audit.ConnectionReject), ofLogin(func(e *Event, r *audit.Ruling) {
		if e.From != audit.Target || e.Login.HasResponse { // what was accepted is no login any more
			return
		}
		switch {
		case e.RejectReason == roce.RejConsumer:
			if !r.Kept(e.Login.HasReject && allZero(e.Private[srp.LoginRejSize:])) {
				r.Breaks("reject with reason 28 is no SRP_LOGIN_REJ of 32 bytes: %v", e.ParseError)
			}
		case e.Login.HasReject:
			r.Breaks("SRP_LOGIN_REJ comes with reason %v", e.RejectReason)
		}
	})},
	{"SRP-LOGIN-028", on(audit.ConnectionReply), ofLogin(func(e *Event, r *audit.Ruling) {
		m := e.Login
		if m.HasResponse && m.OthersSure && m.settled {
			if !r.Kept(m.Response.Flags&multiChannel == srp.ChannelsNone) {
				r.Breaks("first login is answered with flags %#02x", m.Response.Flags)
			}
		}
	})},
	{"SRP-LOGIN-030", on(audit.ConnectionRequest), ofLogin(func(e *Event, r *audit.Ruling) {
		if m := e.Login.Request; m.Flags&srp.LoginImmediate != 0 {
			if !r.Kept(m.ImmediateOffset >= srp.MinImmediateOffset) {
				r.Breaks("immediate data is asked for at offset %d", m.ImmediateOffset)
			}
		}
	})},
	{"SRP-LOGIN-031", on(audit.ConnectionReply), ofLogin(func(e *Event, r *audit.Ruling) {
		if m := e.Login; m.HasResponse && m.Response.Flags&srp.LoginImmediate != 0 {
			q := m.Request
			ok := q.Flags&srp.LoginImmediate != 0 && q.ImmediateOffset >= srp.MinImmediateOffset && uint32(q.ImmediateOffset) < m.Response.MaxInitiatorIULength
			if !r.Kept(ok) {
				r.Breaks("immediate data is granted, the request had flags %#02x and offset %d", q.Flags, q.ImmediateOffset)
			}
		}
	})},
	{"SRP-LOGIN-032", on(audit.ConnectionRequest), ofLogin(func(e *Event, r *audit.Ruling) {
		if space, _, ok := e.Connection.Request.ServiceID.IP(); ok {
			if !r.Kept(space == roce.PortSpaceTCP) {
				r.Breaks("service id is %v", e.Connection.Request.ServiceID)
			}
		}
	})},
	{"SRP-CH-001", on(audit.ConnectionRequest), ofLogin(func(e *Event, r *audit.Ruling) {
		m := e.Login
		switch action := m.Request.Flags & multiChannel; {
		case action == srp.ChannelSingle || action == srp.ChannelMultiple && m.Others > 0:
			r.Holds()
		case action == srp.ChannelMultiple && m.First:
			r.BreaksIfSawAll("the first channel of a login keeps others, flags %#02x", m.Request.Flags)
		case action > srp.ChannelMultiple:
			r.Breaks("multi-channel action is %d", action)
		}
	})},
	{"SRP-RECON-004", on(audit.ConnectionRequest, audit.ConnectionRequestAgain, audit.ConnectionReply, audit.ConnectionReject), overlapping(true)},
	{"SRP-RECON-028", on(audit.ConnectionRequest, audit.ConnectionRequestAgain, audit.ConnectionReply, audit.ConnectionReject), overlapping(false)},
	{"SRP-RECON-005", on(audit.ConnectionRequest, audit.ConnectionRequestAgain), func(e *Event, r *audit.Ruling) {
		if e.Channel == nil || e.Channel.nexus == nil {
			return
		}
		n := e.Channel.nexus
		if e.Kind == audit.ConnectionRequest {
			if n.lastLogin != 0 && e.Connection.ID != n.lastLogin && e.Login.Request.Flags&multiChannel == srp.ChannelSingle {
				r.Holds()
			}
			return
		}
		if n.lastSingle <= e.Connection.ID {
			return
		}
		if since, known := r.Elapsed(n.lastAt); known && since > repetition {
			r.Breaks("REQ of an attempt is sent again %s after the next attempt began", audit.ShortTime(since))
		}
	}},
	{"SRP-RECON-013", on(audit.ConnectionRequest), ofLogin(func(e *Event, r *audit.Ruling) {
		n := e.Channel.nexus
		if n == nil || !e.Login.Again || n.lastQPN == 0 {
			return
		}
		c := e.Connection.Request
		if !r.Kept(c.LocalQPN != n.lastQPN && c.LocalCommID != n.lastComm) {
			r.Breaks("relogin uses queue pair %#x and communication id %#x again", c.LocalQPN, c.LocalCommID)
		}
	})},
}

// ofLogin lets only events of SRP logins pass whose request was seen.
func ofLogin(check func(*Event, *audit.Ruling)) func(*Event, *audit.Ruling) {
	return func(e *Event, r *audit.Ruling) {
		if e.Channel != nil && e.Login != nil && e.Login.HasRequest {
			check(e, r)
		}
	}
}

// repetition is the least time after which the same request again is a repetition by its sender and not a duplicate made
// by the network.
const repetition = 500 * time.Millisecond

// loginKey names an initiator system by the GUID of its port.
type loginKey struct{ guid [8]byte }

// attempts are what the rules remember: the last attempts, of bounded number.
type attempts struct{ logins map[loginKey]*login }

const maxLogins = 8192

// After has nothing to learn.
func (m *attempts) After(*audit.Event) {}

// login is the attempt that an initiator system began last.
type login struct {
	conn    uint64
	nexus   *nexus
	at      time.Time
	open    bool
	again   bool
	overlap *overlap
}

// overlap is an attempt that began while an older one was open. It is proven when the older one shows a sign of life.
type overlap struct {
	older, newer uint64
	at           time.Time
	again        bool
}

// overlapping makes the check that attempts of an initiator system are made one at a time: reconnects, or first logins.
func overlapping(again bool) func(*Event, *audit.Ruling) {
	return func(e *Event, r *audit.Ruling) {
		ch := e.Channel
		if ch == nil || ch.nexus == nil || !ch.Login.HasRequest {
			return
		}
		key := loginKey{[8]byte(ch.Login.Request.InitiatorPort[8:])}
		m := r.Memory().(*attempts).loginsOf(key, again)
		switch e.Kind {
		case audit.ConnectionRequest:
			m.begin(e, r, again)
		case audit.ConnectionRequestAgain:
			m.stillOpen(e, r, again)
		default:
			m.ended(e)
		}
	}
}

func (m *attempts) loginsOf(key loginKey, again bool) *login {
	if again {
		key.guid[0] ^= 0xFF // each rule has its own memory
	}
	l := m.logins[key]
	if l == nil {
		if len(m.logins) >= maxLogins {
			clear(m.logins)
		}
		l = new(login)
		m.logins[key] = l
	}
	return l
}

func (l *login) begin(e *Event, r *audit.Ruling, again bool) {
	isAgain := e.Login.Again
	if !isAgain && (!e.Login.First || !e.Manager.SawAll()) {
		return // whether it is a first login is not known
	}
	if l.open && l.nexus != e.Channel.nexus && (l.again || isAgain) == again {
		l.overlap = &overlap{older: l.conn, newer: e.Connection.ID, at: e.At, again: l.again || isAgain}
	} else if isAgain == again {
		r.Holds()
	}
	l.conn, l.nexus, l.at, l.open, l.again = e.Connection.ID, e.Channel.nexus, e.At, true, isAgain
}

func (l *login) stillOpen(e *Event, r *audit.Ruling, again bool) {
	o := l.overlap
	if o == nil || o.older != e.Connection.ID {
		return
	}
	since, known := r.Elapsed(o.at)
	if !known || since < repetition {
		return
	}
	l.overlap = nil
	r.Breaks("attempt is repeated %s after the attempt of another connection began", audit.ShortTime(since))
}

func (l *login) ended(e *Event) {
	if l.conn == e.Connection.ID {
		l.open = false
	}
}
