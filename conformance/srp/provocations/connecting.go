// SPDX-License-Identifier: Apache-2.0

package provocations

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"

	"github.com/ibnbd/ibnbd/conformance/srp/script"
	"github.com/ibnbd/ibnbd/conformance/verdict/finding"
	"github.com/ibnbd/ibnbd/reference/scsi"
	"github.com/ibnbd/ibnbd/reference/srp"
)

// reasons are all that a target can give for a reject.
var reasons = []srp.RejectReason{
	srp.RejectNoDetail, srp.RejectNoResources, srp.RejectIULength, srp.RejectNexus, srp.RejectFormat, srp.RejectMultiChannel,
	srp.RejectChannelsExhausted,
}

func connecting() []Provocation {
	all := []Provocation{
		{Name: "identifiers are looked at", Clauses: []string{"SRP-LOGIN-006", "SRP-LOGIN-008"}, Run: identifiers},
		{Name: "identifiers of I/O class ff00 are looked at", Clauses: []string{"SRP-LOGIN-007"}, Run: exchangedIdentifiers},
		{Name: "a login is rejected as by nobody", Clauses: []string{"SRP-LOGIN-022"}, Run: malformedReject},
		{Name: "a login is answered by something else", Clauses: []string{"SRP-LOGIN-024"}, Run: malformedReply},
		{Name: "the longest unit comes with the begin of a channel", Clauses: []string{"SRP-LOGIN-011"}, Run: longestUnit},
		{Name: "nothing is written with the begin of a channel", Clauses: []string{"SRP-LOGIN-033"}, Run: nothingWritten},
		{Name: "one channel of two is lost", Clauses: []string{"SRP-CH-004"}, Run: oneChannelLost},
		{Name: "a further channel is rejected", Clauses: []string{"SRP-CH-005"}, Run: fewerChannels},
		{Name: "a further channel is rejected upon return", Clauses: []string{"SRP-CH-006"}, Run: fewerChannelsLater},
		{Name: "reads and writes of all sizes come", Clauses: []string{"SRP-CMD-022"}, Run: allSizes},
		{Name: "the target goes while it is scanned", Clauses: []string{"SRP-STATE-013"}, Run: lostInScan},
	}
	for _, reason := range reasons {
		all = append(all, Provocation{Name: fmt.Sprintf("a login is rejected, reason %#x", uint32(reason)), Clauses: []string{"SRP-LOGIN-023"}, Run: func(ctx context.Context, e *Execution) error {
			return rejected(ctx, e, reason)
		}})
	}
	for _, n := range []int32{-8, 0, 1} {
		all = append(all, Provocation{Name: fmt.Sprintf("a login has the request limit %d", n), Clauses: []string{"SRP-LOGIN-025"}, Run: func(ctx context.Context, e *Execution) error {
			return smallLimit(ctx, e, n)
		}})
	}
	return all
}

// extension is that of an initiator port.
const extension = 0xa1a2a3a4a5a6a7a8

func identifiers(ctx context.Context, e *Execution) error {
	v, _, err := e.begin(ctx, script.Script{}, fmt.Sprintf("initiator_ext=%016x", uint64(extension)))
	if err != nil {
		return err
	}
	var got srp.LoginReqCM
	v.Do(func() { got = v.Logins[0].Request })
	if ext, guid := got.InitiatorPort.Split(srp.IOClassRev16a); ext != extension {
		return finding.Broken("SRP-LOGIN-006", "the initiator port is %016x, then %016x; the first must be %016x", ext, guid, uint64(extension))
	}
	if ext, guid := got.TargetPort.Split(srp.IOClassRev16a); ext != v.Place.IDExt || guid != v.Place.IOCGUID {
		return finding.Broken("SRP-LOGIN-008", "the target port is %016x, then %016x; it must be %016x, then %016x", ext, guid, v.Place.IDExt, v.Place.IOCGUID)
	}
	return nil
}

// exchangedIdentifiers compares the identifiers of two logins, which differ in the I/O class alone.
func exchangedIdentifiers(ctx context.Context, e *Execution) error {
	const clause = "SRP-LOGIN-007"
	v, d, err := e.begin(ctx, script.Script{}, fmt.Sprintf("initiator_ext=%016x", uint64(extension)))
	if err != nil {
		return err
	}
	if err := e.delete(ctx, d); err != nil {
		return err
	}
	if _, err := e.Add(ctx, v, e.usual(), fmt.Sprintf("initiator_ext=%016x", uint64(extension)), "io_class=ff00"); err != nil {
		return finding.Broken(clause, "no login: %v", err)
	}
	var first, second srp.LoginReqCM
	v.Do(func() { first, second = v.Logins[0].Request, v.Logins[len(v.Logins)-1].Request })
	for _, id := range []struct {
		what          string
		before, after srp.PortID
	}{{"initiator", first.InitiatorPort, second.InitiatorPort}, {"target", first.TargetPort, second.TargetPort}} {
		if !bytes.Equal(id.before[:8], id.after[8:]) || !bytes.Equal(id.before[8:], id.after[:8]) {
			return finding.Broken(clause, "the %s port is %s, and was %s for I/O class 0100: the halves must be exchanged", id.what, id.after, id.before)
		}
	}
	return nil
}

func rejected(ctx context.Context, e *Execution, reason srp.RejectReason) error {
	const clause = "SRP-LOGIN-023"
	v, err := e.Serve(script.Script{Login: func(l *script.Login) { l.Reject(reason) }})
	if err != nil {
		return err
	}
	told, violation := e.refused(ctx, clause, v)
	if violation != nil {
		return violation
	}
	if is := reasonOf(told); is != reason {
		return finding.Broken(clause, "the user is told %q, it must have the reason %#08x", told, uint32(reason))
	}
	return nil
}

// malformedReject rejects with private data that looks like a reject but for its type.
func malformedReject(ctx context.Context, e *Execution) error {
	const clause = "SRP-LOGIN-022"
	data := make([]byte, srp.LoginRejSize)
	data[0] = srp.TypeLoginRsp
	binary.BigEndian.PutUint32(data[4:], uint32(srp.RejectNexus))
	v, err := e.Serve(script.Script{Login: func(l *script.Login) { l.RejectWith(data) }})
	if err != nil {
		return err
	}
	told, violation := e.refused(ctx, clause, v)
	if violation != nil {
		return violation
	}
	if is := reasonOf(told); is != 0 {
		return finding.Broken(clause, "the user is told %q: there is no reason in what is no SRP_LOGIN_REJ", told)
	}
	return nil
}

func malformedReply(ctx context.Context, e *Execution) error {
	v, err := e.Serve(script.Script{Login: func(l *script.Login) {
		l.Response.Type = srp.TypeRsp
		l.Accept()
	}})
	if err != nil {
		return err
	}
	_, violation := e.refused(ctx, "SRP-LOGIN-024", v)
	return violation
}

func smallLimit(ctx context.Context, e *Execution, n int32) error {
	const clause = "SRP-LOGIN-025"
	v, err := e.Serve(script.Script{Login: func(l *script.Login) {
		l.Response.RequestLimitDelta = n
		l.Accept()
	}})
	if err != nil {
		return err
	}
	patience, cancel := e.patient(ctx)
	defer cancel()
	d, err := e.Add(patience, v, e.usual())
	switch {
	case patience.Err() != nil:
		return finding.Broken(clause, "the login does not end")
	case err != nil && v.Asked() == 0:
		return unasked(err)
	case err != nil:
		return e.abandoned(ctx, clause, v)
	}
	if err := Usable(patience, d); err != nil {
		return finding.Broken(clause, "the login is accepted, and then: %v", err)
	}
	return nil
}

// longestUnit sends the longest unit that was agreed on before the initiator has sent anything.
func longestUnit(ctx context.Context, e *Execution) error {
	const clause = "SRP-LOGIN-011"
	sense := make([]byte, script.MaxTargetIU-srp.AERReqSize)
	scsi.Sense{Key: scsi.UnitAttention, Code: scsi.ReportedLUNsChanged}.AppendFixed(sense[:0])
	v, err := e.Serve(script.Script{Begin: func(c *script.Channel) {
		c.Event(srp.TagOf(7), sense)
	}})
	if err != nil {
		return err
	}
	d, err := e.Add(ctx, v, e.usual())
	if err != nil {
		return finding.Broken(clause, "no login at a target that begins with a unit of %d bytes, as long as it has said: %v", script.MaxTargetIU, err)
	}
	if err := e.answers(ctx, clause, v, 1); err != nil {
		return err
	}
	return broken(clause, Usable(ctx, d))
}

// answers judges that so many requests of a target were answered.
func (e *Execution) answers(ctx context.Context, clause string, v *script.Target, n int) error {
	ctx, cancel := e.patient(ctx)
	defer cancel()
	return broken(clause, v.Await(ctx, fmt.Sprintf("%d requests of the target are answered", n), func() bool { return len(v.Others) >= n }))
}

func nothingWritten(ctx context.Context, e *Execution) error {
	const clause = "SRP-LOGIN-033"
	v, err := e.Serve(script.Script{Begin: (*script.Channel).WriteNothing})
	if err != nil {
		return err
	}
	d, err := e.Add(ctx, v, e.usual())
	if err == nil {
		err = Usable(ctx, d)
	}
	return broken(clause, err)
}

func oneChannelLost(ctx context.Context, e *Execution) error {
	const clause = "SRP-CH-004"
	v, d, err := e.begin(ctx, script.Script{}, "ch_count=2")
	if err != nil {
		return err
	}
	if err := Usable(ctx, d); err != nil {
		return err
	}
	channels := 0
	v.Do(func() {
		if channels = len(v.Channels); channels == 2 {
			v.Channels[1].Hangup()
		}
	})
	switch {
	case channels < 2:
		return ErrFewChannels
	case channels > 2:
		return fmt.Errorf("the initiator has made %d channels, ch_count=2 asks for 2", channels)
	}
	patience, cancel := e.patient(ctx)
	defer cancel()
	if err := v.Await(patience, "the initiator has ended the other channel", func() bool { return v.Channels[0].Lost }); err != nil {
		return finding.Broken(clause, "%v", err)
	}
	return e.usableAgain(ctx, clause, d)
}

// atMost accepts the first channels of a nexus.
func atMost(n int) func(l *script.Login) {
	have := 0
	return func(l *script.Login) {
		if l.First() {
			have = 0
		}
		if have++; have > n {
			l.Reject(srp.RejectNoResources)
			return
		}
		l.Accept()
	}
}

func fewerChannels(ctx context.Context, e *Execution) error {
	const clause = "SRP-CH-005"
	v, err := e.Serve(script.Script{Login: atMost(2)})
	if err != nil {
		return err
	}
	d, err := e.Add(ctx, v, e.usual(), "ch_count=3")
	if err != nil {
		return finding.Broken(clause, "no login at a target that allows two channels: %v", err)
	}
	if v.Asked() < 3 {
		return ErrFewChannels
	}
	return broken(clause, Usable(ctx, d))
}

func fewerChannelsLater(ctx context.Context, e *Execution) error {
	const clause = "SRP-CH-006"
	v, d, err := e.begin(ctx, script.Script{}, "ch_count=3")
	if err != nil {
		return err
	}
	if v.Asked() < 3 {
		return ErrFewChannels
	}
	v.Do(func() { v.Script.Login = atMost(2) })
	e.hangup(ctx, v)
	return e.usableAgain(ctx, clause, d)
}

// allSizes writes and reads pieces of several sizes, with and without immediate data.
func allSizes(ctx context.Context, e *Execution) error {
	const clause = "SRP-CMD-022"
	v, d, err := e.begin(ctx, script.Script{})
	if err != nil {
		return err
	}
	for _, none := range []bool{false, true} {
		if none {
			v.Do(func() { v.Script.NoImmediate = true })
			e.hangup(ctx, v)
			if err := e.awaitState(ctx, Survival, d, Running, e.seconds(2)); err != nil {
				return err
			}
		}
		for i, size := range []int{4096, 8192, 12 << 10, 64 << 10, 256 << 10} {
			want := contents(probeOffset, size, uint64(10+i))
			if err := d.Write(ctx, probeOffset, want); err != nil {
				return finding.Broken(clause, "a write of %d bytes: %v", size, err)
			}
			if err := holds(v, probeOffset, want); err != nil {
				return finding.Broken(clause, "a write of %d bytes: %v", size, err)
			}
			got, err := d.Read(ctx, probeOffset, size)
			if err != nil {
				return finding.Broken(clause, "a read of %d bytes: %v", size, err)
			}
			if !bytes.Equal(got, want) {
				return finding.Broken(clause, "a read of %d bytes gives something else than was written", size)
			}
		}
	}
	return nil
}

// lostInScan goes when the first disk is looked at, and is away until the login has failed.
func lostInScan(ctx context.Context, e *Execution) error {
	const clause = "SRP-STATE-013"
	v, err := e.Serve(script.Script{})
	if err != nil {
		return err
	}
	gone := false
	v.Do(func() {
		v.Script.Login = func(l *script.Login) {
			if gone {
				l.Reject(srp.RejectNoResources)
				return
			}
			l.Accept()
		}
		v.Script.Serve = func(c *script.Command) {
			if c.Is(scsi.OpInquiry) {
				gone = true
				c.Channel.Hangup()
				return
			}
			c.Answer()
		}
	})
	if _, violation := e.refused(ctx, clause, v); violation != nil {
		return violation
	}
	v.Do(func() { v.Script.Login, v.Script.Serve = nil, nil })
	d, err := e.Add(ctx, v, e.usual())
	if err != nil {
		return finding.Broken(clause, "when the target is back, it cannot be added: %v", err)
	}
	return broken(clause, Usable(ctx, d))
}
