// SPDX-License-Identifier: Apache-2.0

package ibtrs_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/rdma/soft"
	"github.com/ibnbd/ibnbd/reference/roce"
)

// TestStuckConnection loses what one side sends on one connection of a path, while heartbeats come through on another. The
// devices repeat it for ever, as soft-RoCE does. No request may wait for longer than for a silent peer (Clause
// IBNBD-FAIL-028).
func TestStuckConnection(t *testing.T) {
	for _, c := range []struct {
		lost  string
		by    func(l *lab) *soft.Device // where packets are lost on their way in
		carry func(ibtrs.Immediate) bool
	}{
		{"requests", func(l *lab) *soft.Device { return l.servers[0] }, func(i ibtrs.Immediate) bool { return i.Type() == ibtrs.ImmRequest }},
		{"responses", func(l *lab) *soft.Device { return l.clients[0] }, func(i ibtrs.Immediate) bool { _, _, _, is := i.Response(); return is }},
	} {
		for _, paths := range []int{1, 2} {
			t.Run(fmt.Sprintf("%s on one of %d paths", c.lost, paths), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					l := newLabOf(t, soft.Rules{UnlimitedSevenRetries: true})
					l.listen(l.serverConfig())
					cfg := l.clientConfig(paths)
					s := l.connect(cfg)
					l.putGet(s, 1, 512)
					stuck := c.by(l).Inject(soft.Fault{Stage: soft.Arrived, Match: connectionOf(c.carry), Drop: true})
					worst, err := writeUntilLost(t, s, cfg.Timers)
					if limit := cfg.Timers.StallWithPath(); worst > limit.Limit {
						t.Errorf("a write took %s, bound %s", worst, limit)
					}
					if (err != nil) != (paths == 1) {
						t.Errorf("with %d paths: %v", paths, err)
					}
					stuck.Remove()
					waitState(t, s.Paths()[0], ibtrs.StateConnected, cfg.Timers.Reconnect(paths).Limit)
					l.putGet(s, 3, 512)
				})
			})
		}
	}
}

// writeUntilLost writes until the first path is lost, and gives the longest time that a write took, and an error of one.
func writeUntilLost(t *testing.T, s *ibtrs.Session, timers ibtrs.Timers) (worst time.Duration, failed error) {
	t.Helper()
	limit := 2 * timers.StallWithPath().Limit
	for start := time.Now(); s.Paths()[0].State() == ibtrs.StateConnected; time.Sleep(time.Second) {
		if time.Since(start) > limit {
			t.Fatalf("the path is still connected after %s", limit)
		}
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		begin := time.Now()
		err := s.Do(ctx, &ibtrs.Request{Direction: ibtrs.Write, Header: header(2), Data: pattern(2, 512)})
		cancel()
		worst = max(worst, time.Since(begin))
		if err != nil {
			failed = err
		}
	}
	return worst, failed
}

// connectionOf matches the packets to the queue pair that gets the first immediate of a kind.
func connectionOf(isKind func(ibtrs.Immediate) bool) func(*soft.Packet) bool {
	var queue uint32
	return func(p *soft.Packet) bool {
		if imm, ok := immediateOf(p); queue == 0 && ok && isKind(imm) {
			queue = p.DestQP()
		}
		return queue != 0 && p.DestQP() == queue
	}
}

// immediateOf is the last of a packet's extension headers.
func immediateOf(p *soft.Packet) (ibtrs.Immediate, bool) {
	op := p.OpCode()
	if !op.Ext().Has(roce.ExtImmDt) {
		return 0, false
	}
	return ibtrs.Immediate(binary.BigEndian.Uint32(p.Ext()[op.HeaderLen()-roce.BTHLen-roce.ImmDtLen:])), true
}

// TestSlowRequest lets a request take longer than a silent peer is waited for. The path is not lost for that.
func TestSlowRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		cfg := l.clientConfig(1)
		l.store.hold = func(_ *ibtrs.ServerRequest, execute func()) { time.AfterFunc(2*cfg.Timers.Detection().Limit, execute) }
		l.listen(l.serverConfig())
		s := l.connect(cfg)
		l.putGet(s, 1, 512)
		if e := s.Epoch(); e != 1 {
			t.Errorf("epoch %d, want 1", e)
		}
	})
}
