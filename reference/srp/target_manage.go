// SPDX-License-Identifier: Apache-2.0

package srp

// manage carries out task management. The answer comes when all tasks that are ended by it have ended, so that no response of
// theirs follows it (Clause SRP-TM-002).
func (r *targetRequest) manage(unit []byte) {
	m, err := ParseTskMgmt(unit)
	if err != nil {
		r.refuse(err)
		return
	}
	r.setState(requestManaging)
	c := r.channel
	done := func() { r.managed(ResponseOK) }
	switch {
	case !c.scsi.Has(m.LUN):
		r.managed(ResponseTMFailed)
	case m.Function == AbortTask:
		r.abort(m.ManagedTag, m.LUN, done)
	case m.Function == AbortTaskSet:
		r.managedIf(c.scsi.AbortTaskSet(m.LUN, done))
	case m.Function == ClearTaskSet:
		r.managedIf(c.scsi.ClearTaskSet(m.LUN, done))
	case m.Function == LogicalUnitReset && c.nexus.target.cfg.Rules.ResetClears:
		r.managedIf(c.scsi.ClearTaskSet(m.LUN, done))
	case m.Function == LogicalUnitReset:
		r.managedIf(c.scsi.Reset(m.LUN, done))
	default:
		r.managed(ResponseTMUnsupported) // Clause SRP-TM-005
	}
}

// abort ends the command of a tag.
func (r *targetRequest) abort(tag Tag, lun LUN, done func()) {
	c, rules := r.channel, &r.channel.nexus.target.cfg.Rules
	other := c.outstanding(tag, lun)
	if rules.AbortAcrossChannels {
		for _, channel := range c.nexus.Channels() {
			if other == nil {
				other = channel.outstanding(tag, lun)
			}
		}
	}
	switch {
	case other != nil && !rules.AnswerAborted:
		other.task.Abort(done)
	case other == nil && rules.FailUnknownTag:
		r.managed(ResponseTMFailed)
	default:
		done() // Clause SRP-TM-003
	}
}

// managedIf answers a function whose logical unit has gone in this moment.
func (r *targetRequest) managedIf(begun bool) {
	if !begun {
		r.managed(ResponseTMFailed)
	}
}

// managed answers task management (Clause SRP-TM-006).
func (r *targetRequest) managed(code ResponseCode) {
	r.respond(Rsp{Flags: RspValid, ResponseLength: ResponseDataSize, Body: []byte{0, 0, 0, uint8(code)}})
}

// outstanding finds the command of a tag; nil if there is none. Commands are begun by the goroutine that calls this.
func (c *TargetChannel) outstanding(tag Tag, lun LUN) *targetRequest {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.requests {
		r := &c.requests[i]
		if r.state != requestFree && r.submitted && r.tag == tag && r.cmd.LUN == lun {
			return r
		}
	}
	return nil
}
