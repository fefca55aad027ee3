// SPDX-License-Identifier: Apache-2.0

package srp

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/scsi"
)

// refusal is why a login is rejected.
type refusal struct {
	reason RejectReason
	detail string
}

func (r *refusal) Error() string { return fmt.Sprintf("%s: %s", r.reason, r.detail) }

func refuse(reason RejectReason, format string, args ...any) *refusal {
	return &refusal{reason, fmt.Sprintf(format, args...)}
}

// begin makes the checks that need no waiting, in the order that initiators know of mainline, and goes on with the login in a
// goroutine, since one initiator must not keep others waiting (Clause SRP-TGT-002); there are never more than MaxHalfOpen.
func (t *Target) begin(ctx context.Context, dev rdma.Device, request rdma.Request) error {
	login, err := ParseLoginReqCM(request.PrivateData())
	if err != nil && login.Type != TypeLoginReq {
		return errors.Join(err, request.Reject(nil)) // Clause SRP-LOGIN-014
	}
	if t.cfg.Rules.IgnoreExtension {
		clear(login.InitiatorPort[:8])
	}
	n, no := t.admit(&login)
	if no != nil {
		return t.reject(request, &login, no)
	}
	t.running.Go(func() { t.carryOut(ctx, dev, request, n, &login) })
	return nil
}

// carryOut makes a channel and serves it.
func (t *Target) carryOut(ctx context.Context, dev rdma.Device, request rdma.Request, n *TargetNexus, login *LoginReqCM) {
	c, err := t.login(ctx, dev, request, n, login)
	if err == nil {
		err = c.confirmed()
	}
	t.mu.Lock()
	t.halfOpen--
	t.mu.Unlock()
	if c == nil {
		n.tidy()
		t.refused.Note("from", request.RemoteAddr(), "to", request.LocalAddr(), "reason", err)
		return
	}
	c.serve(err)
}

func (t *Target) reject(request rdma.Request, login *LoginReqCM, no *refusal) error {
	rej := LoginRej{Type: TypeLoginRej, Reason: no.reason, Tag: login.Tag, SupportedFormats: FormatsDirect | FormatsIndirect}
	if edit := t.cfg.Rules.EditReject; edit != nil {
		edit(&rej)
	}
	data, _ := rej.AppendBinary(nil)
	if err := request.Reject(data); err != nil {
		return fmt.Errorf("%w; reject: %w", no, err)
	}
	return no
}

// admit checks a login and counts it.
func (t *Target) admit(login *LoginReqCM) (*TargetNexus, *refusal) {
	const supported = FormatsDirect | FormatsIndirect
	t.mu.Lock()
	defer t.mu.Unlock()
	action, rules := login.Flags&multiChannelMask, &t.cfg.Rules
	switch n := login.RequestedIULength; {
	case (n < MinIULength || int64(n) > int64(t.cfg.MaxIULength)) && !rules.AnyIULength: // Clause SRP-LOGIN-015
		return nil, refuse(RejectIULength, "%d bytes, must be %d to %d", n, MinIULength, t.cfg.MaxIULength)
	case t.disabled && !rules.IgnoreDisabled || t.closed: // Clause SRP-LOGIN-016
		return nil, refuse(RejectNoResources, "the target port is disabled")
	case login.TargetPort != t.cfg.Port && !rules.AnyTargetPort: // Clause SRP-LOGIN-017
		return nil, refuse(RejectNexus, "target port %s, this is %s", login.TargetPort, t.cfg.Port)
	case (login.RequiredFormats&^supported != 0 || login.RequiredFormats&supported == 0) && !rules.AnyFormats: // Clause SRP-LOGIN-018
		return nil, refuse(RejectFormat, "formats %#04x, must be of %#04x", login.RequiredFormats, supported)
	case t.halfOpen >= t.cfg.MaxHalfOpen:
		return nil, refuse(RejectNoResources, "%d logins are not done", t.halfOpen)
	case t.cfg.luns(login.InitiatorPort) == nil: // Clause SRP-LOGIN-019
		return nil, refuse(RejectChannelsExhausted, "initiator port %s has no access", login.InitiatorPort)
	case action > ChannelMultiple:
		return nil, refuse(RejectNoDetail, "multi-channel action %d", action)
	case action == ChannelMultiple && t.cfg.MaxChannels == 1:
		return nil, refuse(RejectMultiChannel, "one channel for each initiator")
	}
	n := t.nexuses[login.InitiatorPort]
	switch {
	case n == nil && len(t.nexuses) >= t.cfg.MaxNexuses:
		return nil, refuse(RejectNoResources, "%d initiators are logged in", len(t.nexuses))
	case n == nil:
		n = &TargetNexus{target: t, initiator: login.InitiatorPort}
		t.nexuses[login.InitiatorPort] = n
	case action == ChannelMultiple && len(n.channels)+n.logins >= t.cfg.MaxChannels:
		return nil, refuse(RejectChannelsExhausted, "%d channels", len(n.channels)+n.logins)
	}
	t.halfOpen++
	n.logins++
	return n, nil
}

// login makes a channel, one at a time for each initiator.
func (t *Target) login(ctx context.Context, dev rdma.Device, request rdma.Request, n *TargetNexus, login *LoginReqCM) (*TargetChannel, error) {
	n.login.Lock()
	defer n.login.Unlock()
	defer n.loginDone()
	ctx, cancel := context.WithTimeout(ctx, t.cfg.HalfOpen)
	defer cancel()
	result, no := n.settleOthers(ctx, login)
	if no != nil {
		return nil, t.reject(request, login, no)
	}
	if n.scsi == nil {
		why := scsi.PowerOnOrReset
		if result == ChannelsTerminated {
			why = scsi.NexusLoss
		}
		n.scsi = scsi.NewNexus(t.cfg.luns(n.initiator), why)
	}
	c, err := newTargetChannel(n, dev, login)
	if err != nil {
		return nil, errors.Join(t.reject(request, login, refuse(RejectNoResources, "%v", err)), c.release())
	}
	rsp := c.response(login, result)
	if edit := t.cfg.Rules.EditLogin; edit != nil {
		edit(login, &rsp)
	}
	data, _ := rsp.AppendBinary(nil)
	if c.conn, err = request.Accept(ctx, c.connConfig(), data, c.receives...); err != nil {
		return nil, errors.Join(err, c.release())
	}
	if no := n.add(c); no != nil {
		c.fail(no)
	}
	return c, nil
}

func (n *TargetNexus) loginDone() {
	n.target.mu.Lock()
	defer n.target.mu.Unlock()
	n.logins--
}

// settleOthers ends the channels that a single-channel login supersedes, and waits until their commands have ended: what they
// still write must not overtake what the new channel writes (Clauses SRP-LOGIN-026 to SRP-LOGIN-028, SRP-LOGOUT-006).
func (n *TargetNexus) settleOthers(ctx context.Context, login *LoginReqCM) (result uint8, no *refusal) {
	others := n.Channels()
	rules := &n.target.cfg.Rules
	if (login.Flags&multiChannelMask == ChannelMultiple || rules.KeepSuperseded) && len(others) > 0 {
		return ChannelsKept, nil
	}
	if rules.RefuseRelogin && len(others) > 0 {
		return 0, refuse(RejectNoResources, "there is a channel")
	}
	for _, c := range others {
		c.fail(errSuperseded)
	}
	for _, c := range others {
		select {
		case <-c.gone:
		case <-ctx.Done():
			return 0, refuse(RejectNoResources, "commands of an earlier login have not ended")
		}
	}
	n.forget() // of an earlier login, whose last channel is gone
	if len(others) == 0 {
		return ChannelsNone, nil
	}
	return ChannelsTerminated, nil
}

// forget ends what SCSI knows of the initiator. It is called with login held, when there are no channels.
func (n *TargetNexus) forget() {
	if n.scsi != nil {
		n.scsi.Close()
		n.scsi = nil
	}
}

// add makes the channel one of the nexus, unless the port was disabled since the login was checked.
func (n *TargetNexus) add(c *TargetChannel) *refusal {
	t := n.target
	t.mu.Lock()
	defer t.mu.Unlock()
	n.channels = append(n.channels, c)
	if t.disabled && !t.cfg.Rules.IgnoreDisabled || t.closed {
		return refuse(RejectNoResources, "the target port is disabled")
	}
	return nil
}

// remove takes a channel away that has ended.
func (n *TargetNexus) remove(c *TargetChannel) {
	n.target.mu.Lock()
	if !n.target.cfg.Rules.KeepDisconnected {
		n.channels = slices.DeleteFunc(n.channels, func(o *TargetChannel) bool { return o == c })
	}
	n.target.mu.Unlock()
	close(c.gone)
	n.tidy()
}

// tidy forgets a nexus that has neither channels nor logins.
func (n *TargetNexus) tidy() {
	t := n.target
	t.mu.Lock()
	unused := len(n.channels) == 0 && n.logins == 0 && t.nexuses[n.initiator] == n
	if unused {
		delete(t.nexuses, n.initiator)
	}
	t.mu.Unlock()
	if !unused {
		return
	}
	n.login.Lock() // no new login finds the nexus, so nobody holds it for long
	defer n.login.Unlock()
	n.forget()
}
