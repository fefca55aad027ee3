// SPDX-License-Identifier: Apache-2.0

package mutants

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/attacks"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/loopback"
	"github.com/ibnbd/ibnbd/conformance/mutant"
	"github.com/ibnbd/ibnbd/conformance/verdict/finding"
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
	spoil func(b *brokenServer) // makes a mutant of it
	// only, unless empty, names the attacks that must find it: of a clause that most attacks decide.
	only []string
}

// server makes a mutant of a server that refreshes its keys.
func server(name, what, clause string, spoil func(b *brokenServer)) row {
	return row{mutant.Mutant{Name: name, What: what, Breaks: []string{clause}, Kind: matrix.Server, Trial: serverTrial{refreshed, spoil, nil}}}
}

// serverKept makes a mutant of a server that keeps its keys.
func serverKept(name, what, clause string, spoil func(b *brokenServer)) row {
	return row{mutant.Mutant{Name: name, What: what, Breaks: []string{clause}, Kind: matrix.Server, Trial: serverTrial{kept, spoil, nil}}}
}

// by names the attacks that must find the mutant.
func (r row) by(names ...string) row {
	t := r.Trial.(serverTrial)
	t.only = names
	r.Trial = t
	return r
}

// specs are the attacks that decide one of the clauses.
func (t serverTrial) Specs(clauses []string) []mutant.Spec {
	var all []mutant.Spec
	for _, a := range attacks.All() {
		decides := slices.ContainsFunc(clauses, func(id string) bool { return slices.Contains(a.Clauses, id) || a.Survives() == id })
		if !decides || len(t.only) > 0 && !slices.Contains(t.only, a.Name) {
			continue
		}
		all = append(all, mutant.Spec{
			Name: a.Spec(), Control: string(t.mode),
			Run: func(ctx context.Context, on mutant.Subject) (mutant.Findings, error) { return t.attack(ctx, a, on) },
		})
	}
	return all
}

// attack executes one attack against a server of its own.
func (t serverTrial) attack(ctx context.Context, a attacks.Attack, on mutant.Subject) (mutant.Findings, error) {
	l, err := loopback.StartFor(a, func(cfg *ibnbd.ServerConfig) {
		cfg.Transport.KeyRefresh = t.mode == refreshed
		cfg.Transport.Timers.Teardown = mutant.ShortWait // a client that the mutant has lost does not confirm
		if on.Broken {
			t.spoil(newBrokenServer(cfg))
		}
	})
	if err != nil {
		return nil, fmt.Errorf("start a server: %w", err)
	}
	target := l.Target()
	target.Patience = on.Patience
	err = attacks.Execute(ctx, target, a)
	if closed := l.Close(); closed != nil && !on.Broken {
		err = errors.Join(err, fmt.Errorf("the server has left something behind: %w", closed))
	}
	return judged(ctx, err, on)
}

// judged sorts what an attack ended with: the clauses that were broken, or nothing where the attack could not decide. Of a mutant,
// what is no violation is not an error either: the attack has not found it.
func judged(ctx context.Context, err error, on mutant.Subject) (mutant.Findings, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	found, ended := mutant.Findings{}, finding.Of(err)
	for _, v := range ended.Broken {
		found[v.Clause] = v.What
	}
	switch {
	case err == nil, len(found) > 0, ended.Undecided != nil:
		return found, nil
	case on.Broken:
		return mutant.Findings{mutant.Unclaimed: err.Error()}, nil
	}
	return nil, err
}
