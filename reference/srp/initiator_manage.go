// SPDX-License-Identifier: Apache-2.0

package srp

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/ibnbd/ibnbd/reference/rdma"
)

// management is one task management request. A channel has one of them sent at a time.
type management struct {
	function TaskFunction
	lun      LUN
	slot     *slot // whose command is to be aborted
	managed  Tag
	asked    time.Time
	done     func(error) // called with the lock held; may be nil

	sent     bool
	pending  bool // the SEND has not completed
	answered bool
	tag      Tag
}

// abort has the target abort the command of a slot (Clause SRP-TM-001). It is called with the lock held.
func (c *initiatorChannel) abort(s *slot) {
	if s.abortAsked {
		return
	}
	s.abortAsked = true
	c.port.stats.Aborts++
	c.manage(&management{function: AbortTask, lun: s.command.LUN, slot: s, managed: s.tag})
}

// manage queues a request.
func (c *initiatorChannel) manage(m *management) {
	m.asked = time.Now()
	c.tasks = append(c.tasks, m)
	c.arm(m.asked.Add(c.port.cfg.TaskTimeout))
	c.manageNext(m.asked)
}

// manageNext sends the first request, if it is not sent and there is a credit.
func (c *initiatorChannel) manageNext(now time.Time) {
	for len(c.tasks) > 0 && !c.tasks[0].sent && !c.nexus.ended {
		m := c.tasks[0]
		if s := m.slot; s != nil && (s.command == nil || s.tag != m.managed) {
			c.tasks = c.tasks[1:] // it has ended by itself
			continue
		}
		if !c.credits.TakeTaskManagement() {
			return
		}
		c.sendTask(m, now)
	}
}

func (c *initiatorChannel) sendTask(m *management, now time.Time) {
	c.tags++
	m.tag, m.sent, m.pending, m.asked = TagOf(c.tags<<tagShift|manageNumber), true, true, now
	at := len(c.slots) * c.unitSize
	unit, _ := TskMgmt{Type: TypeTskMgmt, Tag: m.tag, LUN: m.lun, Function: m.function, ManagedTag: m.managed}.AppendBinary(c.units.Bytes()[at:at])
	local := []rdma.SGE{{Region: c.units, Offset: at, Length: len(unit)}}
	if err := c.conn.PostSend(rdma.SendWR{ID: doneManage, Op: rdma.OpSend, Local: local, Signaled: true}); err != nil {
		c.port.lose(c.nexus, fmt.Errorf("send: %w", err))
	}
}

// taskAnswered takes the answer to the first request.
func (c *initiatorChannel) taskAnswered(m *Rsp) {
	t := c.tasks[0]
	if t.answered {
		return
	}
	t.answered = true
	code, ok := m.ResponseCode()
	var err error
	if !ok || code != ResponseOK {
		err = fmt.Errorf("the target answers %s with response code %d: %w", t.function, code, syscall.EREMOTEIO)
	}
	switch {
	case t.function == AbortTask:
		c.aborted(t, err)
	case err == nil:
		c.afterReset(t.lun)
	}
	if t.done != nil {
		t.done(err)
	}
	if !c.nexus.ended {
		c.managed()
	}
}

// aborted ends the command that was aborted, unless it was answered before. One that the target cannot abort may take effect as long as
// the connection lives.
func (c *initiatorChannel) aborted(t *management, err error) {
	s := t.slot
	if s.command == nil || s.tag != t.managed {
		return
	}
	if err != nil {
		c.port.lose(c.nexus, err)
		return
	}
	cmd := c.detach(s)
	c.port.finish(cmd, cmd.given)
	c.retire(s)
}

// managed goes on when the first request is answered and its SEND has completed.
func (c *initiatorChannel) managed() {
	if t := c.tasks[0]; t.answered && !t.pending {
		c.tasks = c.tasks[1:]
	}
}

// afterReset ends the commands of a logical unit that were sent on this channel before the reset was: the target has ended them, and answers
// none of them any more. None was sent behind it.
func (c *initiatorChannel) afterReset(lun LUN) {
	for s := c.oldest; s != nil && !c.nexus.ended; {
		next := s.newer
		if s.command.LUN == lun {
			cmd := c.detach(s)
			err := cmd.given
			if err == nil {
				err = ErrReset
			}
			c.port.finish(cmd, err)
			c.retire(s)
		}
		s = next
	}
}

// Reset resets a logical unit, which ends the commands of all initiators on it. When ctx ends first it is not waited for.
func (p *RemotePort) Reset(ctx context.Context, lun LUN) error {
	ended := make(chan error, 1)
	if err := p.reset(lun, func(err error) { ended <- err }); err != nil {
		return err
	}
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// reset sends the request on each channel that has commands of the unit: only behind them in order it is known that they have come to the
// target. Commands that come meanwhile wait.
func (p *RemotePort) reset(lun LUN, done func(error)) error {
	p.mu.Lock()
	defer p.unlock()
	if p.state != PortRunning { // Clause SRP-TM-009
		return fmt.Errorf("reset of logical unit %s: the port is %s: %w", lun, p.state, syscall.EIO)
	}
	p.stats.Resets++
	p.resetting[lun]++
	n, left := p.nexus, 0
	var failed error
	ended := func(err error) {
		failed = errors.Join(failed, err)
		if left--; left > 0 {
			return
		}
		if p.resetting[lun]--; p.resetting[lun] == 0 {
			delete(p.resetting, lun)
		}
		done(failed)
	}
	var on []*initiatorChannel
	for _, c := range n.channels {
		if c.number == 0 || c.has(lun) {
			on = append(on, c)
		}
	}
	left = len(on)
	for _, c := range on {
		if n.ended {
			ended(fmt.Errorf("reset of logical unit %s: the target port was lost: %w", lun, syscall.EIO))
			continue
		}
		c.manage(&management{function: LogicalUnitReset, lun: lun, done: ended})
	}
	return nil
}

// has tells whether a command of a unit is not answered.
func (c *initiatorChannel) has(lun LUN) bool {
	for s := c.oldest; s != nil; s = s.newer {
		if s.command.LUN == lun {
			return true
		}
	}
	return false
}
