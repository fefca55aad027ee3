// SPDX-License-Identifier: Apache-2.0

package subject

import (
	"context"
	"fmt"
	"path"
	"strconv"
	"time"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/catalogue"
	"github.com/ibnbd/ibnbd/conformance/implementation"
	"github.com/ibnbd/ibnbd/conformance/kit/machine"
	"github.com/ibnbd/ibnbd/kmod"
)

// KMod are this project's kernel modules.
var KMod = Implementation{
	Facts:        kmodFacts,
	NewTarget:    func(p Environment) Target { return newKModTarget(p) },
	NewInitiator: func(p Environment) Initiator { return newKMod(p) },
}

var kmodFacts = implementation.Facts{
	Name:    "kmod",
	Dialect: catalogue.IBNBD,
	Own:     true,
	Abilities: map[clauses.Ability]bool{
		clauses.Sysfs: true, clauses.KernelModule: true, clauses.IOMode: true, clauses.FeatureMarker: true,
		clauses.LegacyClients: false, clauses.VersionOne: false,
	},
	AsTarget:    map[clauses.Ability]bool{clauses.LegacyClients: true, clauses.VersionOne: true},
	AsInitiator: map[clauses.Ability]bool{clauses.Promises: true},
	Sources:     kmod.Sources,
}

// kmodTimers are those of mainline, but that writes of a lost path wait for its last packets, and that the settle time is a part of the
// delay. A guest that is emulated, on a machine that it shares, stands still for longer than the modules' own defaults allow.
var kmodTimers = func() Timers {
	t := DefaultTimers
	t.PacketLifetime = time.Second
	t.Teardown = t.PacketLifetime
	t.Resolve = 0 // a part of the connect timeout
	return t
}()

// kmodAnswer is how long an attempt to reconnect waits for the first answer.
const kmodAnswer = 5 * time.Second

// kmodInitiator is the client.
type kmodInitiator struct{ kernelInitiator }

// Promises are the times that a session tells in its directory of timers.
func (i *kmodInitiator) Promises(ctx context.Context, session string) (Promises, error) {
	var p Promises
	for _, f := range []struct {
		name string
		to   *time.Duration
	}{
		{"worst_stall_ms", &p.StallWithPath}, {"worst_error_ms", &p.ErrorWithoutPath}, {"worst_reconnect_ms", &p.Reconnect},
	} {
		text, err := machine.ReadWord(ctx, i.host, path.Join(i.names.ClientSession(session), "timers", f.name))
		if err != nil {
			return Promises{}, fmt.Errorf("promises of session %s: %w", session, err)
		}
		ms, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			return Promises{}, fmt.Errorf("promises of session %s: %s: %w", session, f.name, err)
		}
		*f.to = time.Duration(ms) * time.Millisecond
	}
	return p, nil
}

// newKMod makes the client with timers as functional specs want them.
func newKMod(p Environment) *kmodInitiator {
	return &kmodInitiator{kernelInitiator{
		host: p.Host, facts: kmodFacts, version: p.Version, names: IBNBD, timers: kmodTimers,
		modules: []kernelModule{
			{"ibtrs_core", nil}, {"ibtrs_client", kmodParameters(kmodTimers)}, {"ibnbd_client", nil},
		},
	}}
}

// newKModTarget makes the server with timers as functional specs want them.
func newKModTarget(p Environment) *kernelTarget {
	return &kernelTarget{
		nullBlk: nullBlk{p.Host}, facts: kmodFacts, version: p.Version, names: IBNBD, timers: kmodTimers,
		below:     []kernelModule{{name: "ibtrs_core"}},
		transport: kernelModule{"ibtrs_server", kmodServerParameters(kmodTimers)}, block: kernelModule{name: "ibnbd_server"},
		opts: TargetOptions{Keys: KeysRefreshed},
	}
}

// kmodServerParameters are the timers as the transport server takes them.
func kmodServerParameters(t Timers) []string {
	return []string{
		milliseconds("heartbeat_ms", t.HeartbeatInterval),
		fmt.Sprintf("heartbeat_misses=%d", t.HeartbeatMisses),
		milliseconds("half_open_ms", t.HalfOpen),
		milliseconds("teardown_ms", t.PacketLifetime),
	}
}

// kmodParameters are the timers as the transport client takes them.
func kmodParameters(t Timers) []string {
	return []string{
		milliseconds("heartbeat_ms", t.HeartbeatInterval),
		fmt.Sprintf("heartbeat_misses=%d", t.HeartbeatMisses),
		milliseconds("connect_ms", t.Connect),
		milliseconds("answer_ms", kmodAnswer),
		milliseconds("packet_lifetime_ms", t.PacketLifetime),
		milliseconds("reconnect_delay_ms", t.ReconnectDelay+t.ReconnectSettle),
		milliseconds("reconnect_spread_ms", t.ReconnectSpread),
	}
}

func milliseconds(name string, d time.Duration) string {
	return fmt.Sprintf("%s=%d", name, d.Milliseconds())
}
