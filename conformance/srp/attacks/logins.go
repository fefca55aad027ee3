// SPDX-License-Identifier: Apache-2.0

package attacks

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/ibnbd/ibnbd/conformance/srp/tester"
	"github.com/ibnbd/ibnbd/reference/rdma/soft"
	"github.com/ibnbd/ibnbd/reference/scsi"
	"github.com/ibnbd/ibnbd/reference/srp"
)

func logins() []Attack {
	return []Attack{
		{Name: "logins with an IU length outside the limits", Clauses: []string{"SRP-LOGIN-015", "SRP-LOGIN-020", "SRP-LOGIN-013"}, Run: unitLengths},
		{Name: "logins to another target port", Clauses: []string{"SRP-LOGIN-017", "SRP-LOGIN-020", "SRP-LOGIN-013"}, Run: otherPorts},
		{Name: "logins that require unknown buffer formats", Clauses: []string{"SRP-LOGIN-018", "SRP-LOGIN-020", "SRP-LOGIN-013"}, Run: unknownFormats},
		{Name: "logins with any tag", Clauses: []string{"SRP-LOGIN-013"}, Run: loginTags},
		{Name: "a login with reserved bytes set", Clauses: []string{"SRP-LOGIN-005"}, Run: reservedLogin},
		{Name: "logins that ask for immediate data at any offset", Clauses: []string{"SRP-LOGIN-031"}, Run: immediateOffsets},
		{Name: "commands before the connection is confirmed", Clauses: []string{"SRP-LOGIN-029"}, Run: beforeConfirmation},
		{Name: "many logins that are never confirmed", Run: unconfirmed, Takes: time.Second},
	}
}

// unitLengths asks for units that are shorter or longer than can be, and for the shortest and the longest that can be.
func unitLengths(ctx context.Context, t *tester.Tester) error {
	first, err := t.Connect(ctx)
	if err != nil {
		return err
	}
	most := first.Login.MaxInitiatorIULength
	for _, length := range []uint32{0, 1, 63, most + 1, math.MaxInt32, math.MaxInt32 + 1, math.MaxUint32} {
		request := t.Request(t.NewPort())
		request.RequestedIULength = length
		_, err := t.Login(ctx, 0, request)
		if err := rejected("SRP-LOGIN-015", request, err, srp.RejectIULength); err != nil {
			return fmt.Errorf("IU length %d of at most %d: %w", length, most, err)
		}
	}
	for _, length := range []uint32{srp.MinIULength, most} {
		request := t.Request(t.NewPort())
		request.RequestedIULength = length
		c, err := t.Login(ctx, 0, request)
		if err := accepted("SRP-LOGIN-015", c, err); err != nil {
			return fmt.Errorf("IU length %d: %w", length, err)
		}
	}
	return nil
}

// otherPorts names target ports that differ in one bit of each byte, and nothing but zeros.
func otherPorts(ctx context.Context, t *tester.Tester) error {
	right := t.Target().Port
	ports := []srp.PortID{{}}
	for i := range right {
		other := right
		other[i] ^= 1 << (i % 8)
		ports = append(ports, other)
	}
	for _, port := range ports {
		if port == right {
			continue
		}
		request := t.Request(t.NewPort())
		request.TargetPort = port
		_, err := t.Login(ctx, 0, request)
		if err := rejected("SRP-LOGIN-017", request, err, srp.RejectNexus); err != nil {
			return fmt.Errorf("target port %s instead of %s: %w", port, right, err)
		}
	}
	return nil
}

func unknownFormats(ctx context.Context, t *tester.Tester) error {
	for _, formats := range []uint16{0x0008, 0x000e, 0x0106, 0x8002, 0xffff} {
		request := t.Request(t.NewPort())
		request.RequiredFormats = formats
		_, err := t.Login(ctx, 0, request)
		if err := rejected("SRP-LOGIN-018", request, err, srp.RejectFormat); err != nil {
			return fmt.Errorf("formats %#04x: %w", formats, err)
		}
	}
	return nil
}

// strangeTags are tags that somebody who interprets them could stumble over.
var strangeTags = []srp.Tag{
	{}, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, {0x80}, {7: 0x80}, {1, 2, 3, 4, 5, 6, 7, 8}, {3: 0xff}, {4: 0xff}, {0, 0, 0, 0, 0x80, 0, 0, 1},
}

func loginTags(ctx context.Context, t *tester.Tester) error {
	for _, tag := range strangeTags {
		request := t.Request(t.NewPort())
		request.Tag = tag
		c, err := t.Login(ctx, 0, request)
		if err != nil {
			return err
		}
		if err := accepted("SRP-LOGIN-013", c, nil); err != nil {
			return err
		}
		if err := c.Disconnect(ctx); err != nil {
			return err
		}
		request.RequestedIULength = 1
		_, err = t.Login(ctx, 0, request)
		if err := rejected("SRP-LOGIN-013", request, err, 0); err != nil {
			return err
		}
	}
	return nil
}

func reservedLogin(ctx context.Context, t *tester.Tester) error {
	request := t.Request(t.NewPort())
	request.Reserved50 = [6]byte{1, 2, 4, 8, 16, 255}
	c, err := t.Login(ctx, 0, request)
	if err := accepted("SRP-LOGIN-005", c, err); err != nil {
		return err
	}
	return usable(ctx, "SRP-LOGIN-005", "a login with reserved bytes set", c, t.Target().LUNs[0])
}

// immediateOffsets asks for immediate data where it cannot be, and where it can be.
func immediateOffsets(ctx context.Context, t *tester.Tester) error {
	first, err := t.Connect(ctx)
	if err != nil {
		return err
	}
	most := first.Login.MaxInitiatorIULength
	for _, c := range []struct {
		asked  bool
		offset uint32
		may    bool // be granted
	}{
		{false, 0, false}, {false, 68, false}, {true, 0, false}, {true, 1, false}, {true, 47, false}, {true, 51, false}, {true, 52, true},
		{true, 68, true}, {true, most, false}, {true, math.MaxUint16, most > math.MaxUint16},
	} {
		if c.offset > math.MaxUint16 {
			continue // no request can say that
		}
		request := t.Request(t.NewPort())
		request.Flags &^= srp.LoginImmediate
		if c.asked {
			request.Flags |= srp.LoginImmediate
		}
		request.ImmediateOffset = uint16(c.offset)
		channel, err := t.Login(ctx, 0, request)
		if err != nil {
			return fmt.Errorf("immediate data at offset %d: %w", c.offset, err)
		}
		if channel.Immediate() && !c.may {
			return tester.Broken("SRP-LOGIN-031", "immediate data is granted; asked for: %v, offset %d, units of up to %d bytes", c.asked, c.offset, most)
		}
		if err := channel.Disconnect(ctx); err != nil {
			return err
		}
	}
	return nil
}

// beforeConfirmation sends commands while the confirmation of the connection is still on its way.
func beforeConfirmation(ctx context.Context, t *tester.Tester) error {
	late, err := t.Injected(0, soft.Fault{Stage: soft.Made, Match: tester.IsConfirmation, Delay: 300 * time.Millisecond})
	if err != nil {
		return err
	}
	c, err := t.Connect(ctx)
	late.Remove()
	if err != nil {
		return err
	}
	lun := t.Target().LUNs[0]
	inquiry, err := inquiryOf(0, false, 36)
	if err != nil {
		return err
	}
	if _, err := c.Memory(); err != nil {
		return err
	}
	var tags []srp.Tag
	var units [][]byte
	for i := range int(min(4, c.Initial)) {
		tag := c.Tag()
		tags = append(tags, tag)
		units = append(units, c.Tagged(tag, lun, inquiry, srp.Buffer{}, srp.DirectBuffer(c.Piece(64*i, 36))))
	}
	if err := c.Post(units...); err != nil {
		return err
	}
	for i, tag := range tags {
		m, err := c.Any(ctx)
		if err != nil {
			return tester.Broken("SRP-LOGIN-029", "command %d of %d before the confirmation: %v", i+1, len(tags), err)
		}
		if err := tester.FailureOf(m); err != nil || m.Tag != tag {
			return tester.Broken("SRP-LOGIN-029", "command %d of %d before the confirmation: %s, for tag %s instead of %s", i+1, len(tags), outcome(err), m.Tag, tag)
		}
	}
	return nil
}

// unconfirmed makes logins of which the confirmation is lost.
func unconfirmed(ctx context.Context, t *tester.Tester) error {
	lost, err := t.Injected(0, soft.Fault{Stage: soft.Made, Match: tester.IsConfirmation, Drop: true})
	if err != nil {
		return err
	}
	defer lost.Remove()
	for range 16 {
		c, err := t.Connect(ctx)
		if err != nil {
			break // a target may have enough of them
		}
		if err := c.Vanish(); err != nil {
			return err
		}
	}
	return nil
}

// HalfOpen decides that a login which is never confirmed is freed within a time.
func HalfOpen(ctx context.Context, t *tester.Tester, within time.Duration) error {
	lost, err := t.Injected(0, soft.Fault{Stage: soft.Made, Match: tester.IsConfirmation, Drop: true})
	if err != nil {
		return err
	}
	defer lost.Remove()
	c, err := t.Connect(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	for time.Since(began) < within {
		if err := c.AwaitClosed(ctx); err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return tester.Broken("SRP-TGT-003", "a login that was not confirmed is still there after %s", within)
}

// inquiryOf makes an INQUIRY: of a page of vital product data, or standard.
func inquiryOf(page uint8, vital bool, room uint16) ([]byte, error) {
	cdb := scsi.Inquiry.New()
	if vital {
		if err := scsi.Inquiry.Put(cdb, scsi.Inquiry.Vital, 1); err != nil {
			return nil, err
		}
	}
	if err := scsi.Inquiry.Put(cdb, scsi.Inquiry.Page, uint64(page)); err != nil {
		return nil, err
	}
	return cdb, scsi.Inquiry.Put(cdb, scsi.Inquiry.Allocation, uint64(room))
}
