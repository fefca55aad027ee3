// SPDX-License-Identifier: Apache-2.0

package provocations

import (
	"bytes"
	"context"
	"errors"
	"math"
	"slices"
	"syscall"

	"github.com/ibnbd/ibnbd/conformance/srp/script"
	"github.com/ibnbd/ibnbd/conformance/verdict/finding"
	"github.com/ibnbd/ibnbd/reference/scsi"
	"github.com/ibnbd/ibnbd/reference/srp"
)

// full is sense data with an errno that no other sense has.
var full = scsi.Sense{Key: scsi.DataProtect, Code: scsi.SpaceAllocationFailed}

// short is a wrong or incomplete answer to a read.
type short struct {
	name, clause string
	answer       func(c *script.Command)
}

var shorts = []short{
	{"a read is refused with a response code and a good status", "SRP-RSP-010", func(c *script.Command) {
		m := c.Response()
		m.SetResponseCode(srp.ResponseInvalidFields)
		c.Send(m)
	}},
	{"a read gets all but its last 512 bytes", "SRP-RSP-008", func(c *script.Command) {
		c.Place(contents(probeOffset, probeSize-512, 1))
		m := c.Response()
		m.Flags, m.DataInResidual = srp.DataInUnder, 512
		c.Send(m)
	}},
	{"a residual is larger than the buffer", "SRP-RSP-009", func(c *script.Command) {
		m := c.Response()
		m.Flags, m.DataInResidual = srp.DataInUnder, math.MaxUint32
		c.Send(m)
	}},
	{"a response is cut off", "SRP-RSP-013", func(c *script.Command) {
		b := bytes.Clone(marshal(c.Response()))
		c.Channel.Send(b[:srp.RspSize-16])
		c.Channel.Settle(c.Answer)
	}},
}

// noise is something that a target sends in front of its answer, and that must have no influence.
type noise struct {
	name, clause string
	send         func(c *script.Command)
}

var noises = []noise{
	{"a response has an unknown tag", "SRP-RSP-011", func(c *script.Command) {
		c.Channel.Respond(srp.Rsp{Type: srp.TypeRsp, Tag: strange})
	}},
	{"responses have foreign tags, wrong lengths and unknown types", "SRP-ROB-003", func(c *script.Command) {
		for i := range 64 {
			m := srp.Rsp{Type: srp.TypeRsp, Tag: srp.TagOf(uint64(i) << 8), Flags: srp.RspValid | srp.SenseValid, ResponseLength: math.MaxUint32, SenseLength: uint32(i)}
			c.Channel.Respond(m)
			c.Channel.Send(bytes.Repeat([]byte{byte(0x10 + i)}, 16+i))
		}
	}},
	{"hundreds of SRP_CRED_REQ come", "SRP-ROB-003", func(c *script.Command) {
		for i := range 300 {
			c.Channel.GiveCredits(0, srp.TagOf(uint64(i)))
		}
	}},
	{"a response has lengths that wrap", "SRP-RSP-004", func(c *script.Command) {
		m := srp.Rsp{Type: srp.TypeRsp, Tag: strange, Flags: srp.RspValid | srp.SenseValid, ResponseLength: math.MaxUint32, SenseLength: 5, Body: make([]byte, 4)}
		c.Channel.Respond(m)
	}},
}

// strange is a tag that no initiator has chosen.
var strange = srp.Tag{0xfe, 0xed, 0xfe, 0xed, 0xfe, 0xed, 0xfe, 0xed}

func responding() []Provocation {
	var all []Provocation
	for _, s := range shorts {
		all = append(all, Provocation{Name: s.name, Clauses: []string{s.clause}, Run: func(ctx context.Context, e *Execution) error {
			return e.notTaken(ctx, s.clause, s.answer)
		}})
	}
	for _, n := range noises {
		all = append(all, Provocation{Name: n.name, Clauses: []string{n.clause}, Run: func(ctx context.Context, e *Execution) error {
			return e.undisturbed(ctx, n.clause, script.Script{}, func(c *script.Command) {
				n.send(c)
				c.Channel.Settle(c.Answer)
			})
		}})
	}
	return append(all,
		Provocation{Name: "sense data stands behind response data", Clauses: []string{"SRP-RSP-003"}, Run: senseBehind},
		Provocation{Name: "sense data is longer than the response", Clauses: []string{"SRP-RSP-004"}, Run: senseOutside},
		Provocation{Name: "a read is answered twice", Clauses: []string{"SRP-RSP-012"}, Run: answeredTwice},
		Provocation{Name: "a target logs out", Clauses: []string{"SRP-LOGOUT-003"}, Run: loggedOut},
	)
}

// senseBehind answers a write with response data and sense data, which says that there is no space.
func senseBehind(ctx context.Context, e *Execution) error {
	v, d, err := e.begin(ctx, script.Script{})
	if err != nil {
		return err
	}
	onceWriting(v, func(c *script.Command) {
		sense := full.AppendFixed(nil)
		m := c.Response()
		m.Status, m.Flags = uint8(scsi.CheckCondition), srp.RspValid|srp.SenseValid
		m.ResponseLength, m.SenseLength = srp.ResponseDataSize, uint32(len(sense))
		m.Body = append(make([]byte, srp.ResponseDataSize), sense...)
		c.Send(m)
	})
	return failed("SRP-RSP-003", "a write for which there is no space, as its sense data says,", e.write(ctx, d), syscall.ENOSPC)
}

// write writes the probe.
func (e *Execution) write(ctx context.Context, d Disk) error {
	ctx, cancel := e.patient(ctx)
	defer cancel()
	return bounded(ctx, d.Write(ctx, probeOffset, contents(probeOffset, probeSize, 1)))
}

// senseOutside first fills the initiator's receives with units that have sense data where a response has it, and then answers a write with
// a response that says it had some.
func senseOutside(ctx context.Context, e *Execution) error {
	const clause, units = "SRP-RSP-004", 128
	v, d, err := e.begin(ctx, script.Script{})
	if err != nil {
		return err
	}
	for i := range units {
		v.Do(func() { last(v).Event(srp.TagOf(uint64(i)), full.AppendFixed(nil)) })
		if err := e.answers(ctx, Survival, v, i+1); err != nil {
			return err
		}
	}
	onceWriting(v, func(c *script.Command) {
		m := c.Response()
		m.Status, m.Flags, m.SenseLength = uint8(scsi.CheckCondition), srp.SenseValid, 18
		c.Send(m)
	})
	err = e.write(ctx, d)
	if err := failed(clause, "a write that is answered with CHECK CONDITION", err); err != nil {
		return err
	}
	if errors.Is(err, ErrNoNumber) {
		return untold(err)
	}
	if errors.Is(err, syscall.ENOSPC) {
		return finding.Broken(clause, "a write whose response says that it had sense data fails with what stood behind it in memory: %v", err)
	}
	return nil
}

// answeredTwice answers one of two reads twice.
func answeredTwice(ctx context.Context, e *Execution) error {
	const clause = "SRP-RSP-012"
	v, d, err := e.begin(ctx, script.Script{})
	if err != nil {
		return err
	}
	if err := prepare(v, 2); err != nil {
		return err
	}
	var held [2]*script.Command
	v.Do(func() {
		v.Script.Serve = func(c *script.Command) {
			i := slices.IndexFunc([]int{0, 1}, func(i int) bool { return c.Reads(placeOf(i)) })
			if i < 0 || held[i] != nil {
				c.Answer()
				return
			}
			held[i] = c
		}
	})
	patience, cancel := e.patient(ctx)
	defer cancel()
	var reads [2]<-chan error
	for i := range reads {
		reads[i] = async(func() error { return readBack(patience, d, placeOf(i), 1) })
	}
	if err := v.Await(patience, "two reads have come", func() bool { return held[0] != nil && held[1] != nil }); err != nil {
		return err
	}
	v.Do(func() { held[0].Answer() })
	if err := outcome(patience, reads[0]); err != nil {
		return finding.Broken(clause, "the read that is answered twice: %v", err)
	}
	v.Do(func() {
		m := held[0].Response()
		m.RequestLimitDelta = 0
		held[0].Send(m)
		held[1].Channel.GiveCredits(0, srp.TagOf(1))
	})
	if err := e.answers(ctx, clause, v, 1); err != nil {
		return err
	}
	v.Do(func() { held[1].Answer() })
	return broken(clause, outcome(patience, reads[1]))
}

// loggedOut logs out while a read waits, which goes on after the return.
func loggedOut(ctx context.Context, e *Execution) error {
	const clause = "SRP-LOGOUT-003"
	v, d, err := e.begin(ctx, script.Script{})
	if err != nil {
		return err
	}
	if err := onceAt(v, func(c *script.Command) { c.Channel.LogOut(srp.LogoutInactive) }); err != nil {
		return err
	}
	patience, cancel := e.patient(ctx, e.seconds(2))
	defer cancel()
	read := async(func() error { return readBack(patience, d, probeOffset, 1) })
	if err := v.Await(patience, "the initiator ends the channel", func() bool { return v.Channels[0].Lost }); err != nil {
		return finding.Broken(clause, "%v", err)
	}
	if err := outcome(patience, read); err != nil {
		return finding.Broken(clause, "a read that was not answered: %v", err)
	}
	return e.usableAgain(ctx, clause, d)
}

// marshal gives the bytes of a response.
func marshal(m srp.Rsp) []byte {
	b, _ := m.AppendBinary(nil)
	return b
}
