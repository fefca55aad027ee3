// SPDX-License-Identifier: Apache-2.0

package mutants

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/ibnbd/ibnbd/conformance/verdict/matrix"
)

// Options say what is run and how.
type Options struct {
	Mutants []Mutant // nil stands for all of this process
	// Workers is how many mutants are tried at a time; 0 stands for four for each processor, because most of them wait for
	// what never comes.
	Workers int
	// Progress, unless nil, is told of each row when it is done, in no order, one at a time.
	Progress func(matrix.Row)
}

// Select gives the mutants that break one of the clauses, or a clause of one of the areas. Nothing selects all.
func Select(all []Mutant, clauses, areas []string) []Mutant {
	if len(clauses)+len(areas) == 0 {
		return all
	}
	return slices.DeleteFunc(slices.Clone(all), func(m Mutant) bool {
		return !slices.ContainsFunc(m.Clauses(), func(id string) bool {
			return slices.Contains(clauses, id) || slices.Contains(areas, areaOf(id))
		})
	})
}

// Run tries each mutant, and the control of each spec that found something. It fails only when the context ends; the
// matrix then has what was tried until then.
func Run(ctx context.Context, opts Options) (*matrix.Matrix, error) {
	all := opts.Mutants
	if all == nil {
		all = InProcess()
	}
	workers := opts.Workers
	if workers == 0 {
		workers = 4 * runtime.NumCPU()
	}
	r := &court{controls: make(map[string]func() (findings, error)), progress: opts.Progress}
	m := &matrix.Matrix{Start: time.Now()}
	rows := make([]*matrix.Row, len(all))
	places := make(chan int)
	var working sync.WaitGroup
	for range min(workers, len(all)) {
		working.Go(func() {
			for i := range places {
				rows[i] = r.row(ctx, all[i])
			}
		})
	}
	for _, i := range slowFirst(all) {
		if ctx.Err() != nil {
			break
		}
		places <- i
	}
	close(places)
	working.Wait()
	for _, row := range rows {
		if row != nil {
			m.Rows = append(m.Rows, *row)
		}
	}
	m.Duration = time.Since(m.Start)
	if err := ctx.Err(); err != nil {
		return m, fmt.Errorf("%d of %d mutants were tried: %w", len(m.Rows), len(all), context.Cause(ctx))
	}
	return m, nil
}

// slowFirst is the order in which mutants are tried.
func slowFirst(all []Mutant) []int {
	var slow, quick []int
	for i, m := range all {
		if m.slow {
			slow = append(slow, i)
		} else {
			quick = append(quick, i)
		}
	}
	return append(slow, quick...)
}

// court is what the mutants of one run share.
type court struct {
	mu       sync.Mutex // guards the rest
	controls map[string]func() (findings, error)
	progress func(matrix.Row)
}

// row tries one mutant, in haste and if that does not kill it, calmly; nil when the context has ended meanwhile.
func (r *court) row(ctx context.Context, m Mutant) *matrix.Row {
	start := time.Now()
	t := r.tried(ctx, m, hasty)
	if t.Fate != matrix.Killed && m.Kind != matrix.Wire && ctx.Err() == nil {
		t = r.tried(ctx, m, calm)
	}
	if ctx.Err() != nil {
		return nil
	}
	t.Duration = time.Since(start)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.progress != nil {
		r.progress(t.Row)
	}
	return &t.Row
}

// tried is what becomes of a mutant under so much patience.
func (r *court) tried(ctx context.Context, m Mutant, patience time.Duration) *tally {
	t := newTally(m)
	r.try(ctx, m, t, patience)
	return t
}

// specTime bounds one spec. It is far more than any takes.
const specTime = 5 * time.Minute

// try runs the specs until all that the mutant breaks was found.
func (r *court) try(ctx context.Context, m Mutant, t *tally, patience time.Duration) {
	specs := m.trial.specs(m.Clauses())
	if len(specs) == 0 {
		t.Fate, t.Message = matrix.Survived, "no spec decides what it breaks"
		return
	}
	exact := false
	for _, s := range specs {
		if len(t.missing()) == 0 && !exact {
			break
		}
		exact = exact || s.exact
		if err := r.hunt(ctx, s, t, patience); err != nil {
			t.Fate, t.Message = matrix.Unsound, fmt.Sprintf("%s: %v", s.name, err)
			return
		}
	}
	t.settle(exact)
}

// hunt runs one spec on a mutant, and on its control if it has found something.
func (r *court) hunt(ctx context.Context, s spec, t *tally, patience time.Duration) error {
	found, err := r.bounded(ctx, s, side{broken: true, patience: patience})
	if err != nil || len(found) == 0 {
		return err
	}
	control, err := r.control(ctx, s)
	if err != nil {
		return fmt.Errorf("the control fails: %w", err)
	}
	for key, saw := range found {
		if _, anyway := control[key]; anyway {
			continue
		}
		t.note(matrix.Sighting{Clause: key, Spec: s.name, Saw: saw})
	}
	return nil
}

// control runs a spec on the implementation unbroken, once.
func (r *court) control(ctx context.Context, s spec) (findings, error) {
	key := s.name + "\x00" + s.control
	r.mu.Lock()
	run, known := r.controls[key]
	if !known {
		run = sync.OnceValues(func() (findings, error) { return r.bounded(ctx, s, side{patience: calm}) })
		r.controls[key] = run
	}
	r.mu.Unlock()
	return run()
}

var errTooLong = errors.New("it takes too long")

func (r *court) bounded(ctx context.Context, s spec, on side) (findings, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, specTime, errTooLong)
	defer cancel()
	return s.run(ctx, on)
}
