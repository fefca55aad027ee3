// SPDX-License-Identifier: Apache-2.0

package foreign

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/attacks"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/provocations"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// Spec is one thing that can be tried on a foreign target, or on a foreign initiator.
type Spec struct {
	Name    string         // that of the same thing in the lab, if it is there
	Clauses []string       // that it decides
	Takes   time.Duration  // about so long, on a target that behaves
	Rails   int            // ways to the target that it needs; for an initiator, own addresses
	Depth   int            // queue depth that the target must have; 0: any
	Does    attacks.Effect // to the data
	MayEnd  bool           // the service, or the machine of the initiator, may end
	Needs   Action         // of the hook; "" for none
	Polite  bool           // nothing is sent but what a client should send, so that the packets can be judged

	survives string // the clause that says whether the subject has lived on; "" where that is no question
	// One of these, for a target and for an initiator.
	run         func(ctx context.Context, target tester.Target, v *Visit) error
	provocation *provocations.Provocation
}

// Specs are all specs for a target: those that may end the service last.
func Specs() []Spec {
	var harmless, harmful []Spec
	for _, a := range attacks.All() {
		if s := ofAttack(a); s.MayEnd {
			harmful = append(harmful, s)
		} else {
			harmless = append(harmless, s)
		}
	}
	return slices.Concat(polite(), silence(), harmless, harmful, crashes())
}

// ofAttack makes a spec of an attack, by the name that it has in the lab.
func ofAttack(a attacks.Attack) Spec {
	return Spec{
		Name: "a target lives on when " + a.Name, Clauses: append([]string{a.Survives()}, a.Clauses...), Takes: 200 * time.Millisecond,
		Rails: max(1, a.Rails), Depth: a.Depth, Does: a.Does, MayEnd: a.MayEnd(), survives: a.Survives(),
		run: func(ctx context.Context, target tester.Target, _ *Visit) error {
			return attacks.Execute(ctx, target, a)
		},
	}
}

// quiet is how long the polite visit stays: longer than it takes any side with the usual timers to give up a dead peer.
var quiet = ibtrs.DefaultTimers.Detection().Limit + 5*time.Second

func polite() []Spec {
	return []Spec{{
		Name: "a client stays for a while, and only acknowledges heartbeats", Clauses: []string{"IBTRS-HB-006"}, Takes: quiet,
		Rails: 1, Polite: true, run: stay,
	}}
}

// stay reads, is idle until the target would have given up a dead client, and reads again.
func stay(ctx context.Context, target tester.Target, _ *Visit) (err error) {
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
	if err := acknowledge(ctx, p, time.Now().Add(quiet)); err != nil {
		return tester.Broken("IBTRS-HB-006", "while the client only acknowledged: %v", err)
	}
	if _, err := p.ReadAt(ctx, opened.DeviceID, 0, size); err != nil {
		return tester.Broken("IBTRS-HB-006", "after %s in which the client only acknowledged: %s", quiet, tester.Outcome(err))
	}
	return p.Disconnect(ctx)
}

// acknowledge answers heartbeats until some time.
func acknowledge(ctx context.Context, p *tester.Path, until time.Time) error {
	for time.Now().Before(until) {
		m, err := p.Conns[0].Receive(ctx)
		if errors.Is(err, tester.ErrSilent) {
			continue
		}
		if err == nil && m.Imm == ibtrs.Heartbeat {
			err = p.Conns[0].SendImmediate(ibtrs.HeartbeatAck)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// silence is a client that falls silent.
func silence() []Spec {
	s := attacks.Silence{Timers: ibtrs.DefaultTimers}
	return []Spec{{
		Name: "a client that falls silent is given up", Clauses: s.Clauses(), Takes: s.Takes(), Rails: 1, Does: attacks.Writes,
		run: func(ctx context.Context, target tester.Target, _ *Visit) error { return s.Run(ctx, target) },
	}}
}

// crashes are what becomes of data when the target crashes.
func crashes() []Spec {
	var all []Spec
	for _, d := range attacks.Durabilities() {
		all = append(all, Spec{
			Name: d.Name, Clauses: d.Clauses, Takes: 15 * time.Second, Rails: 1, Does: attacks.Writes, MayEnd: true, Needs: Crash,
			run: func(ctx context.Context, target tester.Target, v *Visit) error { return d.Endure(ctx, target, v.crash) },
		})
	}
	return all
}

// crash has the target crash, and waits until it serves again.
func (v *Visit) crash(ctx context.Context) error {
	if _, err := v.control(ctx, Crash); err != nil {
		return err
	}
	if err := v.awaitService(ctx); err != nil {
		return fmt.Errorf("after the crash: %w", err)
	}
	return nil
}
