// SPDX-License-Identifier: Apache-2.0

package mutants

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/attacks"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/loopback"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/conformance/verdict/matrix"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
)

// keyMode is how the server under attack treats the keys of its chunks.
type keyMode string

const (
	refreshed keyMode = "keys refreshed"
	kept      keyMode = "keys kept"
)

// serverTrial is a server under attack.
type serverTrial struct {
	mode  keyMode
	spoil func(b *bed) // makes a mutant of it
	// only, unless empty, names the attacks that must find it: of a clause that most attacks decide.
	only []string
}

// server makes a mutant of a server that refreshes its keys.
func server(name, what, clause string, spoil func(b *bed)) Mutant {
	return Mutant{Name: name, What: what, Breaks: []string{clause}, Kind: matrix.Server, trial: serverTrial{refreshed, spoil, nil}}
}

// serverKept makes a mutant of a server that keeps its keys.
func serverKept(name, what, clause string, spoil func(b *bed)) Mutant {
	return Mutant{Name: name, What: what, Breaks: []string{clause}, Kind: matrix.Server, trial: serverTrial{kept, spoil, nil}}
}

// alsoBreaks names further clauses that cannot be kept when the first is broken.
func (m Mutant) alsoBreaks(clauses ...string) Mutant {
	m.Breaks = append(m.Breaks, clauses...)
	return m
}

// by names the attacks that must find the mutant.
func (m Mutant) by(names ...string) Mutant {
	t := m.trial.(serverTrial)
	t.only = names
	m.trial = t
	return m
}

// specs are the attacks that decide one of the clauses.
func (t serverTrial) specs(clauses []string) []spec {
	var all []spec
	for _, a := range attacks.All() {
		decides := slices.ContainsFunc(clauses, func(id string) bool { return slices.Contains(a.Clauses, id) || a.Survives() == id })
		if !decides || len(t.only) > 0 && !slices.Contains(t.only, a.Name) {
			continue
		}
		all = append(all, spec{
			name: "a target lives on when " + a.Name, control: string(t.mode),
			run: func(ctx context.Context, on side) (findings, error) { return t.attack(ctx, a, on) },
		})
	}
	return all
}

// attack executes one attack against a server of its own.
func (t serverTrial) attack(ctx context.Context, a attacks.Attack, on side) (findings, error) {
	l, err := loopback.StartFor(a, func(cfg *ibnbd.ServerConfig) {
		cfg.Transport.KeyRefresh = t.mode == refreshed
		cfg.Transport.Timers.Teardown = hasty // a client that the mutant has lost does not confirm
		if on.broken {
			t.spoil(newBed(cfg))
		}
	})
	if err != nil {
		return nil, fmt.Errorf("start a server: %w", err)
	}
	target := l.Target()
	target.Patience = on.patience
	err = attacks.Execute(ctx, target, a)
	if closed := l.Close(); closed != nil && !on.broken {
		err = errors.Join(err, fmt.Errorf("the server has left something behind: %w", closed))
	}
	return judged(ctx, err, on)
}

// judged sorts what an attack ended with: clauses that were broken, and what kept it from deciding any. Of a mutant, what is
// no violation is not an error either: the attack has not found it.
func judged(ctx context.Context, err error, on side) (findings, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	found := findings{}
	for _, v := range violations(err) {
		found[v.Clause] = v.What
	}
	switch {
	case err == nil || len(found) > 0 || errors.Is(err, attacks.ErrInapplicable):
		return found, nil
	case on.broken:
		return findings{unclaimed: err.Error()}, nil
	}
	return found, err
}

// unclaimed stands in findings for a failure that is laid to no clause.
const unclaimed = "no clause"

// violations are all those in a tree of errors.
func violations(err error) []*tester.Violation {
	if v, ok := err.(*tester.Violation); ok {
		return []*tester.Violation{v}
	}
	var all []*tester.Violation
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		all = violations(e.Unwrap())
	case interface{ Unwrap() []error }:
		for _, err := range e.Unwrap() {
			all = append(all, violations(err)...)
		}
	}
	return all
}
