// SPDX-License-Identifier: Apache-2.0

package mutant

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/ibnbd/ibnbd/conformance/verdict/matrix"
)

// Options say what is run and how.
type Options struct {
	Mutants []Mutant // each with a Trial
	// Workers is how many mutants are tried at a time; 0 stands for sixteen for each processor, because nearly all
	// of their time they wait for what never comes.
	Workers int
	// Progress, unless nil, is told of each row when it is done, in no order, one at a time.
	Progress func(matrix.Row)
}

// Run tries each mutant, and the control of each spec that found something. It fails only when the context ends; the
// matrix then has what was tried until then.
func Run(ctx context.Context, opts Options) (*matrix.Matrix, error) {
	all, workers := opts.Mutants, opts.Workers
	if workers == 0 {
		workers = 16 * runtime.NumCPU()
	}
	r := &run{controls: make(map[string]func() (Findings, error)), progress: opts.Progress}
	m := &matrix.Matrix{Start: time.Now()}
	rows := make([]*matrix.Row, len(all))
	queue := make(chan int) // indices of all
	var working sync.WaitGroup
	for range min(workers, len(all)) {
		working.Go(func() {
			for i := range queue {
				rows[i] = r.row(ctx, all[i])
			}
		})
	}
	for _, i := range slowFirst(all) {
		if ctx.Err() != nil {
			break
		}
		queue <- i
	}
	close(queue)
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
		if m.Slow {
			slow = append(slow, i)
		} else {
			quick = append(quick, i)
		}
	}
	return append(slow, quick...)
}

// run is what the mutants that are tried together share.
type run struct {
	mu       sync.Mutex // guards the rest
	controls map[string]func() (Findings, error)
	progress func(matrix.Row)
}

// row tries one mutant, with a short wait for answers and, if that does not kill it, with a long one. It is nil when the context
// has ended meanwhile.
func (r *run) row(ctx context.Context, m Mutant) *matrix.Row {
	start := time.Now()
	t := r.try(ctx, m, ShortWait)
	if t.Status != matrix.Killed && m.Kind != matrix.Wire && ctx.Err() == nil {
		t = r.try(ctx, m, LongWait)
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

// try runs the specs until all that the mutant breaks was found.
func (r *run) try(ctx context.Context, m Mutant, patience time.Duration) *tally {
	t := newTally(m)
	specs := m.Trial.Specs(m.Clauses())
	if len(specs) == 0 {
		t.Status, t.Message = matrix.Survived, "no spec decides what it breaks"
		return t
	}
	exact := false
	for _, s := range specs {
		if len(t.missing()) == 0 && !exact {
			break
		}
		exact = exact || s.Exact
		if err := r.runSpec(ctx, s, t, patience); err != nil {
			t.Status, t.Message = matrix.Unsound, fmt.Sprintf("%s: %v", s.Name, err)
			return t
		}
	}
	t.settle(exact)
	return t
}

// runSpec runs one spec on a mutant, and on its control if it has found something.
func (r *run) runSpec(ctx context.Context, s Spec, t *tally, patience time.Duration) error {
	found, err := bounded(ctx, s, Subject{Broken: true, Patience: patience})
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
		t.note(matrix.Detection{Clause: key, Spec: s.Name, Saw: saw})
	}
	return nil
}

// control runs a spec on the implementation unbroken, once.
func (r *run) control(ctx context.Context, s Spec) (Findings, error) {
	key := s.Name + "\x00" + s.Control
	r.mu.Lock()
	once, known := r.controls[key]
	if !known {
		once = sync.OnceValues(func() (Findings, error) { return bounded(ctx, s, Subject{Patience: LongWait}) })
		r.controls[key] = once
	}
	r.mu.Unlock()
	return once()
}

// specTime bounds one spec. It is far more than any takes.
const specTime = 5 * time.Minute

var errTooLong = errors.New("it takes too long")

func bounded(ctx context.Context, s Spec, on Subject) (Findings, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, specTime, errTooLong)
	defer cancel()
	return s.Run(ctx, on)
}
