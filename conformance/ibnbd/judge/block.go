// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"time"

	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
)

// takeBlockAnswer learns from the answer to a block message: versions, device ids.
func (t *follower) takeBlockAnswer(s *Session, r *Request, a *Response) {
	if a.Errno != 0 {
		return
	}
	if a.DataUnsure {
		if r.MessageType == ibnbd.TypeOpen {
			s.forgetVoid()
		}
		return
	}
	switch r.MessageType {
	case ibnbd.TypeSessInfo:
		if response, err := ibnbd.ParseSessInfoResponse(a.Body); err == nil {
			s.hasAgreement = true
			s.agreement = ibnbd.Agreed(response, ibnbd.AllFeatures)
		}
	case ibnbd.TypeOpen:
		s.learnDevice(r, a, t.Now(), t.Seq())
	case ibnbd.TypeClose:
		if m, err := ibnbd.ParseCloseRequest(r.Header); err == nil {
			s.closeDevice(m.DeviceID, t.Now())
		}
	}
}

// noteRequest learns from a request before it is answered.
func (s *Session) noteRequest(r *Request, seq uint64) {
	s.requests++
	if r.MessageType == ibnbd.TypeSessInfo && len(r.Header) >= ibnbd.SessInfoSize {
		s.offered, s.infoSeq = r.Header[4], seq
	}
}

func (s *Session) closeDevice(id uint32, at time.Time) {
	d := s.devices[id]
	if d == nil || d.closed {
		return
	}
	d.closed = true
	if s.openDevices--; s.openDevices == 0 {
		s.closedAt = at
	}
}

// forgetVoid forgets the devices of before the session was lost: one of them may be the one that was opened now.
func (s *Session) forgetVoid() {
	for id, d := range s.devices {
		if d.void {
			if !d.closed {
				s.openDevices--
			}
			delete(s.devices, id)
		}
	}
}

const maxDevices = 4096

func (s *Session) learnDevice(r *Request, a *Response, at time.Time, seq uint64) {
	response, _ := ibnbd.ParseOpenResponse(a.Body)
	if response.Type != ibnbd.TypeOpenResponse {
		return
	}
	if len(s.devices) >= maxDevices && s.devices[response.DeviceID] == nil {
		return
	}
	d := &Device{ID: response.DeviceID, Response: response, at: at, seq: seq, from: r.lane.conn.Flow(audit.Target)}
	s.opens++
	if open, err := ibnbd.ParseOpenRequest(r.Header); err == nil {
		d.Path, d.Access = open.DevicePath.String(), open.AccessMode
	}
	if old := s.devices[d.ID]; old == nil || old.closed {
		s.openDevices++
	}
	s.devices[d.ID] = d
}
