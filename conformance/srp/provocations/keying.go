// SPDX-License-Identifier: Apache-2.0

package provocations

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/ibnbd/ibnbd/conformance/srp/script"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/finding"
	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/rdma/soft"
	"github.com/ibnbd/ibnbd/reference/roce"
	"github.com/ibnbd/ibnbd/reference/srp"
)

func keying() []Provocation {
	return []Provocation{
		{Name: "a key is used after the response", Clauses: []string{"SRP-DATA-004"}, Takes: 2 * time.Second, Run: keyAfterwards},
		{Name: "data comes late for a read that was given up", Clauses: []string{"SRP-DATA-005"}, Run: lateData},
		{Name: "a reject of the connection manager has the data of a reject of SRP", Clauses: []string{"SRP-LOGIN-021"}, Run: otherReject},
		{Name: "a connection is taken for an old one", Clauses: []string{"SRP-LOGIN-034"}, Run: staleConnection},
		{Name: "nothing is asked for a while", Clauses: []string{"SRP-TMO-014"}, Takes: 21 * time.Second, Run: idle},
		{Name: "one of four targets does not answer logins", Targets: 4, Clauses: []string{"SRP-RECON-012"}, Takes: 12 * time.Second, Run: someUnreachable},
	}
}

// errGlobalKey is of an initiator that has one key for all data.
var errGlobalKey error = &finding.Undecided{Reason: verdict.NoTool, Text: "the initiator has one key for all data", Survived: true}

// keyAfterwards writes by the key of the last read, which has ended.
func keyAfterwards(ctx context.Context, e *Execution) error {
	const clause = "SRP-DATA-004"
	v, d, err := e.begin(ctx, script.Script{})
	if err != nil {
		return err
	}
	if err := prepare(v, 2); err != nil {
		return err
	}
	var reads []*script.Command
	v.Do(func() {
		v.Script.Serve = func(c *script.Command) {
			if c.Reads(placeOf(0)) || c.Reads(placeOf(1)) {
				reads = append(reads, c)
			}
			c.Answer()
		}
	})
	for i := range 2 {
		if err := readBack(ctx, d, placeOf(i), 1); err != nil {
			return err
		}
	}
	written, settled := rdma.Completion{}, false
	global := false
	v.Do(func() {
		first, second := script.Pieces(reads[0].In), script.Pieces(reads[1].In)
		if global = first[0].RKey == second[0].RKey; global {
			return
		}
		last(v).Settle(func() {
			last(v).Write(second[0].Address, second[0].RKey, make([]byte, 16), func(done rdma.Completion) { written, settled = done, true })
		})
	})
	if global {
		return errGlobalKey
	}
	patience, cancel := e.patient(ctx)
	defer cancel()
	if err := v.Await(patience, "an RDMA WRITE by an old key has ended", func() bool { return settled || v.Channels[0].Lost }); err != nil {
		return err
	}
	if settled && written.Status == rdma.StatusSuccess {
		return finding.Broken(clause, "an RDMA WRITE by the key of a read succeeds after the response")
	}
	return e.usableAgain(ctx, clause, d)
}

// lateData writes the data of a read that was given up, and not answered, while other reads come.
func lateData(ctx context.Context, e *Execution) error {
	const clause, others = "SRP-DATA-005", 4
	v, d, err := e.begin(ctx, script.Script{})
	if err != nil {
		return err
	}
	if err := prepare(v, others+1); err != nil {
		return err
	}
	var held *script.Command
	v.Do(func() {
		v.Script.Manage = func(*script.Management) {}
		v.Script.Serve = func(c *script.Command) {
			switch {
			case c.Reads(probeOffset) && held == nil:
				held = c
			case held != nil && c.Channel == held.Channel:
				m := c.Execute()
				held.Place(make([]byte, probeSize))
				c.Send(m)
			default:
				c.Answer()
			}
		}
	})
	application, giveUp := context.WithCancel(ctx)
	defer giveUp()
	read := async(func() error {
		_, err := d.Read(application, probeOffset, probeSize)
		return err
	})
	if err := e.seen(ctx, v, probeOffset); err != nil {
		return err
	}
	giveUp()
	patience, cancel := e.patient(ctx)
	defer cancel()
	aborted := v.Await(patience, "the read is aborted", func() bool { return len(v.Managed) > 0 || v.Channels[0].Lost })
	for i := range others {
		if err := readBack(ctx, d, placeOf(i+1), 1); err != nil {
			return finding.Broken(clause, "a read, while the data of another comes late: %v", err)
		}
	}
	v.Do(func() { held.Answer() })
	patience, cancel = e.patient(ctx)
	defer cancel()
	if err := outcome(patience, read); patience.Err() != nil {
		return err
	}
	if aborted != nil {
		return ErrNoAbort
	}
	return nil
}

// Where a management datagram has its attribute and its data, in the payload of a packet: behind the headers of InfiniBand, of 12 and 8
// bytes; and where in its data a REJ has its reason.
const (
	madAttribute = 20 + 16
	madReason    = 20 + roce.MADHeaderLen + 10
)

// rejectAs changes the reason of the next rejects that a target's device sends.
func (e *Execution) rejectAs(v *script.Target, reason roce.RejReason, count int) error {
	device, is := v.Place.Device.(*soft.Device)
	if !is {
		return ErrNoSilence
	}
	isReject := func(p *soft.Packet) bool {
		b := p.Payload()
		return p.DestQP() == roce.GSIQPN && len(b) > madReason+2 && binary.BigEndian.Uint16(b[madAttribute:]) == uint16(roce.AttrREJ)
	}
	e.faults = append(e.faults, device.Inject(soft.Fault{
		Name: "reject", Stage: soft.Made, Match: isReject, Count: count,
		Change: func(p *soft.Packet) { binary.BigEndian.PutUint16(p.Payload()[madReason:], uint16(reason)) },
	}))
	return nil
}

// otherReject rejects with the data of a reject of SRP, and the connection manager's reason for a port where nobody listens.
func otherReject(ctx context.Context, e *Execution) error {
	const clause = "SRP-LOGIN-021"
	v, err := e.Serve(script.Script{Login: func(l *script.Login) { l.Reject(srp.RejectNexus) }})
	if err != nil {
		return err
	}
	if err := e.rejectAs(v, roce.RejInvalidServiceID, 1); err != nil {
		return err
	}
	told, violation := e.refused(ctx, clause, v)
	if violation != nil {
		return violation
	}
	if is := reasonOf(told); is != 0 {
		return finding.Broken(clause, "the user is told %q: the connection manager rejects, and not the target", told)
	}
	return nil
}

// staleConnection rejects the first two logins as connections that are there already.
func staleConnection(ctx context.Context, e *Execution) error {
	const clause, times = "SRP-LOGIN-034", 2
	logins := 0
	v, err := e.Serve(script.Script{Login: func(l *script.Login) {
		if logins++; logins > times {
			l.Accept()
			return
		}
		l.RejectWith(nil)
	}})
	if err != nil {
		return err
	}
	if err := e.rejectAs(v, roce.RejStaleConnection, times); err != nil {
		return err
	}
	d, err := e.Add(ctx, v, e.usual())
	if err != nil {
		return finding.Broken(clause, "no login: %v", err)
	}
	return broken(clause, Usable(ctx, d))
}

// idle asks nothing of the initiator for three times the interval of its probe, and counts what it sends that takes a credit. Before, it
// waits for one interval without a command, or at most for three commands: others may still look at a new disk.
func idle(ctx context.Context, e *Execution) error {
	const clause, intervals = "SRP-TMO-014", 3
	v, d, err := e.begin(ctx, script.Script{})
	if err != nil {
		return err
	}
	if err := prepare(v, 1); err != nil {
		return err
	}
	if err := readBack(ctx, d, probeOffset, 1); err != nil { // no write: behind the close of one, some look at the disk again
		return err
	}
	probe := e.setup.Initiator.Timers().Probe
	for range intervals {
		if !commandComes(ctx, v, probe) {
			break
		}
	}
	if commandComes(ctx, v, intervals*probe) {
		return finding.Broken(clause, "the initiator sends a request, which takes a credit, while nothing is asked of it")
	}
	if n := v.Asked(); n != 1 {
		return finding.Broken(clause, "the initiator has logged in %d times, it must keep its channel", n)
	}
	return broken(clause, Usable(ctx, d))
}

// commandComes waits for a command, or a request of task management.
func commandComes(ctx context.Context, v *script.Target, within time.Duration) bool {
	sent := 0
	v.Do(func() { sent = len(v.Seen) + len(v.Managed) })
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	return v.Await(ctx, "a command comes", func() bool { return len(v.Seen)+len(v.Managed) > sent }) == nil
}

// someUnreachable loses four targets, of which one answers no login.
func someUnreachable(ctx context.Context, e *Execution) error {
	const clause = "SRP-RECON-012"
	var targets []*script.Target
	var disks []Disk
	for range 4 {
		v, d, err := e.begin(ctx, script.Script{})
		if err != nil {
			return err
		}
		targets, disks = append(targets, v), append(disks, d)
	}
	targets[0].Do(func() { targets[0].Script.Login = (*script.Login).Ignore })
	for _, v := range targets {
		e.hangup(ctx, v)
	}
	t := e.setup.Initiator.Timers()
	bound := e.seconds(1) + 3*t.Gap + t.AttemptMax + t.Gap
	patience, cancel := e.patient(ctx, bound)
	defer cancel()
	for i, v := range targets[1:] {
		if err := v.Await(patience, fmt.Sprintf("reachable target %d is asked for a login within %s and %s", i+1, bound, e.setup.Patience), func() bool { return len(v.Logins) >= 2 }); err != nil {
			return finding.Broken(clause, "%v", err)
		}
		if err := e.usableAgain(ctx, clause, disks[i+1]); err != nil {
			return err
		}
	}
	return nil
}
