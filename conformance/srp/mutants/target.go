// SPDX-License-Identifier: Apache-2.0

package mutants

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ibnbd/ibnbd/conformance/foreign"
	"github.com/ibnbd/ibnbd/conformance/mutant"
	"github.com/ibnbd/ibnbd/conformance/srp/attacks"
	ours "github.com/ibnbd/ibnbd/conformance/srp/foreign"
	"github.com/ibnbd/ibnbd/conformance/srp/loopback"
	"github.com/ibnbd/ibnbd/conformance/srp/tester"
	"github.com/ibnbd/ibnbd/conformance/verdict/matrix"
	"github.com/ibnbd/ibnbd/reference/srp"
)

// targetTrial is a target that is judged as somebody else's.
type targetTrial struct {
	spoil func(*loopback.Settings) // makes a mutant of it
	only  []string                 // unless empty, names the attacks that must find it
}

// target makes a mutant of the reference's target.
func target(name, what, clause string, spoil func(*loopback.Settings), only ...string) mutant.Mutant {
	return mutant.Mutant{Name: name, What: what, Breaks: []string{clause}, Kind: matrix.Server, Trial: targetTrial{spoil, only}}
}

// rule makes a mutant of a target with a rule turned off.
func rule(name, what, clause string, change func(*srp.TargetRules), only ...string) mutant.Mutant {
	return target(name, what, clause, func(s *loopback.Settings) { change(&s.Rules) }, only...)
}

// Specs are those of a foreign run that decide one of the clauses, wait for no timer and need nobody's help.
func (t targetTrial) Specs(clauses []string) []mutant.Spec {
	var all []mutant.Spec
	for _, s := range ours.TargetSpecs() {
		decides := slices.ContainsFunc(clauses, func(id string) bool { return slices.Contains(s.Clauses, id) })
		named := len(t.only) == 0 || slices.ContainsFunc(t.only, func(name string) bool { return attacks.Attack{Name: name}.Spec() == s.Name })
		if !decides || !named || s.Takes > longest || s.Needs != "" {
			continue
		}
		all = append(all, mutant.Spec{Name: s.Name, Control: "target", Run: func(ctx context.Context, on mutant.Subject) (mutant.Findings, error) {
			return t.judge(ctx, s, on)
		}})
	}
	return all
}

// longest is the longest that a spec takes which waits for no timer of the target.
const longest = 10 * time.Second

// judge runs a spec as a foreign run does, on a target of its own.
func (t targetTrial) judge(ctx context.Context, s foreign.Spec, on mutant.Subject) (mutant.Findings, error) {
	l, err := loopback.Start(func(settings *loopback.Settings) {
		if on.Broken {
			t.spoil(settings)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("start a target: %w", err)
	}
	l.Config.Patience = on.Patience
	found, err := mutant.RunForeign(ctx, ours.Protocol().Target(l.Config), s)
	if closed := l.Close(); closed != nil && !on.Broken {
		err = errors.Join(err, fmt.Errorf("the target has left something behind: %w", closed))
	}
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil && on.Broken:
		return mutant.Findings{mutant.Unclaimed: err.Error()}, nil
	}
	return found, err
}

// ownedTrial is a target whose owner does something for the spec that must find what it breaks.
type ownedTrial struct {
	name    string // of the spec
	run     func(ctx context.Context, target tester.Target) error
	prepare func(*loopback.Settings) // of the control, too
	spoil   func(*loopback.Settings)
	deaf    []foreign.Action // that the owner believes to have done
}

// owned makes a mutant that an attack finds which needs the owner's help.
func owned(attack, name, what, clause string, spoil func(*srp.TargetRules), deaf ...foreign.Action) mutant.Mutant {
	all := attacks.All()
	i := slices.IndexFunc(all, func(a attacks.Attack) bool { return a.Name == attack })
	a := all[i] // the tests look whether there is one
	return mutant.Mutant{Name: name, What: what, Breaks: []string{clause}, Kind: matrix.Server, Trial: ownedTrial{
		name: a.Spec(), run: func(ctx context.Context, target tester.Target) error { return attacks.Execute(ctx, target, a) },
		spoil: func(s *loopback.Settings) { spoil(&s.Rules) }, deaf: deaf,
	}}
}

// Specs is the one that the mutant names.
func (t ownedTrial) Specs([]string) []mutant.Spec {
	return []mutant.Spec{{Name: t.name, Run: t.judge}}
}

func (t ownedTrial) judge(ctx context.Context, on mutant.Subject) (mutant.Findings, error) {
	l, err := loopback.Start(func(s *loopback.Settings) {
		if t.prepare != nil {
			t.prepare(s)
		}
		if on.Broken {
			t.spoil(s)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("start a target: %w", err)
	}
	subject, err := l.Tested()
	if err == nil {
		subject.Patience = on.Patience
		subject.Control = func(ctx context.Context, action foreign.Action, arguments ...string) error {
			if on.Broken && slices.Contains(t.deaf, action) {
				return nil
			}
			return l.Control(ctx, action, arguments...)
		}
		err = t.run(ctx, subject)
	}
	if closed := l.Close(); closed != nil && !on.Broken {
		err = errors.Join(err, fmt.Errorf("the target has left something behind: %w", closed))
	}
	return mutant.FindingsOf(ctx, err, on)
}

// waits makes a mutant of a target that never does what another does after a time, which is shorter than usual.
func waits(name, what, clause string, run func(context.Context, *tester.Tester, time.Duration) error, prepare, spoil func(*loopback.Settings)) mutant.Mutant {
	return mutant.Mutant{Name: name, What: what, Breaks: []string{clause}, Kind: matrix.Server, Slow: true, Trial: ownedTrial{
		name: "a target waits for an initiator, as long as " + clause + " has it", prepare: prepare, spoil: spoil,
		run: func(ctx context.Context, target tester.Target) (err error) {
			t := tester.New(target)
			defer func() { err = errors.Join(err, t.Close()) }()
			return run(ctx, t, 4*mutant.ShortWait)
		},
	}}
}
