// SPDX-License-Identifier: Apache-2.0

package tester

import (
	"context"
	"errors"
	"fmt"

	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/srp"
)

// What an ordinary login asks for.
const (
	unitLength      = 8260 // bytes of the longest unit
	ImmediateOffset = 68   // of immediate data
)

// Request is an ordinary login request of an initiator port, for its first channel.
func (t *Tester) Request(initiator srp.PortID) srp.LoginReqCM {
	return srp.LoginReqCM{
		Tag: srp.TagOf(0x10612), RequiredFormats: srp.FormatsDirect | srp.FormatsIndirect, Flags: srp.LoginImmediate, Type: srp.TypeLoginReq,
		RequestedIULength: unitLength, InitiatorPort: initiator, TargetPort: t.target.Port, ImmediateOffset: ImmediateOffset,
	}
}

// Refused is a login that was rejected.
type Refused struct {
	CM     uint16        // reason of the connection manager
	Reject *srp.LoginRej // nil if there was none, or it could not be read
	Bad    error         // why it could not be read
}

// Error says how it was rejected.
func (r *Refused) Error() string {
	switch {
	case r.Reject != nil:
		return fmt.Sprintf("the login was rejected: %s (%#08x)", r.Reject.Reason, uint32(r.Reject.Reason))
	case r.Bad != nil:
		return fmt.Sprintf("the login was rejected with reason %d of the connection manager, and no SRP_LOGIN_REJ: %v", r.CM, r.Bad)
	}
	return fmt.Sprintf("the connection was rejected with reason %d of the connection manager", r.CM)
}

// refused reads a reject of the connection manager.
func refused(reject *rdma.RejectError) *Refused {
	r := &Refused{CM: reject.Reason}
	if reject.Reason != rdma.ReasonConsumer {
		return r
	}
	rej, err := srp.ParseLoginRej(reject.PrivateData)
	if err != nil {
		r.Bad = err
		return r
	}
	r.Reject = &rej
	return r
}

// Login logs in as a request says. A reject is a *Refused.
func (t *Tester) Login(ctx context.Context, rail int, request srp.LoginReqCM) (*Channel, error) {
	way := t.target.Rails[rail]
	c := &Channel{tester: t, device: way.Device, Request: request, tags: 1, block: make(map[srp.LUN]Geometry)}
	recvs, err := c.prepare()
	if err != nil {
		return nil, errors.Join(err, c.release())
	}
	data, _ := request.AppendBinary(nil)
	patient, cancel := t.patient(ctx)
	defer cancel()
	cfg := rdma.ConnConfig{
		SendQueue: sendQueue, RecvQueue: receives, ResponderResources: readDepth, RetryCount: retries, RNRRetryCount: 7,
	}
	if c.conn, err = way.Device.Dial(patient, way.Addr, cfg, data, recvs...); err != nil {
		err = errors.Join(ended(patient, err), c.release())
		var reject *rdma.RejectError
		if errors.As(err, &reject) {
			return nil, refused(reject)
		}
		return nil, fmt.Errorf("login: %w", err)
	}
	t.channels = append(t.channels, c)
	if c.Login, err = srp.ParseLoginRsp(c.conn.PeerData()); err != nil {
		return nil, fmt.Errorf("login response: %w", err)
	}
	c.limit, c.Initial = int64(c.Login.RequestLimitDelta), c.Login.RequestLimitDelta
	return c, nil
}

// Connect logs in as an ordinary initiator with a port of its own.
func (t *Tester) Connect(ctx context.Context) (*Channel, error) { return t.ConnectAs(ctx, t.NewPort()) }

// ConnectAs logs in as an ordinary initiator, with the first channel of a port.
func (t *Tester) ConnectAs(ctx context.Context, initiator srp.PortID) (*Channel, error) {
	return t.Login(ctx, 0, t.Request(initiator))
}

// Another logs in with a further channel of the same port.
func (c *Channel) Another(ctx context.Context) (*Channel, error) {
	request := c.tester.Request(c.Request.InitiatorPort)
	request.Flags |= srp.ChannelMultiple
	return c.tester.Login(ctx, 0, request)
}

// Ready logs in, and makes the attacked unit ready: what it has to report to a new initiator is taken, and its size is known.
func (t *Tester) Ready(ctx context.Context) (*Channel, error) {
	c, err := t.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return c, c.MakeReady(ctx, t.target.LUNs[0])
}
