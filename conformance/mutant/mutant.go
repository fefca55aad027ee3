// SPDX-License-Identifier: Apache-2.0

package mutant

import (
	"context"
	"slices"
	"time"

	"github.com/ibnbd/ibnbd/conformance/kit"
	"github.com/ibnbd/ibnbd/conformance/verdict/matrix"
)

// Mutant is a broken implementation: a small deliberate violation. Either Trial or Lab says how it is tried.
type Mutant struct {
	Name string // unique: lower-case words joined by '-'
	What string // what it does wrong, in a few words
	// Breaks are the ids of the clauses that it breaks, with the role behind it where a clause judges both sides and the
	// judge tells them apart. The mutant is dead when all of them were found broken.
	Breaks []string
	Kind   matrix.Kind
	Slow   bool // its specs wait for timers, so that it is tried first, and by specs that take minutes, too

	Trial Trial     // of a mutant in this process
	Lab   *LabTrial // of a mutant that needs guests
}

// Clauses are the ids of the clauses that the mutant breaks, each once.
func (m Mutant) Clauses() []string {
	var ids []string
	for _, key := range m.Breaks {
		if id := matrix.ClauseOf(key); !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// Trial is how a mutant is tried in this process.
type Trial interface {
	// Specs are those that must find the mutant. Each of them claims one of the clauses.
	Specs(clauses []string) []Spec
}

// Spec is something that decides clauses, ready to be run on a mutant and on its control, the same implementation unbroken.
type Spec struct {
	Name string
	// Exact says that it decides every clause that it knows, so that nothing beside what the mutant breaks may be found.
	Exact bool
	// Control names the control: specs of one name are run on one of the same name only once.
	Control string
	Run     func(ctx context.Context, s Subject) (Findings, error)
}

// Subject is the implementation that a spec is run on.
type Subject struct {
	Broken   bool          // the mutant; otherwise the control
	Patience time.Duration // how long an answer may take
}

// How long answers may take. Both sides live in this process, where who is silent for a while will say nothing more; but a busy
// machine is slow, so that the control is given more time, and a mutant, too, when the short wait has not shown what it breaks.
const (
	ShortWait = 1500 * time.Millisecond
	LongWait  = 20 * time.Second
)

// Findings are broken clauses, as keys of [Mutant.Breaks], with what was seen.
type Findings map[string]string

// Unclaimed stands in findings for a failure that is laid to no clause.
const Unclaimed = "no clause"

// LabTrial is how a mutant is made in guests.
type LabTrial struct {
	Pair    PairNames // what it is made of
	Control PairNames // where the clauses hold; the same as Pair, but for a mutant that is broken without being altered
	Specs   []string  // unless empty, names of the specs that are tried, however long they take, instead of all quick ones

	Alteration kit.Alteration // what makes the pair look broken
}
