// SPDX-License-Identifier: Apache-2.0

package srp

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"github.com/ibnbd/ibnbd/reference/layout"
	"github.com/ibnbd/ibnbd/reference/rdma"
)

// nexus is the channels of one login: one life of a port's connection.
type nexus struct {
	port     *RemotePort
	channels []*initiatorChannel
	again    bool // not the first login
	ended    bool // nothing is posted any more; guarded by the port's lock
	next     int  // channel for the next command; guarded by the port's lock
}

// LoginError is a login that a target has refused.
type LoginError struct {
	CM     uint16       // reject reason of the connection manager
	Reason RejectReason // of the target; 0 unless CM says that the target has one (Clause SRP-LOGIN-023)
	Err    error
}

// Error says which reject it was, what it means, and what to look at.
func (e *LoginError) Error() string {
	if e.Reason != 0 {
		return fmt.Sprintf("the target rejects the login, reason %#08x: %s%s", uint32(e.Reason), e.Reason, hints[e.Reason])
	}
	if e.CM == rdma.ReasonConsumer {
		return fmt.Sprintf("whoever listens there rejects the connection, and not as an SRP target does: %v", e.Err)
	}
	return fmt.Sprintf("the connection is rejected, reason %d%s", e.CM, cmHints[e.CM])
}

// Unwrap gives the error number that Linux has for all rejects, and the cause.
func (e *LoginError) Unwrap() []error { return []error{syscall.ECONNRESET, e.Err} }

var hints = map[RejectReason]string{
	RejectNoResources:       "; the target port may be disabled, or have no memory for another channel",
	RejectIULength:          "; ask for a shorter unit with max_it_iu_size",
	RejectNexus:             "; id_ext and ioc_guid must be those of the target port",
	RejectMultiChannel:      "; use ch_count=1",
	RejectChannelsExhausted: "; the target may not know this initiator port, or has enough channels of it",
}

// Reject reasons of the connection manager that occur.
const (
	cmInvalidService = 8
	cmStale          = 10
)

var cmHints = map[uint16]string{
	cmInvalidService: ": nothing listens on that port; see whether the target runs, and on which port",
	cmStale:          ": the target believes that an earlier connection is still there",
}

// loginError explains why a connection was not made.
func loginError(err error, r *InitiatorRules) error {
	var reject *rdma.RejectError
	if !errors.As(err, &reject) {
		return err
	}
	e := &LoginError{CM: reject.Reason, Err: err}
	if reject.Reason != rdma.ReasonConsumer && !r.AnyReject { // Clause SRP-LOGIN-021
		return e
	}
	m, err := ParseLoginRej(reject.PrivateData)
	if err != nil && !r.TrustReject { // Clause SRP-LOGIN-022
		e.Err = fmt.Errorf("malformed reject: %w", err)
		return e
	}
	if !r.HideReason {
		e.Reason = m.Reason
	}
	return e
}

// noRoom tells rejects of a further channel with which the others can do.
func noRoom(err error) bool {
	var e *LoginError
	return errors.As(err, &e) && (e.Reason == RejectNoResources || e.Reason == RejectMultiChannel || e.Reason == RejectChannelsExhausted)
}

// login makes all channels. A further channel that fails is done without at the first login, and later if the target has no room for it
// (Clauses SRP-CH-005, SRP-CH-006).
func (p *RemotePort) login(ctx context.Context, again bool) (*nexus, error) {
	n := &nexus{port: p, again: again}
	for number := range p.cfg.channels() {
		c, err := n.dial(ctx, number)
		if err == nil {
			n.channels = append(n.channels, c)
			continue
		}
		if number > 0 && (!again || noRoom(err)) && !p.rules().AllChannels {
			p.log.Warn("the port has fewer channels than were wanted", "channels", number, "wanted", p.cfg.channels(), "error", err)
			break
		}
		return nil, errors.Join(fmt.Errorf("log in to %s, channel %d: %w", p, number, err), n.close())
	}
	return n, nil
}

// dial makes one channel. A connection that the target takes for an old one is tried again (Clause SRP-LOGIN-034).
func (n *nexus) dial(ctx context.Context, number int) (*initiatorChannel, error) {
	for {
		c, err := n.dialOnce(ctx, number)
		var refused *LoginError
		if !errors.As(err, &refused) || refused.CM != cmStale || n.port.rules().NoStaleRetry {
			return c, err
		}
		timer := time.NewTimer(n.port.initiator.cfg.Gap)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, err
		}
	}
}

func (n *nexus) dialOnce(ctx context.Context, number int) (*initiatorChannel, error) {
	cfg := &n.port.cfg
	c, err := newInitiatorChannel(n, number)
	if err != nil {
		return nil, errors.Join(err, c.close())
	}
	request := cfg.login(number == 0)
	if edit := n.port.rules().EditLogin; edit != nil {
		edit(&request)
	}
	data, _ := request.AppendBinary(nil)
	c.conn, err = cfg.Device.Dial(ctx, cfg.Login.Dest, c.connConfig(), data, c.receives...)
	if err != nil {
		return nil, errors.Join(loginError(err, n.port.rules()), c.close())
	}
	m, err := ParseLoginRsp(c.conn.PeerData()) // Clause SRP-LOGIN-024
	if n.port.rules().AnyReply {
		err = nil
	}
	if err == nil && m.Tag != request.Tag {
		err = layout.Illegal(loginRspLayout.Title, "tag", 8, m.Tag, "that of the request, "+request.Tag.String())
	}
	if n.again && number == 0 && n.port.rules().WantsOldSession && m.Flags&3 == ChannelsNone {
		err = errors.Join(err, syscall.ECONNRESET)
	}
	if err == nil {
		err = c.agree(&m)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the answer to the login is not that of an SRP target: %w", err), c.close())
	}
	return c, nil
}

// start serves the channels. It is called with the port's lock held.
func (n *nexus) start(now time.Time) {
	for _, c := range n.channels {
		c.heard = now
		if probe := n.port.timers.Probe; probe > 0 {
			c.arm(now.Add(probe))
		}
		c.served = make(chan struct{})
		go c.serve()
	}
}

// each does something with all channels at once.
func (n *nexus) each(do func(*initiatorChannel) error) error {
	errs := make([]error, len(n.channels))
	var all sync.WaitGroup
	for i, c := range n.channels {
		all.Go(func() { errs[i] = do(c) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// logout logs all channels out.
func (n *nexus) logout() {
	ctx, cancel := context.WithTimeout(context.Background(), n.port.cfg.LogoutTime)
	defer cancel()
	_ = n.each(func(c *initiatorChannel) error {
		c.logout(ctx)
		return nil
	})
}

func (n *nexus) close() error { return n.each((*initiatorChannel).close) }
