// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"math"
	"slices"
	"time"

	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// blockRules judge devices, I/O and sessions as the block layer sees them.
var blockRules = []rule{
	{"IBNBD-OPEN-014", on(RequestAnswered), func(e *Event, r *audit.Ruling) {
		q := e.Request
		if !isMessage(e, ibnbd.TypeIO) || !q.HasIO || q.IO.DeviceID != 0 {
			return
		}
		d, known := e.Session.Device(0)
		switch {
		case e.Response.Errno == 0:
			if known {
				d.served = true
			}
			r.Holds()
		// A device that has served may have been closed by the server's owner since, which no packet tells.
		case known && !d.closed && !d.void && !d.served && e.Response.Errno == ibtrs.ENOTCONN && q.At.After(d.at):
			r.Breaks("device 0 is open, and its first I/O fails with ENOTCONN")
		}
	}},
	{"IBNBD-OPEN-020", on(RequestSent), checkRefusedDevice},
	{"IBNBD-OPEN-021", on(RequestAnswered), func(e *Event, r *audit.Ruling) {
		if m, ok := openReplyOf(e); ok {
			if !r.Kept(m.SecureErase <= 1) {
				r.Breaks("secure erase is %d", m.SecureErase)
			}
		}
	}},
	{"IBNBD-IO-001", on(RequestAnswered), answered(checkTransferred)},
	{"IBNBD-IO-005", on(RequestSent), ofIO(func(e *Event, r *audit.Ruling) {
		if q := e.Request; q.IO.Op() == ibnbd.OpFlush {
			if !r.Kept(q.Direction == ibtrs.Read && q.Count == 0) {
				r.Breaks("flush is a transport %v with %d descriptors", q.Direction, q.Count)
			}
		}
	})},
	{"IBNBD-IO-027", on(RequestSent), ofIO(checkLimits)},
	{"IBNBD-IO-031", on(RequestSent), ofIO(func(e *Event, r *audit.Ruling) {
		d, known := e.Session.Device(e.Request.IO.DeviceID)
		if limit := uint64(0); known && !d.void && !d.closed && d.Response.MaxHWSectors > 0 && e.Request.DataLen > 0 {
			limit = uint64(d.Response.MaxHWSectors) * ibnbd.SectorSize
			if !r.Kept(uint64(e.Request.DataLen) <= limit) {
				r.Breaks("request has %d bytes of data, OPEN_RSP allows %d", e.Request.DataLen, limit)
			}
		}
	})},
	{"IBNBD-OPEN-032", on(InfoRequest), func(e *Event, r *audit.Ruling) {
		if e.Session == nil || e.formerName == "" {
			return
		}
		for _, p := range e.Session.paths {
			if p == e.Path || !p.Connected() {
				continue
			}
			if !r.Kept(e.formerName == e.Session.Name) {
				r.Breaks("a path of session %q brings the name %q", e.formerName, e.Session.Name)
			}
			return
		}
	}},
	{"IBNBD-FAIL-002", on(RequestSent), ofIO(checkDeviceID)},
	{"IBNBD-COMPAT-009", on(RequestSent), ofIO(func(e *Event, r *audit.Ruling) {
		q, s := e.Request, e.Session
		if q.IO.Op() != ibnbd.OpWriteZeroes || !s.hasAgreement {
			return
		}
		switch same := q.DataLen > 0; {
		case s.agreement.Version == 1:
			if !r.Kept(same) {
				r.Breaks("write-zeroes to a server of version 1")
			}
		case s.agreement.Profile == ibnbd.ProfileM:
			if !r.Kept(!same) {
				r.Breaks("write-same to a mainline server")
			}
		default:
			if !r.Kept(!same || s.agreement.WriteSame()) {
				r.Breaks("write-same was not agreed on")
			}
		}
	})},
	{"IBNBD-MSG-005", on(RequestAnswered), func(e *Event, r *audit.Ruling) {
		if isMessage(e, ibnbd.TypeIO) && e.Session.hasAgreement && e.Session.agreement.Version == 1 && e.Request.HeaderLen == 32 && inDevice(e) {
			if !r.Kept(e.Response.Errno != ibtrs.EINVAL) {
				r.Breaks("I/O message of 32 bytes fails with EINVAL")
			}
		}
	}},
	{"IBNBD-SYSFS-035", on(RequestAnswered, InfoRequest), checkOneSession},
	{"IBNBD-SYSFS-036", on(SessionDown, Heartbeat), checkLastDevice},
}

// ofIO lets only I/O messages pass that were captured.
func ofIO(check func(*Event, *audit.Ruling)) func(*Event, *audit.Ruling) {
	return func(e *Event, r *audit.Ruling) {
		if isMessage(e, ibnbd.TypeIO) && e.Request.HasIO {
			check(e, r)
		}
	}
}

func openReplyOf(e *Event) (ibnbd.OpenResponse, bool) {
	if !isMessage(e, ibnbd.TypeOpen) || !e.goodReply() {
		return ibnbd.OpenResponse{}, false
	}
	m, _ := ibnbd.ParseOpenResponse(e.Response.Body)
	return m, m.Type == ibnbd.TypeOpenResponse
}

// checkRefusedDevice: a device with logical blocks of 0 bytes is closed again, and not used.
func checkRefusedDevice(e *Event, r *audit.Ruling) {
	var id uint32
	switch {
	case isMessage(e, ibnbd.TypeClose):
		m, _ := ibnbd.ParseCloseRequest(e.Request.Header)
		id = m.DeviceID
	case isMessage(e, ibnbd.TypeIO) && e.Request.HasIO:
		id = e.Request.IO.DeviceID
	default:
		return
	}
	d, known := e.Session.Device(id)
	if !known || d.closed || d.void || d.Response.LogicalBlockSize != 0 || e.At.Before(d.at) {
		return
	}
	if !r.Kept(e.Request.MessageType == ibnbd.TypeClose) {
		r.Breaks("device %d is used, although its logical block size is 0", id)
	}
}

// checkLimits: operations without data are no longer than OPEN_RSP allows; 0 allows none.
func checkLimits(e *Event, r *audit.Ruling) {
	q, s := e.Request, e.Session
	d, known := s.Device(q.IO.DeviceID)
	if !known || d.void || d.closed || !s.hasAgreement {
		return
	}
	limit, size := uint64(0), uint64(q.IO.Size)
	switch op := q.IO.Op(); {
	case op == ibnbd.OpDiscard:
		limit = uint64(d.Response.MaxDiscardSectors) * ibnbd.SectorSize
	case op == ibnbd.OpWriteZeroes && q.DataLen == 0 && s.agreement.Version > 1: // IBNBD-COMPAT-009
		limit = uint64(d.Response.MaxWriteZeroesSectors) * ibnbd.SectorSize
	case op == ibnbd.OpSecureErase && d.Response.SecureErase != 0:
		limit = math.MaxUint64
	case op != ibnbd.OpSecureErase:
		return
	}
	if size <= limit && limit > 0 {
		r.Holds()
		return
	}
	r.BreaksUnlessMissed([]audit.Stream{d.from}, d.seq, "%v of %d bytes, OPEN_RSP allows %d", q.IO.Op(), size, limit)
}

func checkTransferred(e *Event, r *audit.Ruling) {
	q, a := e.Request, &e.Response
	if !q.HasIO || a.Errno != 0 {
		return
	}
	switch q.IO.Op() {
	case ibnbd.OpWrite:
		if !r.Kept(q.DataLen == int(q.IO.Size)) {
			r.Breaks("write of %d bytes sent %d and succeeded", q.IO.Size, q.DataLen)
		}
	case ibnbd.OpRead:
		if q.Direction == ibtrs.Read && q.Count == 1 {
			if !r.Kept(a.DataLen == int(q.IO.Size)) {
				r.Breaks("read of %d bytes brought %d and succeeded", q.IO.Size, a.DataLen)
			}
		}
	}
}

// checkDeviceID: after the session was lost and came back, device ids are those of the new OPEN_RSP.
func checkDeviceID(e *Event, r *audit.Ruling) {
	s := e.Session
	d, known := s.Device(e.Request.IO.DeviceID)
	if s.lostSeq == 0 || s.connected == 0 || !known {
		return
	}
	if !d.void {
		r.Holds()
		return
	}
	if s.isOpening() {
		return // its answer is on the way
	}
	if e.build != nil && e.build.hasInfo {
		managers := managersOf(s)
		for _, m := range managers {
			if !m.CleanSince(s.firstSeq) {
				r.Unsure("a path that was not seen may have kept the session alive")
				return
			}
		}
		streams := append(answersOf(s), managers...)
		for _, f := range fromInitiators(s) {
			if f != e.Flow {
				streams = append(streams, f)
			}
		}
		r.BreaksUnlessMissed(streams, s.lostSeq, "I/O to device %d, which was opened before the session was lost and not since", d.ID)
	}
}

// isOpening reports whether an OPEN waits for its answer.
func (s *Session) isOpening() bool {
	for _, q := range s.permits {
		if q != nil && !q.orphaned && q.MessageType == ibnbd.TypeOpen {
			return true
		}
	}
	return false
}

// managersOf lists the streams in which the initiator asks for the paths of a session.
func managersOf(s *Session) []audit.Stream {
	var streams []audit.Stream
	for _, p := range s.paths {
		if p.build == nil {
			continue
		}
		for _, l := range p.build.lanes {
			if m := l.conn.Manager(audit.Initiator); m != nil && !slices.Contains(streams, audit.Stream(m)) {
				streams = append(streams, m)
			}
		}
	}
	return streams
}

// checkOneSession: a second device of a session needs no connections of its own.
func checkOneSession(e *Event, r *audit.Ruling) {
	s := e.Session
	if e.Kind == RequestAnswered {
		if _, ok := openReplyOf(e); ok && s.opens > 1 {
			r.HoldsFor(audit.Initiator)
		}
		return
	}
	if e.namesake != nil { // an initiator that has lost power forgets its session, and is not heard in it again
		r.BreaksIfHeard(fromInitiators(e.namesake), "session %q is up, and is asked for once more by the same initiator", s.Name)
	}
}

// Times in which a session ends that has no device any more. Its paths are closed one after another, and each may take as long
// as an initiator waits for a peer that does not confirm: what is left of such a wait that was under way, and one of its own.
const (
	closingBound  = 10 * time.Second
	teardownWait  = 34 * time.Second // 30 s, by a timer that is late by an eighth
	teardownBound = 2 * teardownWait
)

// checkLastDevice: the session ends with its last device.
func checkLastDevice(e *Event, r *audit.Ruling) {
	s := e.Session
	if s == nil || s.closedAt.IsZero() || s.openDevices > 0 || s.upSeq == 0 {
		return
	}
	if e.Kind == SessionDown {
		for _, side := range []audit.Side{audit.Initiator, audit.Target} {
			r.HoldsFor(side)
		}
		return
	}
	if e.From != audit.Initiator || !e.Path.Connected() {
		return
	}
	interval := r.Config().Heartbeats(audit.Initiator).Interval
	bound := closingBound + time.Duration(s.endingBeside(e.Path, e.At, interval+interval/2))*teardownBound
	since, known := r.Elapsed(s.closedAt)
	if !known || since < bound {
		return
	}
	for _, f := range fromInitiators(s) {
		if !f.CleanSince(s.upSeq) {
			r.Unsure("session without a device")
			return
		}
	}
	r.Breaks("session is kept %s after its last device was closed", audit.ShortTime(since))
}

// endingBeside counts the other paths of a session without a device that may be in teardown: those that are closed, and those on
// which the initiator was silent for longer than it may be, as on a wire that loses its wish to disconnect.
func (s *Session) endingBeside(path *Path, now time.Time, silence time.Duration) int {
	ending := 0
	for _, p := range s.paths {
		if p == path {
			continue
		}
		if p.Connected() {
			if heard := p.build.heard[audit.Initiator]; heard.After(s.closedAt) && now.Sub(heard) < silence {
				continue
			}
		}
		ending++
	}
	return ending
}
