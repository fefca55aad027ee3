// SPDX-License-Identifier: Apache-2.0

package mutants

import (
	"context"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/conformance/foreign"
	ours "github.com/ibnbd/ibnbd/conformance/ibnbd/foreign"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/loopback"
	"github.com/ibnbd/ibnbd/conformance/mutant"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// resting has nothing to do but to send heartbeats.
func resting(d time.Duration) func(context.Context, *exchange) error {
	return func(ctx context.Context, e *exchange) error { return e.rest(ctx, d) }
}

// beating has both sides send heartbeats at an interval, each by its own timer.
func beating(target, initiator time.Duration) func(*ibnbd.ServerConfig, *ibnbd.ClientConfig) {
	return func(server *ibnbd.ServerConfig, client *ibnbd.ClientConfig) {
		server.Transport.Timers.HeartbeatInterval = target
		client.Transport.Timers.HeartbeatInterval = initiator
	}
}

// sized has a server with another geometry.
func sized(g ibtrs.Geometry) func(*ibnbd.ServerConfig, *ibnbd.ClientConfig) {
	return func(server *ibnbd.ServerConfig, _ *ibnbd.ClientConfig) { server.Transport.Geometry = g }
}

const often = 200 * time.Millisecond

// unusual are settings that nobody forbids.
var unusual = []setting{
	{
		name: "heartbeats of 200 ms", change: beating(often, often), more: resting(15 * often), takes: 15 * often,
		judge: audit.Configuration{TargetHeartbeats: audit.Heartbeats{Interval: often}, InitiatorHeartbeats: audit.Heartbeats{Interval: often}},
	},
	{
		name: "heartbeats of 200 ms and of 1 s", change: beating(often, time.Second), more: resting(4 * time.Second), takes: 4 * time.Second,
		judge: audit.Configuration{TargetHeartbeats: audit.Heartbeats{Interval: often}, InitiatorHeartbeats: audit.Heartbeats{Interval: time.Second}},
	},
	{
		name: "heartbeats of 20 s", change: beating(20*time.Second, 20*time.Second), more: resting(45 * time.Second), takes: 45 * time.Second,
		judge: audit.Configuration{
			TargetHeartbeats: audit.Heartbeats{Interval: 20 * time.Second}, InitiatorHeartbeats: audit.Heartbeats{Interval: 20 * time.Second},
		},
	},
	{name: "depth 2", change: sized(ibtrs.Geometry{QueueDepth: 2, MaxIOSize: 8192 - 4096, MaxHeaderSize: 4096}), more: nothingMore},
	{name: "depth 3, 1 MiB", change: sized(ibtrs.Geometry{QueueDepth: 3, MaxIOSize: 1<<20 - 4096, MaxHeaderSize: 4096}), more: nothingMore},
	{name: "depth 2048", change: sized(ibtrs.Geometry{QueueDepth: 2048, MaxIOSize: 8192 - 4096, MaxHeaderSize: 4096}), more: nothingMore},
	{
		name: "answers in reverse order", more: manyAtOnce,
		change: func(server *ibnbd.ServerConfig, _ *ibnbd.ClientConfig) {
			server.Transport.LastFirst = 5 * time.Millisecond
		},
	},
	{
		name: "other reject codes", more: nothingMore,
		change: func(server *ibnbd.ServerConfig, _ *ibnbd.ClientConfig) {
			server.Transport.Rules.EditReject = otherRejects
		},
	},
	{
		name: "no invalidation asked for", more: nothingMore,
		change: func(_ *ibnbd.ServerConfig, client *ibnbd.ClientConfig) {
			client.Transport.Rules.NoInvalidateFlag = true
		},
	},
}

// otherRejects gives another number than the usual one where no clause names one: for another incarnation, and for a limit of
// the server.
func otherRejects(clause string, errno ibtrs.Errno) ibtrs.Errno {
	if clause == "" || clause == "IBTRS-CONN-032" {
		return ibtrs.ENODEV
	}
	return errno
}

// ofTargets are the unusual settings that somebody else's target can have. One is an initiator's, and depth 2048 takes minutes.
func ofTargets() []setting {
	return slices.DeleteFunc(slices.Clone(unusual), func(s setting) bool {
		return s.name == "no invalidation asked for" || s.name == "depth 2048"
	})
}

// Nobody is blamed by a run against somebody else's target, either. Each spec meets one of the settings, and each setting its share
// of the specs, since all of them with each would take minutes. A target that soon gives up who is silent meets all: no spec may leave a
// client idle for so long.
func TestUnusualTargetsKeepAllClauses(t *testing.T) {
	settings := ofTargets()
	for i, s := range settings {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			server, err := loopback.StartForeign(func(cfg *ibnbd.ServerConfig) { s.change(cfg, &ibnbd.ClientConfig{}) })
			if err != nil {
				t.Fatal(err)
			}
			server.Config.Heartbeats = s.judge.TargetHeartbeats
			subject := ours.Protocol().Target(server.Config)
			for k, spec := range ours.TargetSpecs() {
				if k%len(settings) != i && s.judge.TargetHeartbeats.Interval != often || spec.Takes > quick || spec.Needs != "" || spec.Depth != 0 {
					continue
				}
				broken, err := mutant.RunForeign(t.Context(), subject, spec)
				if err != nil {
					t.Errorf("%s: %v", spec.Name, err)
				}
				for clause, why := range broken {
					t.Errorf("%s: %s: %s", spec.Name, clause, why)
				}
			}
			if err := server.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestTargetsChooseNumbers: a target that rejects with another number than the usual one, where no clause names one, is not blamed.
func TestTargetsChooseNumbers(t *testing.T) {
	server, err := loopback.StartForeign(func(cfg *ibnbd.ServerConfig) { cfg.Transport.Rules.EditReject = otherRejects })
	if err != nil {
		t.Fatal(err)
	}
	subject := ours.Protocol().Target(server.Config)
	tried := 0
	for _, spec := range ours.TargetSpecs() {
		if !slices.Contains(spec.Clauses, "IBTRS-CONN-032") {
			continue
		}
		tried++
		broken, err := mutant.RunForeign(t.Context(), subject, spec)
		if err != nil || len(broken) > 0 {
			t.Errorf("%s: %v, broken: %v", spec.Name, err, broken)
		}
	}
	if tried == 0 {
		t.Error("no spec decides IBTRS-CONN-032")
	}
	if err := server.Close(); err != nil {
		t.Error(err)
	}
}

// TestTargetsAreJudgedByTheirHeartbeats: a target that sends heartbeats every 200 ms gives a silent client up in time, and not too
// early, by what is said of it; by something else it breaks a clause.
func TestTargetsAreJudgedByTheirHeartbeats(t *testing.T) {
	specs := ours.TargetSpecs()
	i := slices.IndexFunc(specs, func(s foreign.Spec) bool { return slices.Contains(s.Clauses, "IBTRS-HB-006") })
	for said, want := range map[time.Duration][]string{often: nil, time.Second: {"IBTRS-HB-001", "IBTRS-HB-004"}} {
		t.Run(said.String(), func(t *testing.T) {
			t.Parallel()
			server, err := loopback.StartForeign(func(cfg *ibnbd.ServerConfig) { cfg.Transport.Timers.HeartbeatInterval = often })
			if err != nil {
				t.Fatal(err)
			}
			server.Config.Heartbeats.Interval = said
			broken, err := mutant.RunForeign(t.Context(), ours.Protocol().Target(server.Config), specs[i])
			if err != nil {
				t.Error(err)
			}
			if got := slices.Sorted(maps.Keys(broken)); !slices.Equal(got, want) {
				t.Errorf("broken: %v, want %v", broken, want)
			}
			if err := server.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// manyAtOnce reads from several places at a time.
func manyAtOnce(ctx context.Context, e *exchange) error {
	errs := make(chan error, exchangeBlocks)
	for i := range int64(exchangeBlocks) {
		go func() {
			_, err := e.disk.ReadAtContext(ctx, make([]byte, exchangeBlock), i*exchangeBlock)
			errs <- err
		}()
	}
	for range exchangeBlocks {
		if err := <-errs; err != nil {
			return err
		}
	}
	return nil
}

// Nobody is blamed for what was configured, or for an option.
func TestUnusualSettingsKeepAllClauses(t *testing.T) {
	for _, s := range unusual {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			broken, err := exchangeTrial{setting: s}.run(t.Context(), mutant.Subject{Patience: time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			for clause, why := range broken {
				if advice[clause] == "" {
					t.Errorf("%s: %s", clause, why)
				}
			}
		})
	}
}

// advice are SHOULDs that an unusual setting leaves.
var advice = map[string]string{"IBTRS-IO-038": "an initiator may take its keys back itself"}

// A judge that is told other timers blames both sides for theirs.
func TestHeartbeatsAreJudgedByWhatIsConfigured(t *testing.T) {
	s := unusual[0]
	s.judge = audit.Configuration{}
	broken, err := exchangeTrial{setting: s}.run(t.Context(), mutant.Subject{Patience: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	if broken["IBTRS-HB-001 target"] == "" || broken["IBTRS-HB-001 initiator"] == "" {
		t.Errorf("heartbeats of %s, where 5 s are configured: %v", often, broken)
	}
}
