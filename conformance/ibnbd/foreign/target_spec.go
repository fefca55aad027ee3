// SPDX-License-Identifier: Apache-2.0

package foreign

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ibnbd/ibnbd/conformance/foreign"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/attacks"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/finding"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// TargetSpecs are all specs for a target.
func TargetSpecs() []foreign.Spec {
	all := []foreign.Spec{waits()}
	for _, a := range attacks.All() {
		all = append(all, ofAttack(a))
	}
	return slices.Concat(all, crashes())
}

// ofAttack makes a spec of an attack, by the name that it has in the lab.
func ofAttack(a attacks.Attack) foreign.Spec {
	s := foreign.Spec{
		Name: a.Spec(), Clauses: append([]string{a.Survives()}, a.Clauses...), Survival: a.Survives(),
		Takes: 200 * time.Millisecond, Addresses: max(1, a.Rails), Depth: a.Depth, Does: a.Does, MayEnd: a.MayEnd(),
		OnTarget: func(ctx context.Context, r *foreign.TargetRun) error { return attacks.Execute(ctx, targetOf(r), a) },
	}
	if a.Survives() == attacks.SurvivalWarning {
		s.KernelLog = attacks.SurvivalWarning
	}
	return s
}

// quiet is how long a client only acknowledges: longer than it takes a side with these timers to give up a dead peer.
func quiet(t ibtrs.Timers) time.Duration { return t.Detection().Limit + 5*time.Second }

// waits are two clients at a time that do nothing for as long as a target bears it, or longer: one acknowledges heartbeats, the other
// does not. Both are in one spec, because each takes longer than most others together.
func waits() foreign.Spec {
	usual := attacks.Silence{Timers: ibtrs.DefaultTimers}
	return foreign.Spec{
		Name:    "a client that falls silent is given up, beside one that only acknowledges heartbeats",
		Clauses: append(usual.Clauses(), "IBTRS-HB-006"), Takes: quiet(usual.Timers), Addresses: 1, Does: foreign.Writes,
		OnTarget: func(ctx context.Context, r *foreign.TargetRun) error {
			target, timers := targetOf(r), beating(ibtrs.DefaultTimers, r.Config().Heartbeats)
			acknowledged := make(chan error, 1)
			go func() { acknowledged <- onlyAcknowledge(ctx, target, quiet(timers)) }()
			return errors.Join(attacks.Silence{Timers: timers}.Run(ctx, target), <-acknowledged)
		},
	}
}

// onlyAcknowledge reads, is idle until the target would have given up a dead client, and reads again.
func onlyAcknowledge(ctx context.Context, target tester.Target, quiet time.Duration) (err error) {
	t := tester.New(target)
	defer func() { err = errors.Join(err, t.Close()) }()
	p, opened, err := t.NewSession().Ready(ctx, target.Exports[0], ibnbd.ReadOnly)
	if err != nil {
		return err
	}
	const size = 4096
	if _, err := p.ReadAt(ctx, opened.DeviceID, 0, size); err != nil {
		return err
	}
	answered, err := acknowledge(ctx, p, time.Now().Add(quiet))
	if err != nil {
		return tester.Broken("IBTRS-HB-006", "while the client only acknowledged: %v", err)
	}
	if _, err := p.ReadAt(ctx, opened.DeviceID, 0, size); err != nil {
		return tester.Broken("IBTRS-HB-006", "after %s in which the client only acknowledged: %s", quiet, tester.Outcome(err))
	}
	if answered == 0 {
		return noHeartbeats(quiet)
	}
	return p.Disconnect(ctx)
}

// noHeartbeats is the end of a spec in which the client could acknowledge nothing. What the target thinks of one that
// acknowledges was then not seen.
func noHeartbeats(quiet time.Duration) error {
	return &finding.Undecided{
		Reason: verdict.NotSeen, Only: []string{"IBTRS-HB-006"}, Text: fmt.Sprintf("the target sent no heartbeat within %s, so that there was none to acknowledge", quiet),
	}
}

// acknowledge answers heartbeats until some time, and counts them.
func acknowledge(ctx context.Context, p *tester.Path, until time.Time) (answered int, err error) {
	for time.Now().Before(until) {
		m, err := p.Conns[0].Receive(ctx)
		if errors.Is(err, tester.ErrSilent) {
			continue
		}
		if err == nil && m.Imm == ibtrs.Heartbeat {
			answered++
			err = p.Conns[0].SendImmediate(ibtrs.HeartbeatAck)
		}
		if err != nil {
			return answered, err
		}
	}
	return answered, nil
}

// crashes are what becomes of data when the target crashes.
func crashes() []foreign.Spec {
	var all []foreign.Spec
	for _, d := range attacks.Durabilities() {
		all = append(all, foreign.Spec{
			Name: d.Name, Clauses: d.Clauses, Takes: 15 * time.Second, Addresses: 1, Does: foreign.Writes, MayEnd: true, Needs: foreign.Crash,
			OnTarget: func(ctx context.Context, r *foreign.TargetRun) error {
				return d.Endure(ctx, targetOf(r), attacks.Crash{Happens: r.Crash, Over: func(ctx context.Context) (tester.Target, error) {
					err := r.Recover(ctx)
					return targetOf(r), err
				}})
			},
		})
	}
	return all
}
