// SPDX-License-Identifier: Apache-2.0

package attacks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// Random sequences of what clients do, each step held against a model of what must come of it. They find faults that take several
// steps, in an order that nobody has thought of.

const (
	sequenceCount = 8   // sequences in a run
	sequenceSteps = 100 // in each
	sequenceSeed  = 1   // of the first sequence, unless another is given; the others follow
)

// How long sequences may take on a slow target. A client that is idle for longer than 30 s is given up.
const (
	sequenceTime = 6 * time.Second  // after which no further sequence is begun, or tried in the search for a shorter one
	stepsTime    = 20 * time.Second // after which no further step is done
)

// verb is what a step does.
type verb struct {
	name   string
	weight int // how often it is done, compared with the others
	do     func(*sequenceRun, context.Context, step) error
	about  func(step) string // its operands, in words
}

var verbs = []verb{
	{"connects", 8, (*sequenceRun).join, step.way},
	{"disconnects", 5, (*sequenceRun).leave, step.way},
	{"sends SESS_INFO", 1, (*sequenceRun).introduce, step.way},
	{"opens", 6, (*sequenceRun).open, step.opening},
	{"closes", 4, (*sequenceRun).close, step.disk},
	{"writes", 6, (*sequenceRun).write, step.block},
	{"reads", 3, (*sequenceRun).read, step.block},
	{"reads beyond the end of", 1, (*sequenceRun).beyond, step.disk},
	{"reads an id that it has closed", 2, (*sequenceRun).stale, step.way},
}

// errNoSense is the end of a step that makes no sense where the sequence is then. It is left out.
var errNoSense = errors.New("the step makes no sense here")

// step is one thing that a client does.
type step struct {
	verb   int // index of verbs
	client int
	rail   int
	device int
	mode   ibnbd.AccessMode
	place  int // one of the blocks that are used
}

func (s step) way() string     { return fmt.Sprintf("over path %d", s.rail) }
func (s step) disk() string    { return fmt.Sprintf("device %d", s.device) }
func (s step) block() string   { return fmt.Sprintf("block %d of device %d", s.place, s.device) }
func (s step) opening() string { return fmt.Sprintf("device %d %s", s.device, s.mode) }

// String says what the step does.
func (s step) String() string {
	v := verbs[s.verb]
	return fmt.Sprintf("client %d %s %s", s.client, v.name, v.about(s))
}

// newSteps are the steps of the sequence of a seed.
func newSteps(seed uint64) []step {
	random := rand.New(rand.NewPCG(seed, 0))
	var drawn []int // verbs, as often as their weights say
	for i, v := range verbs {
		drawn = append(drawn, slices.Repeat([]int{i}, v.weight)...)
	}
	steps := make([]step, sequenceSteps)
	for i := range steps {
		steps[i] = step{
			verb: drawn[random.IntN(len(drawn))], client: random.IntN(sequenceClients), rail: random.IntN(2), device: random.IntN(2),
			mode: ibnbd.AccessMode(random.IntN(3)), place: random.IntN(sequenceBlocks),
		}
	}
	return steps
}

// sequences runs sequences until one breaks a clause, and looks for the shortest that does.
func sequences(ctx context.Context, t *tester.Tester) error {
	if saved := t.Target().Sequence; len(saved) > 0 {
		return replay(ctx, t, saved)
	}
	until := time.Now().Add(sequenceTime)
	for i := range uint64(sequenceCount) {
		seed := cmp.Or(t.Target().Seed, sequenceSeed) + i
		if i > 0 && time.Now().After(until) {
			return nil
		}
		if done, err := runSteps(ctx, t, newSteps(seed)); err != nil {
			return shorten(ctx, t, seed, done, err)
		}
	}
	return nil
}

// runSteps runs a sequence with clients of its own, and gives the steps that were done.
func runSteps(ctx context.Context, t *tester.Tester, steps []step) (done []step, err error) {
	mine := tester.New(t.Target())
	defer func() { err = errors.Join(err, mine.Close()) }()
	p, err := newSequenceRun(ctx, mine)
	if err != nil {
		return nil, err
	}
	until := time.Now().Add(stepsTime)
	for _, s := range steps {
		err := verbs[s.verb].do(p, ctx, s)
		if errors.Is(err, errNoSense) {
			continue
		}
		if done = append(done, s); err != nil {
			return done, err
		}
		if time.Now().After(until) {
			break
		}
	}
	return done, p.settle(ctx)
}

// mostReruns bounds the search for a short sequence.
const mostReruns = 60

// shorten leaves out steps as long as the same clause is broken without them. It does so only on a target that is as it was before:
// one that keeps what a sequence has done would fail for that.
func shorten(ctx context.Context, t *tester.Tester, seed uint64, steps []step, broken error) error {
	var first *tester.Violation
	if !errors.As(broken, &first) {
		return broken
	}
	if !occupied(ctx, t) {
		return sequenceError(seed, steps, broken)
	}
	if done, err := runSteps(ctx, t, nil); breaks(err, first.Clause) {
		return sequenceError(seed, done, err)
	}
	until := time.Now().Add(sequenceTime)
	reruns := 0
	for size := (len(steps) + 1) / 2; size > 0; size /= 2 {
		for at := 0; at+size <= len(steps); {
			if reruns++; reruns > mostReruns || time.Now().After(until) || !asBefore(ctx, t) {
				return sequenceError(seed, steps, broken)
			}
			done, err := runSteps(ctx, t, slices.Delete(slices.Clone(steps), at, at+size))
			if breaks(err, first.Clause) {
				steps, broken = done, err
			} else {
				at += size
			}
		}
	}
	return sequenceError(seed, steps, broken)
}

// breaks says whether an error is that of a clause.
func breaks(err error, clause string) bool {
	var v *tester.Violation
	return errors.As(err, &v) && v.Clause == clause
}

// asBefore says whether a sequence of no steps can be run, and the bystander still has its device.
func asBefore(ctx context.Context, t *tester.Tester) bool {
	_, err := runSteps(ctx, t, nil)
	return err == nil && occupied(ctx, t)
}

// occupied says whether the bystander's device, if it has one of its own, is closed to another writer.
func occupied(ctx context.Context, t *tester.Tester) bool {
	exports := t.Target().Exports
	if exports[0] == exports[1] {
		return true
	}
	p := t.NewSession().NewPath(0)
	if p.Connect(ctx) != nil {
		return false
	}
	_, err := p.Open(ctx, exports[1], ibnbd.ReadWrite)
	return p.Disconnect(ctx) == nil && errors.Is(err, ibtrs.EPERM)
}

// sequenceError says what was done, and has it as a file, from which it can be done again.
func sequenceError(seed uint64, steps []step, broken error) error {
	var words []string
	for _, s := range steps {
		words = append(words, s.String())
	}
	broken = attach(seed, steps, broken)
	return fmt.Errorf("sequence of seed %d in %d steps (%s): %w", seed, len(steps), strings.Join(words, "; "), broken)
}
