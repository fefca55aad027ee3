// SPDX-License-Identifier: Apache-2.0

package srp

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/ibnbd/ibnbd/reference/scsi"
)

// Command is one SCSI command. Its first fields are the caller's until [RemotePort.Submit] is called, and again, with the result, when
// Done is. It may then be used again.
type Command struct {
	LUN       LUN
	CDB       []byte // 1 to 32 bytes
	Out, In   []byte // data to and from the target; not to be touched until Done is called
	Attribute uint8  // TaskSimple, TaskHeadOfQueue, TaskOrdered or TaskACA
	Retries   int    // how often it is sent again after a unit attention, and while the target is busy
	// Done is called when the command has ended. It must not wait.
	Done func(*Command)

	// The result.

	Err         error // the command was not answered, or not as a command: the rest means nothing
	Status      scsi.Status
	InResidual  int // bytes of In that the target has not written; what has not fitted into In is not counted
	OutResidual int // bytes of Out that it has not read
	sense       [scsi.MaxSenseSize]byte
	senseLength int

	owner any // whoever made the command

	// Guarded by the port's lock.

	state         commandState
	tries         int
	notBefore     time.Time // when the target was busy
	given         error     // why the caller has given the command up
	slot          *slot     // while it is sent
	before, after *Command  // in a list
	result        chan struct{}
}

type commandState uint8

const (
	commandIdle    commandState = iota
	commandWaiting              // in the port's queue
	commandSent
)

// busyPause is how long a command that a target was too busy for waits.
const busyPause = 100 * time.Millisecond

// Sense is the sense data that came with the status, as much as is kept.
func (c *Command) Sense() []byte { return c.sense[:c.senseLength] }

// Failure is nil if the command has succeeded.
func (c *Command) Failure() error {
	switch {
	case c.Err != nil:
		return c.Err
	case c.Status == scsi.Good:
		return nil
	}
	e := &CommandError{LUN: c.LUN, Status: c.Status}
	if f := scsi.FormOf(c.CDB); f != nil {
		e.Command = f.Name
	}
	e.Sense, e.HasSense = scsi.ParseSense(c.Sense())
	return e
}

// CommandError is a status other than GOOD.
type CommandError struct {
	Command  string // its name, if it has one here
	LUN      LUN
	Status   scsi.Status
	Sense    scsi.Sense
	HasSense bool
}

// Error says which command failed and how.
func (e *CommandError) Error() string {
	text := fmt.Sprintf("%s of logical unit %s: %s", e.Command, e.LUN, e.Status)
	if e.HasSense {
		text += ", " + e.Sense.Error()
	}
	return text
}

// Unwrap gives the error number of the system.
func (e *CommandError) Unwrap() error {
	switch {
	case e.Status == scsi.ReservationConflict:
		return syscall.EBADE
	case e.Status == scsi.Busy || e.Status == scsi.TaskSetFull:
		return syscall.EBUSY
	case !e.HasSense:
		return syscall.EIO
	}
	switch e.Sense.Code {
	case scsi.WriteProtected:
		return syscall.EROFS
	case scsi.SpaceAllocationFailed:
		return syscall.ENOSPC
	case scsi.InvalidOperationCode:
		return syscall.EOPNOTSUPP
	case scsi.LogicalUnitNotSupported:
		return syscall.ENXIO
	case scsi.InvalidFieldInCDB, scsi.InvalidFieldInParameters, scsi.LBAOutOfRange, scsi.ParameterListLengthError:
		return syscall.EINVAL
	}
	return syscall.EIO
}

// How commands end that are not answered.
var (
	// ErrFailFast ends commands when fast_io_fail_tmo has passed since the loss of the port.
	ErrFailFast = fmt.Errorf("the target port was lost, and fast_io_fail_tmo has passed: %w", syscall.ENOLINK)
	// ErrOffline refuses commands after that.
	ErrOffline = fmt.Errorf("the target port is lost: %w", syscall.EIO)
	// ErrDeleted ends and refuses commands of a port that is deleted.
	ErrDeleted = fmt.Errorf("the port is deleted: %w", syscall.ENODEV)
	// ErrReset ends commands of a logical unit that this initiator has reset.
	ErrReset = fmt.Errorf("the logical unit was reset: %w", syscall.ECANCELED)
)

// commandList is a queue of commands.
type commandList struct{ first, last *Command }

func (l *commandList) pushBack(c *Command) {
	c.before, c.after = l.last, nil
	if l.last == nil {
		l.first = c
	} else {
		l.last.after = c
	}
	l.last = c
}

func (l *commandList) pushFront(c *Command) {
	c.before, c.after = nil, l.first
	if l.first == nil {
		l.last = c
	} else {
		l.first.before = c
	}
	l.first = c
}

func (l *commandList) remove(c *Command) {
	if c.before == nil {
		l.first = c.after
	} else {
		c.before.after = c.after
	}
	if c.after == nil {
		l.last = c.before
	} else {
		c.after.before = c.before
	}
	c.before, c.after = nil, nil
}

// Submit begins a command; c.Done is called when it has ended. While the port is blocked it waits. When Submit returns an error, Done is
// not called.
func (p *RemotePort) Submit(c *Command) error {
	if err := p.check(c); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.unlock()
	switch r := p.rules(); {
	case p.state == PortFailFast && !r.HoldOffline, p.state == PortBlocked && r.RefuseBlocked, p.offline && r.KeepOffline:
		return ErrOffline
	case p.state == PortLost:
		return ErrDeleted
	}
	c.Err, c.Status, c.InResidual, c.OutResidual, c.senseLength = nil, 0, 0, 0, 0
	c.tries, c.given, c.notBefore = c.Retries, nil, time.Time{}
	c.state = commandWaiting
	p.queue.pushBack(c)
	p.waiting++
	p.pump()
	return nil
}

func (p *RemotePort) check(c *Command) error {
	most := p.cfg.maxTransfer()
	switch {
	case len(c.CDB) < 1 || len(c.CDB) > cdbSize+maxExtraCDB:
		return fmt.Errorf("command block has %d bytes, must have 1 to %d: %w", len(c.CDB), cdbSize+maxExtraCDB, syscall.EINVAL)
	case len(c.Out) > most || len(c.In) > most:
		return fmt.Errorf("command has %d bytes of data, must have at most %d: %w", max(len(c.Out), len(c.In)), most, syscall.EINVAL)
	}
	return nil
}

// Cancel gives a command up. One that was sent ends when the target has aborted it, or its port is lost: it cannot take effect any more
// when Done is called.
func (p *RemotePort) Cancel(c *Command) { p.give(c, context.Canceled) }

func (p *RemotePort) give(c *Command, why error) {
	p.mu.Lock()
	defer p.unlock()
	switch c.state {
	case commandWaiting:
		p.dequeue(c)
		p.finish(c, why)
	case commandSent:
		if c.given == nil {
			c.given = why
			if p.rules().FreeGivenUp {
				c.slot.release(&c.slot.in)
			}
			c.slot.channel.abort(c.slot)
		}
	}
}

// Execute sends a command and waits for its end. When ctx ends first the command is aborted, and Execute returns when it cannot take
// effect any more. The error is that of ctx, or of [Command.Failure].
func (p *RemotePort) Execute(ctx context.Context, c *Command) error {
	if c.result == nil {
		c.result = make(chan struct{}, 1)
	}
	c.Done = tellWaiter
	if err := p.Submit(c); err != nil {
		return err
	}
	select {
	case <-c.result:
	case <-ctx.Done():
		p.give(c, ctx.Err())
		<-c.result
	}
	return c.Failure()
}

func tellWaiter(c *Command) { c.result <- struct{}{} }

// dequeue takes a command out of the queue.
func (p *RemotePort) dequeue(c *Command) {
	p.queue.remove(c)
	p.waiting--
	c.state = commandIdle
}

// finish ends a command; unlock calls Done. A command that ended with an answer has no error.
func (p *RemotePort) finish(c *Command, err error) {
	c.state, c.Err = commandIdle, err
	if err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		p.stats.Failed++
	}
	p.finished.pushBack(c)
}

// unlock gives the lock back and calls what must not be called with it.
func (p *RemotePort) unlock() {
	c := p.finished.first
	p.finished = commandList{}
	p.mu.Unlock()
	for c != nil {
		next := c.after
		c.before, c.after = nil, nil
		c.Done(c)
		c = next
	}
}

// answered takes the response to a command. It is called with the lock held, when the command has left its slot.
func (p *RemotePort) answered(c *Command, m *Rsp, in []byte) {
	if code, ok := m.ResponseCode(); ok && code != ResponseOK && !p.rules().IgnoreCode { // Clause SRP-RSP-010
		p.finish(c, fmt.Errorf("the target refuses the command, response code %d: %w", code, syscall.EREMOTEIO))
		return
	}
	c.Status = scsi.Status(m.Status)
	c.senseLength = copy(c.sense[:], m.Sense())
	if p.again(c) {
		return
	}
	c.InResidual, c.OutResidual = len(c.In), len(c.Out)
	r := p.rules()
	if !m.Flags.both(DataInUnder) || r.IgnoreResidual || r.BoundedResidual && uint64(m.DataInResidual) > uint64(len(c.In)) {
		c.InResidual = 0
	}
	if !m.Flags.both(DataOutUnder) {
		c.OutResidual = 0
	}
	c.InResidual = int(min(uint64(c.InResidual), uint64(m.DataInResidual))) // Clause SRP-RSP-009
	c.OutResidual = int(min(uint64(c.OutResidual), uint64(m.DataOutResidual)))
	copy(c.In[:len(c.In)-c.InResidual], in)
	if r.EditData != nil {
		r.EditData(c.In)
	}
	p.finish(c, nil)
}

// again sends a command again, if it may be: after a unit attention at once, and when the target was busy later. One that was given up
// has not been executed, and ends.
func (p *RemotePort) again(c *Command) bool {
	if c.tries == 0 {
		return false
	}
	switch c.Status {
	case scsi.CheckCondition:
		if s, ok := scsi.ParseSense(c.Sense()); !ok || s.Key != scsi.UnitAttention {
			return false
		}
		p.stats.Attentions++
	case scsi.Busy, scsi.TaskSetFull:
		c.notBefore = time.Now().Add(busyPause)
	default:
		return false
	}
	if c.given != nil {
		p.finish(c, c.given)
		return true
	}
	c.tries--
	p.requeue(c)
	return true
}

// requeue puts a command in front of the queue.
func (p *RemotePort) requeue(c *Command) {
	c.state, c.Status, c.senseLength = commandWaiting, 0, 0
	p.queue.pushFront(c)
	p.waiting++
}
