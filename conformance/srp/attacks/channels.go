// SPDX-License-Identifier: Apache-2.0

package attacks

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ibnbd/ibnbd/conformance/foreign"
	"github.com/ibnbd/ibnbd/conformance/srp/tester"
	"github.com/ibnbd/ibnbd/reference/scsi"
	"github.com/ibnbd/ibnbd/reference/srp"
)

func channels() []Attack {
	return []Attack{
		{Name: "a login of one channel for a nexus that has channels", Clauses: []string{"SRP-LOGIN-026", "SRP-LOGIN-028"}, Run: singleChannel},
		{Name: "a login of another channel", Clauses: []string{"SRP-LOGIN-027", "SRP-LOGIN-028"}, Run: anotherChannel},
		{Name: "two initiator ports of one system", Clauses: []string{"SRP-CH-007"}, Run: twoPorts},
		{Name: "the same tags on two channels", Clauses: []string{"SRP-CH-003", "SRP-LOGIN-027"}, Does: foreign.Writes, Run: sameTags},
		{Name: "all credits of one of two channels", Clauses: []string{"SRP-CH-003", "SRP-LOGIN-027"}, Run: creditsOfOne},
	}
}

const channelMask = 3 // multi-channel bits of the flags

func result(c *tester.Channel) uint8 { return c.Login.Flags & channelMask }

// firstLogin logs in with a new port, which has no channels.
func firstLogin(ctx context.Context, t *tester.Tester) (*tester.Channel, error) {
	c, err := t.Connect(ctx)
	if err != nil {
		return nil, err
	}
	if r := result(c); r != srp.ChannelsNone {
		return nil, tester.Broken("SRP-LOGIN-028", "a first login is answered with multi-channel result %d", r)
	}
	return c, nil
}

// secondChannel makes another channel of a nexus. A target that has none of it is asked no further.
func secondChannel(ctx context.Context, c *tester.Channel) (*tester.Channel, error) {
	other, err := c.Another(ctx)
	if r, is := errors.AsType[*tester.Refused](err); is && r.Reject != nil &&
		(r.Reject.Reason == srp.RejectMultiChannel || r.Reject.Reason == srp.RejectChannelsExhausted) {
		return nil, fmt.Errorf("%w: %w", tester.ErrInapplicable, err)
	}
	if err != nil {
		return nil, err
	}
	if r := result(other); r != srp.ChannelsKept {
		return nil, tester.Broken("SRP-LOGIN-027", "a login of another channel is answered with multi-channel result %d", r)
	}
	return other, nil
}

func singleChannel(ctx context.Context, t *tester.Tester) error {
	c, err := firstLogin(ctx, t)
	if err != nil {
		return err
	}
	again, err := t.ConnectAs(ctx, c.Request.InitiatorPort)
	if err := accepted("SRP-LOGIN-026", again, err); err != nil {
		return err
	}
	if r := result(again); r != srp.ChannelsTerminated {
		return tester.Broken("SRP-LOGIN-026", "a second login of one channel is answered with multi-channel result %d", r)
	}
	if err := c.AwaitClosed(ctx); err != nil {
		return tester.Broken("SRP-LOGIN-026", "the channel before the second login: %v, it must be disconnected", err)
	}
	return usable(ctx, "SRP-LOGIN-026", "a second login", again, t.Target().LUNs[0])
}

func anotherChannel(ctx context.Context, t *tester.Tester) error {
	c, err := firstLogin(ctx, t)
	if err != nil {
		return err
	}
	other, err := secondChannel(ctx, c)
	if err != nil {
		return err
	}
	for _, channel := range []*tester.Channel{c, other, c} {
		if err := usable(ctx, "SRP-LOGIN-027", "the login of another channel", channel, t.Target().LUNs[0]); err != nil {
			return err
		}
	}
	return nil
}

// twoPorts logs in twice with ports that differ in their extension, and looks whether one lives on when the other goes.
func twoPorts(ctx context.Context, t *tester.Tester) error {
	one, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	two, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	lun := t.Target().LUNs[0]
	if r := result(two); r != srp.ChannelsNone || one.Lost() {
		return tester.Broken("SRP-CH-007", "the login of a second port is answered with multi-channel result %d; the channel of the first is lost: %v", r, one.Lost())
	}
	if err := usable(ctx, "SRP-CH-007", "the login of a second port", one, lun); err != nil {
		return err
	}
	if err := two.Disconnect(ctx); err != nil {
		return err
	}
	return usable(ctx, "SRP-CH-007", "the end of the second port", one, lun)
}

// outstandingFor is how long the target waits for data-out of commands that are to stay outstanding: less than any side takes to
// repeat a request.
const outstandingFor = 300 * time.Millisecond

// outstanding sends a write whose data the target has to wait for.
func outstanding(c *tester.Channel, tag srp.Tag, lun srp.LUN, at uint64, number uint64) error {
	data, err := c.Memory()
	if err != nil {
		return err
	}
	g := c.Geometry(lun)
	copy(data, c.Stamped(lun, at, 1, number))
	cdb, err := scsi.Write10.AppendIO(nil, c.Base(lun)+at, 1, false)
	if err != nil {
		return err
	}
	if _, err := c.DelayReads(outstandingFor); err != nil {
		return err
	}
	return c.Post(c.Tagged(tag, lun, cdb, srp.DirectBuffer(c.Piece(0, g.Block)), srp.Buffer{}))
}

// sameTags has a command outstanding on one channel while requests on the other use its tag.
func sameTags(ctx context.Context, t *tester.Tester) error {
	c, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	other, err := secondChannel(ctx, c)
	if err != nil {
		return err
	}
	lun, tag := t.Target().LUNs[0], srp.TagOf(0x7a67)
	if err := outstanding(c, tag, lun, 0, 1); err != nil {
		return err
	}
	m, err := other.Do(ctx, other.Tagged(tag, lun, scsi.TestUnitReady.New(), srp.Buffer{}, srp.Buffer{}))
	if err := answered("SRP-CH-003", "a command whose tag is in use on another channel", errors.Join(err, tester.FailureOf(m))); err != nil {
		return err
	}
	if _, err := other.Do(ctx, other.Manage(srp.AbortTask, lun, tag)); err != nil {
		return answered("SRP-CH-003", "the abort of a tag that is in use on another channel", err)
	}
	m, err = c.Answer(ctx, tag)
	if err := errors.Join(err, tester.FailureOf(m)); err != nil {
		return tester.Broken("SRP-CH-003", "after requests with its tag on another channel, a write: %v", err)
	}
	return nil
}

// creditsOfOne uses all credits of one channel at once, and then those of the other.
func creditsOfOne(ctx context.Context, t *tester.Tester) error {
	c, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	other, err := secondChannel(ctx, c)
	if err != nil {
		return err
	}
	for range 2 {
		for _, channel := range []*tester.Channel{c, other} {
			if err := post(channel, t.Target().LUNs[0], int(channel.Limit())); err != nil {
				return err
			}
		}
		for i, channel := range []*tester.Channel{c, other} {
			if err := collect(ctx, "SRP-CH-003", channel); err != nil {
				return err
			}
			if n := channel.Limit(); n != int64(channel.Initial) {
				return tester.Broken("SRP-CH-003", "channel %d has a request limit of %d when all is answered, and began with %d", i+1, n, channel.Initial)
			}
		}
	}
	return nil
}

// post sends so many commands at once.
func post(c *tester.Channel, lun srp.LUN, n int) error {
	var units [][]byte
	for range n {
		units = append(units, c.Command(lun, scsi.TestUnitReady.New(), srp.Buffer{}, srp.Buffer{}))
	}
	return c.Post(units...)
}

// collect takes the answers to all requests that are outstanding.
func collect(ctx context.Context, clause string, c *tester.Channel) error {
	for want := int64(c.Initial); c.Limit() < want; {
		if _, err := c.Any(ctx); err != nil {
			return tester.Broken(clause, "%d credits have not come back: %v", want-c.Limit(), err)
		}
	}
	return nil
}
