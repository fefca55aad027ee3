// SPDX-License-Identifier: Apache-2.0

package recordings

import (
	"testing"
	"time"

	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/conformance/mutant/recording"
	"github.com/ibnbd/ibnbd/reference/roce"
)

// TestReconnectInTime: an initiator that waits as long as it is configured to breaks nothing.
func TestReconnectInTime(t *testing.T) {
	patient := configured(audit.Configuration{ReconnectDelay: 30 * time.Second}, table("rnbd", rnbd))
	found, err := patient.Broken(t.Context(), recording.Mutation{Edit: reconnect(32 * time.Second)})
	if err != nil || len(found) > 0 {
		t.Errorf("%v, broken: %v", err, found)
	}
}

// TestHeardTooLate: who closes a path for lack of acknowledgements need not have taken a message yet that came at that moment.
func TestHeardTooLate(t *testing.T) {
	found, err := table("rnbd", rnbd).Broken(t.Context(), recording.Mutation{Edit: func(e *editor) { giveUp(e) }})
	if err != nil || len(found) > 0 {
		t.Errorf("%v, broken: %v", err, found)
	}
}

// TestHeartbeatAfterALateOne: a side whose machine was busy at a tick sends that heartbeat late, and the next one at its tick.
func TestHeartbeatAfterALateOne(t *testing.T) {
	found, err := table("rnbd", rnbd).Broken(t.Context(), recording.Mutation{Edit: func(e *editor) {
		const interval, late = 5 * time.Second, 4500 * time.Millisecond
		mine := toQP(e, e.Find(0, recording.From(client, beat(8))), beat(8))
		e.Delay(e.Find(1, mine), late)
		e.Insert(e.Find(1, mine), false, interval-late, func(*roce.Packet) {})
	}})
	if err != nil || len(found) > 0 {
		t.Errorf("%v, broken: %v", err, found)
	}
}
