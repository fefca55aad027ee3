// SPDX-License-Identifier: Apache-2.0

package script

import (
	"errors"
	"fmt"
	"time"

	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/srp"
)

// Login is a request for a channel.
type Login struct {
	Request  srp.LoginReqCM
	Response srp.LoginRsp // what Accept answers; may be changed
	At       time.Time    // when it came
	Channel  *Channel     // after Accept

	target  *Target
	request rdma.Request
}

// First says whether the login is for the first channel of a nexus.
func (l *Login) First() bool { return l.Request.Flags&3 == srp.ChannelSingle }

// login takes a connection request, and has the script answer it.
func (v *Target) login(r rdma.Request) {
	request, err := srp.ParseLoginReqCM(r.PrivateData())
	if err != nil {
		v.fail(fmt.Errorf("the initiator's login: %w", err))
		_ = r.Reject(nil)
		return
	}
	l := &Login{Request: request, Response: v.response(&request), At: time.Now(), target: v, request: r}
	v.Logins = append(v.Logins, l)
	if f := v.Script.Login; f != nil {
		f(l)
		return
	}
	l.Accept()
}

// response is the answer of a conforming target.
func (v *Target) response(r *srp.LoginReqCM) srp.LoginRsp {
	m := srp.LoginRsp{
		Type: srp.TypeLoginRsp, RequestLimitDelta: DefaultLimit, Tag: r.Tag, MaxInitiatorIULength: maxUnit, MaxTargetIULength: MaxTargetIU,
		SupportedFormats: srp.FormatsDirect | srp.FormatsIndirect, Flags: v.kept(r),
	}
	if v.Script.Limit != 0 {
		m.RequestLimitDelta = v.Script.Limit
	}
	if r.Flags&srp.LoginImmediate != 0 && !v.Script.NoImmediate {
		m.Flags |= srp.LoginImmediate
	}
	return m
}

// kept says what becomes of the channels that the nexus has.
func (v *Target) kept(r *srp.LoginReqCM) uint8 {
	there := false
	for _, c := range v.Channels {
		there = there || !c.Lost && c.Login.Request.InitiatorPort == r.InitiatorPort
	}
	switch {
	case r.Flags&3 != srp.ChannelSingle:
		return srp.ChannelsKept
	case there:
		return srp.ChannelsTerminated
	}
	return srp.ChannelsNone
}

// Accept makes the channel, with Response as private data.
func (l *Login) Accept() { l.AcceptWith(marshal(l.Response)) }

// AcceptWith makes the channel with any private data.
func (l *Login) AcceptWith(data []byte) {
	v := l.target
	if l.First() {
		v.supersede(l.Request.InitiatorPort)
	}
	c, err := v.admit(l, data)
	switch {
	case errors.Is(err, rdma.ErrDisconnected): // the initiator does not want it any more
	case err != nil:
		v.fail(fmt.Errorf("accept a login: %w", err))
	default:
		l.Channel = c
		v.Channels = append(v.Channels, c)
		v.running.Go(c.poll)
		v.running.Go(c.begin)
	}
}

// supersede ends the channels that an initiator port has.
func (v *Target) supersede(port srp.PortID) {
	for _, c := range v.Channels {
		if !c.Lost && c.Login.Request.InitiatorPort == port {
			c.Hangup()
		}
	}
}

// Reject refuses the login for a reason.
func (l *Login) Reject(reason srp.RejectReason) {
	l.RejectWith(marshal(srp.LoginRej{
		Type: srp.TypeLoginRej, Reason: reason, Tag: l.Request.Tag, SupportedFormats: srp.FormatsDirect | srp.FormatsIndirect,
	}))
}

// RejectWith refuses the login with any private data.
func (l *Login) RejectWith(data []byte) {
	if err := l.request.Reject(data); err != nil && !errors.Is(err, rdma.ErrDisconnected) {
		l.target.fail(fmt.Errorf("reject a login: %w", err))
	}
}

// Ignore leaves the initiator without an answer, until the target is closed.
func (l *Login) Ignore() { l.target.held = append(l.target.held, l.request) }

// marshal gives the bytes of a message of this project's packages, none of which can fail to encode.
func marshal(m interface {
	AppendBinary([]byte) ([]byte, error)
}) []byte {
	b, _ := m.AppendBinary(nil)
	return b
}
