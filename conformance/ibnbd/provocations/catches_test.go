// SPDX-License-Identifier: Apache-2.0

package provocations_test

import (
	"errors"
	"testing"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/provocations"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
)

// breaks turns one rule of the client off, and says which clauses some provocation must then find broken.
var breaks = []struct {
	name    string
	change  func(*ibnbd.ClientConfig)
	clauses []string
}{
	{"takes any accept", func(c *ibnbd.ClientConfig) { c.Transport.Rules.IgnoreAccept = true }, []string{"IBTRS-CONN-037"}},
	{"takes any geometry", func(c *ibnbd.ClientConfig) { c.Transport.Rules.IgnoreGeometry = true }, []string{"IBTRS-CONN-051"}},
	{"takes any regions", func(c *ibnbd.ClientConfig) { c.Transport.Rules.IgnoreInfoResponse = true }, []string{"IBTRS-INFO-017"}},
	{"takes another depth", func(c *ibnbd.ClientConfig) { c.Transport.Rules.IgnoreDepthChange = true }, []string{"IBTRS-CONN-039"}},
	{"reports no errno of a reject", func(c *ibnbd.ClientConfig) { c.Transport.Rules.IgnoreRejectErrno = true }, []string{"IBTRS-CONN-047"}},
	{"goes on using old keys", func(c *ibnbd.ClientConfig) { c.Transport.Rules.IgnoreNewKey = true }, []string{"IBTRS-INV-007"}},
	{"takes responses of any form", func(c *ibnbd.ClientConfig) { c.Transport.Rules.AnyResponseForm = true }, []string{"IBTRS-INV-013", "IBTRS-INV-014"}},
	{"leaves the key of a read", func(c *ibnbd.ClientConfig) { c.Transport.Rules.KeepReadKey = true }, []string{"IBTRS-IO-015"}},
	{"acknowledges no heartbeat", func(c *ibnbd.ClientConfig) { c.Transport.Rules.NoHeartbeatAck = true }, []string{"IBTRS-HB-002"}},
	{"never notices silence", func(c *ibnbd.ClientConfig) { c.Transport.Rules.IgnoreSilence = true }, []string{"IBTRS-HB-007"}},
	{"waits too long for a connection", func(c *ibnbd.ClientConfig) { c.Transport.Timers.Info *= 2 }, []string{"IBTRS-INFO-021"}},
	{"keeps device ids", func(c *ibnbd.ClientConfig) { c.Rules.KeepDeviceID = true }, []string{"IBNBD-FAIL-002"}},
	{"keeps the capacity", func(c *ibnbd.ClientConfig) { c.Rules.KeepCapacity = true }, []string{"IBNBD-FAIL-003"}},
	{"takes blocks of no size", func(c *ibnbd.ClientConfig) { c.Rules.IgnoreZeroBlock = true }, []string{"IBNBD-OPEN-020"}},
	{"never flushes", func(c *ibnbd.ClientConfig) { c.Rules.NoFlush = true }, []string{"IBNBD-COMPAT-008", "IBNBD-COMPAT-011"}},
	{"trusts bytes that were not cleared", func(c *ibnbd.ClientConfig) { c.Rules.TrustUnclearedByte = true }, []string{"IBNBD-COMPAT-011"}},
	{"has no request wait for a chunk", func(c *ibnbd.ClientConfig) { c.Transport.Rules.NoPermitLine = true }, []string{"IBTRS-IO-020"}},
	{"wakes nobody who waits for a chunk", func(c *ibnbd.ClientConfig) { c.Transport.Rules.WakeOnTraffic = true }, []string{"IBNBD-FAIL-030"}},
	{"forgets requests of a lost path", func(c *ibnbd.ClientConfig) { c.Transport.Rules.ForgetOnLoss = true }, []string{"IBTRS-IO-030"}},
	{"takes a loss for success", func(c *ibnbd.ClientConfig) { c.Transport.Rules.SucceedOnLoss = true }, []string{"IBNBD-FAIL-006"}},
	{"waits for a path", func(c *ibnbd.ClientConfig) {
		c.Transport.Rules.WaitForPath, c.Rules.QueueWhenClosed = true, true
	}, []string{"IBNBD-IO-019"}},
	{"serves a closed device", func(c *ibnbd.ClientConfig) { c.Rules.ServeWhenClosed = true }, []string{"IBNBD-IO-019"}},
	{"closes a closed device", func(c *ibnbd.ClientConfig) { c.Rules.CloseWhenClosed = true }, []string{"IBNBD-FAIL-009"}},
	{"maps when there is a path", func(c *ibnbd.ClientConfig) { c.Rules.MapWhenLost = true }, []string{"IBNBD-FAIL-010"}},
	{"does not fail over", func(c *ibnbd.ClientConfig) { c.Transport.Rules.NoFailover = true }, []string{"IBNBD-FAIL-005", "IBTRS-PATH-019"}},
	{"is lost with any path", func(c *ibnbd.ClientConfig) { c.Transport.Rules.LostWithFirst = true }, []string{"IBNBD-FAIL-005", "IBTRS-PATH-015"}},
	{"uses one path", func(c *ibnbd.ClientConfig) { c.Transport.Rules.FirstPathOnly = true }, []string{"IBTRS-MP-009"}},
	{"does not recover", func(c *ibnbd.ClientConfig) { c.Transport.Rules.StayAway = true }, []string{"IBTRS-HB-009"}},
	{"gives up soon", func(c *ibnbd.ClientConfig) { c.Transport.MaxReconnectAttempts = 1 }, []string{"IBTRS-PATH-006"}},
	{"keeps no order of what was given up", func(c *ibnbd.ClientConfig) { c.Rules.NoOrder = true }, []string{"IBNBD-FAIL-029"}},
	{"sends again what was given up", func(c *ibnbd.ClientConfig) {
		c.Rules.NoOrder, c.Transport.Rules.SendGivenUp = true, true
	}, []string{"IBNBD-FAIL-029"}},
	{"counts no incarnations", func(c *ibnbd.ClientConfig) { c.Transport.Rules.KeepIncarnation = true }, []string{"IBTRS-PATH-004"}},
}

// TestBrokenClientsAreCaught runs the provocations that decide a clause against clients that break it.
func TestBrokenClientsAreCaught(t *testing.T) {
	for _, b := range breaks {
		for _, clause := range b.clauses {
			t.Run(b.name+" "+clause, func(t *testing.T) {
				if !caught(t, clause, b.change) {
					t.Errorf("no provocation finds %s broken", clause)
				}
			})
		}
	}
}

// caught says whether a provocation that decides a clause finds it broken.
func caught(t *testing.T, clause string, change func(*ibnbd.ClientConfig)) bool {
	for _, c := range provocations.All() {
		for _, decided := range c.Clauses {
			var broken *tester.Violation
			if decided == clause && errors.As(run(t, c, change), &broken) && broken.Clause == clause {
				return true
			}
		}
	}
	return false
}
