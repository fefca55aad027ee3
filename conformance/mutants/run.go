// SPDX-License-Identifier: Apache-2.0

package mutants

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

// Options say what is run and how.
type Options struct {
	Mutants []Mutant // nil stands for all
	// Workers is how many mutants are tried at a time; 0 stands for four for each processor, because most of them wait for
	// what never comes.
	Workers int
	// Progress, unless nil, is told of each row when it is done, in no order, one at a time.
	Progress func(Row)
}

// Select gives the mutants that break one of the clauses, or a clause of one of the areas. Nothing selects all.
func Select(all []Mutant, clauses, areas []string) []Mutant {
	if len(clauses)+len(areas) == 0 {
		return all
	}
	return slices.DeleteFunc(slices.Clone(all), func(m Mutant) bool {
		return !slices.ContainsFunc(m.Clauses(), func(id string) bool {
			return slices.Contains(clauses, id) || slices.Contains(areas, id[:strings.LastIndexByte(id, '-')])
		})
	})
}

// Run tries each mutant, and the control of each spec that found something. It fails only when the context ends; the
// matrix then has what was tried until then.
func Run(ctx context.Context, opts Options) (*Matrix, error) {
	all := opts.Mutants
	if all == nil {
		all = All()
	}
	workers := opts.Workers
	if workers == 0 {
		workers = 4 * runtime.NumCPU()
	}
	r := &runner{controls: make(map[string]func() (findings, error)), progress: opts.Progress}
	matrix := &Matrix{Start: time.Now()}
	rows := make([]*Row, len(all))
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
			matrix.Rows = append(matrix.Rows, *row)
		}
	}
	matrix.Duration = time.Since(matrix.Start)
	if err := ctx.Err(); err != nil {
		return matrix, fmt.Errorf("%d of %d mutants were tried: %w", len(matrix.Rows), len(all), context.Cause(ctx))
	}
	return matrix, nil
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

// runner is what the mutants of one run share.
type runner struct {
	mu       sync.Mutex // guards the rest
	controls map[string]func() (findings, error)
	progress func(Row)
}

// row tries one mutant; nil when the context has ended meanwhile.
func (r *runner) row(ctx context.Context, m Mutant) *Row {
	start := time.Now()
	row := &Row{Mutant: m.Name, Kind: m.Kind, What: m.What, Breaks: m.Breaks}
	r.try(ctx, m, row)
	if ctx.Err() != nil {
		return nil
	}
	row.Duration = time.Since(start)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.progress != nil {
		r.progress(*row)
	}
	return row
}

// specTime bounds one spec. It is far more than any takes.
const specTime = 2 * time.Minute

// try runs the specs until all that the mutant breaks was found.
func (r *runner) try(ctx context.Context, m Mutant, row *Row) {
	specs := m.trial.specs(m.Clauses())
	if len(specs) == 0 {
		row.Fate, row.Message = Survived, "no spec decides what it breaks"
		return
	}
	exact := false
	for _, s := range specs {
		if len(row.missing()) == 0 && !exact {
			break
		}
		exact = exact || s.exact
		if err := r.hunt(ctx, s, row); err != nil {
			row.Fate, row.Message = Unsound, fmt.Sprintf("%s: %v", s.name, err)
			return
		}
	}
	row.settle(exact)
}

// hunt runs one spec on a mutant, and on its control if it has found something.
func (r *runner) hunt(ctx context.Context, s spec, row *Row) error {
	found, err := r.bounded(ctx, s, true)
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
		row.note(key, Sighting{Clause: key, Spec: s.name, Saw: saw})
	}
	return nil
}

// control runs a spec on the implementation unbroken, once.
func (r *runner) control(ctx context.Context, s spec) (findings, error) {
	key := s.name + "\x00" + s.control
	r.mu.Lock()
	run, known := r.controls[key]
	if !known {
		run = sync.OnceValues(func() (findings, error) { return r.bounded(ctx, s, false) })
		r.controls[key] = run
	}
	r.mu.Unlock()
	return run()
}

var errTooLong = errors.New("it takes too long")

func (r *runner) bounded(ctx context.Context, s spec, mutant bool) (findings, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, specTime, errTooLong)
	defer cancel()
	return s.run(ctx, mutant)
}
