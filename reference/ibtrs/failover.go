// SPDX-License-Identifier: Apache-2.0

package ibtrs

// failover deals with the requests that a lost build had in flight, in the order of their permits, as far as they are
// chosen: each goes to another path with the same permit, header and data (Clause IBTRS-PATH-012), or fails if there is
// none (Clause IBNBD-FAIL-006). One that was given up goes nowhere (Clause IBNBD-FAIL-029). The build is drained, so no
// response can come any more.
func (b *build) failover(chosen func(*slot) bool) {
	if b.chunks == nil {
		return // it never carried a request
	}
	if b.session.cfg.Rules.ForgetOnLoss {
		return
	}
	for k := range b.session.slots {
		sl := &b.session.slots[k]
		sl.mu.Lock()
		if sl.build != b || sl.state == slotFree || !chosen(sl) {
			sl.mu.Unlock()
			continue
		}
		if sl.state == slotInvalidating { // the server has answered; the window goes with the build
			b.finish(sl, sl.answer)
			continue
		}
		sl.mu.Unlock()
		b.path.inflight.Add(-1)
		b.resend(sl)
	}
}

// resend sends a request again on another path.
func (b *build) resend(sl *slot) {
	s := b.session
	err := errNoPath
	if !s.cfg.Rules.NoFailover {
		err = s.dispatch(sl, b)
	}
	if err == nil {
		return
	}
	if s.cfg.Rules.SucceedOnLoss {
		err = nil
	}
	sl.mu.Lock()
	s.free(sl, err)
}
