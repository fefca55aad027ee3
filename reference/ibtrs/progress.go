// SPDX-License-Identifier: Apache-2.0

package ibtrs

import (
	"errors"

	"github.com/ibnbd/ibnbd/reference/rdma"
)

// errStuck ends a path of which one connection carries nothing any more.
var errStuck = errors.New("a connection is stuck: the peer's adapter does not take what is sent")

// progress is what a channel knows of whether the peer's adapter takes what it sends. Heartbeats go over connection 0 alone,
// and an adapter may repeat what another connection loses for ever, as soft-RoCE does when asked for seven times. So each
// of the others asks a question of its own: a write of nothing, which completes when all that was posted before it was taken.
// How long the peer takes to answer requests does not matter (Clause IBNBD-FAIL-028).
type progress struct {
	busy     bool // something was posted since the last question
	asked    bool // the question is without an answer
	moved    bool // something has completed since the last look
	idle     int  // looks in a row at which nothing had, although something was asked
	question work
}

// look is to be called once in a heartbeat interval. It fails when nothing was taken for more looks than misses are forgiven.
func (c *channel) look(misses int) error {
	c.mu.Lock()
	p := &c.progress
	p.idle++
	if p.moved || !p.asked {
		p.idle = 0
	}
	p.moved = false
	stuck, ask := p.idle > misses, p.busy && !p.asked
	if ask {
		p.busy, p.asked = false, true
		p.question.chain = []rdma.SendWR{{ID: workProgress, Op: rdma.OpWrite, Signaled: true}}
	}
	c.mu.Unlock()
	switch {
	case stuck:
		return errStuck
	case ask:
		return c.post(&p.question)
	}
	return nil
}

// note takes down that work has completed. The caller holds the channel's lock.
func (p *progress) note(answered bool) {
	p.moved = true
	if answered {
		p.asked = false
	}
}
