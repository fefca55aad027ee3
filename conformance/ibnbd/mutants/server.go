// SPDX-License-Identifier: Apache-2.0

package mutants

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ibnbd/ibnbd/conformance/foreign"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/attacks"
	ours "github.com/ibnbd/ibnbd/conformance/ibnbd/foreign"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/loopback"
	"github.com/ibnbd/ibnbd/conformance/mutant"
	"github.com/ibnbd/ibnbd/conformance/verdict/matrix"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
)

// keyMode is how the server under attack treats the keys of its chunks.
type keyMode string

const (
	refreshed keyMode = "keys refreshed"
	kept      keyMode = "keys kept"
)

// serverTrial is a server that is judged as somebody else's target.
type serverTrial struct {
	mode  keyMode
	spoil func(b *brokenServer) // makes a mutant of it
	// only, unless empty, names the specs that must find it: of a clause that most of them decide.
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
	for _, name := range names {
		t.only = append(t.only, attacks.Attack{Name: name}.Spec())
	}
	r.Trial = t
	return r
}

// Specs are those of a foreign run that decide one of the clauses and wait for no timer.
func (t serverTrial) Specs(clauses []string) []mutant.Spec {
	var all []mutant.Spec
	for _, s := range ours.TargetSpecs() {
		decides := slices.ContainsFunc(clauses, func(id string) bool { return slices.Contains(s.Clauses, id) })
		if !decides || s.Takes > quick || s.Needs != "" || len(t.only) > 0 && !slices.Contains(t.only, s.Name) {
			continue
		}
		all = append(all, mutant.Spec{
			Name: s.Name, Control: string(t.mode),
			Run: func(ctx context.Context, on mutant.Subject) (mutant.Findings, error) { return t.judge(ctx, s, on) },
		})
	}
	return all
}

// quick is the longest that a spec takes which waits for no timer.
const quick = 5 * time.Second

// judge runs a spec as a foreign run does, on a server of its own.
func (t serverTrial) judge(ctx context.Context, s foreign.Spec, on mutant.Subject) (mutant.Findings, error) {
	server, err := loopback.StartForeign(func(cfg *ibnbd.ServerConfig) {
		cfg.Transport.KeyRefresh = t.mode == refreshed
		cfg.Transport.Timers.Teardown = mutant.ShortWait // a client that the mutant has lost does not confirm
		if s.Depth != 0 {
			cfg.Transport.Geometry.QueueDepth = uint16(s.Depth)
		}
		if on.Broken {
			t.spoil(newBrokenServer(cfg))
		}
	})
	if err != nil {
		return nil, fmt.Errorf("start a server: %w", err)
	}
	server.Config.Patience = on.Patience
	found, err := mutant.RunForeign(ctx, ours.Protocol().Target(server.Config), s)
	if closed := server.Close(); closed != nil && !on.Broken {
		err = errors.Join(err, fmt.Errorf("the server has left something behind: %w", closed))
	}
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil && on.Broken:
		return mutant.Findings{mutant.Unclaimed: err.Error()}, nil
	}
	return found, err
}
