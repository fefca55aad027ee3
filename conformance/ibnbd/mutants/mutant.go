// SPDX-License-Identifier: Apache-2.0

package mutants

import (
	"context"
	"slices"
	"time"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/mutants/lab"
	"github.com/ibnbd/ibnbd/conformance/verdict/matrix"
)

// Mutant is a broken implementation: a small deliberate violation.
type Mutant struct {
	Name string // unique: lower-case words joined by '-'
	What string // the deed, in a few words
	// Breaks are the ids of the clauses that it breaks, with the role behind it where a clause judges both sides and the
	// judge tells them apart ("IBTRS-HB-002 target"). The mutant is dead when all of them were found broken.
	Breaks []string
	Kind   matrix.Kind

	trial trial // nil for those of the lab
	slow  bool  // its specs wait for timers, so that it is tried first

	// Of those of the lab.
	world, control lab.World // what it is made of, and where the clauses hold
	only           []string  // unless empty, names of the specs that must find it
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

// trial is how a mutant is put to the test.
type trial interface {
	// specs are those that must find it. Each of them claims a clause that the mutant breaks.
	specs(clauses []string) []spec
}

// spec is something that decides clauses, ready to be run on a mutant and on the control, the same implementation
// unbroken.
type spec struct {
	name string
	// exact says that it decides every clause that it knows, so that nothing beside what the mutant breaks may be found.
	exact bool
	// control names the control: specs of one name are run on one of the same name only once.
	control string
	run     func(ctx context.Context, on side) (findings, error)
}

// side is the implementation that a spec is run on.
type side struct {
	broken   bool          // the mutant; otherwise the control
	patience time.Duration // for an answer
}

// How long answers may take. Both sides live in this process, where who is silent for a while will say nothing more; but a busy
// machine is slow, so that the control is given more time, and a mutant, too, when haste has not found what it breaks.
const (
	hasty = 1500 * time.Millisecond
	calm  = 20 * time.Second
)

// findings are broken clauses, as keys of Breaks, with what was seen.
type findings map[string]string

// All are all mutants, in the order of their tables.
func All() []Mutant { return slices.Concat(InProcess(), InLab()) }

// InProcess are the mutants that live in this process.
func InProcess() []Mutant {
	return slices.Concat(
		connecting(), information(), immediates(), requests(), keys(), messages(), opening(), blocks(), lives(), using(), silent(), liars(),
		clientConnecting(), clientResponses(), clientKeys(), clientPaths(), clientBlocks(), clientLimits(), clientRecovery(), clientWaits(),
		recorded(),
	)
}

// Of are the names of the mutants that break a clause.
func Of(clause string) []string { return ByClause()[clause] }

// ByClause maps the ids of clauses to the names of the mutants that break them.
func ByClause() map[string][]string {
	names := make(map[string][]string)
	for _, m := range All() {
		for _, id := range m.Clauses() {
			names[id] = append(names[id], m.Name)
		}
	}
	return names
}
