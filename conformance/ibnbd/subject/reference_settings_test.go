// SPDX-License-Identifier: Apache-2.0

package subject

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/kit/machine"
)

// TestConfigureReference: what a run sets is a flag of the program, and what the bounds of the subject are made of.
func TestConfigureReference(t *testing.T) {
	target := &ReferenceTarget{configured: mustConfigure(clauses.Target, []string{"queue-depth=2", "heartbeat-interval=200ms", "chunk-size=8K"})}
	if got, want := target.Timers().Detection().Limit, target.Timers().late(7*200*time.Millisecond); got != want {
		t.Errorf("Detection() = %s, want %s", got, want)
	}
	if args := strings.Join(target.args(), " "); !strings.Contains(args, "--queue-depth 2 --heartbeat-interval 200ms --chunk-size 8K") {
		t.Errorf("the server is started with %s", args)
	}
	initiator := NewReferenceInitiator(nil, machine.Programs{}, "reconnect-delay=2s")
	if got := initiator.Timers().ReconnectDelay; got != 2*time.Second {
		t.Errorf("ReconnectDelay = %s, want 2s", got)
	}
	if args := initiator.mapArgs(MapRequest{Device: "ram0"}); !slices.Contains(args, "--reconnect-delay") {
		t.Errorf("the client is started with %v", args)
	}
	if ReferenceTimers.HeartbeatInterval != 5*time.Second {
		t.Error("a run has changed the defaults")
	}
}

func TestSettingsThatMakeNoSense(t *testing.T) {
	for _, c := range []struct {
		role          clauses.Role
		setting, want string
	}{
		{clauses.Target, "reconnect-delay=1s", "is not one of chunk-size"},
		{clauses.Initiator, "queue-depth=2", "is not one of connect-timeout"},
		{clauses.Target, "queue-depth=0", "0 is outside 1 to 65535"},
		{clauses.Target, "queue-depth=many", "invalid syntax"},
		{clauses.Target, "chunk-size=6000", "a power of two"},
		{clauses.Target, "chunk-size=4K", "4096 bytes are outside 4097 to 268435456"},
		{clauses.Target, "heartbeat-interval=0s", "must be 1ms to 24h0m0s"},
		{clauses.Target, "last-first=2s", "2s is outside 0s to 1s"},
		{clauses.Target, "heartbeat-misses=0", "must be 1 to 1000"},
		{clauses.Initiator, "heartbeat-interval=often", "invalid duration"},
		{clauses.Initiator, "connections=1", "1 is outside 2 to 4096"},
	} {
		t.Run(c.setting, func(t *testing.T) {
			if err := checkReference(c.role, []string{c.setting}); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("as %s: %v, want %q", c.role, err, c.want)
			}
		})
	}
	if err := checkReference(clauses.Target, []string{"queue-depth=65535"}); err == nil {
		t.Error("65535 chunks of 128 KiB, which no immediate can address")
	}
}
