// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"slices"

	"github.com/ibnbd/ibnbd/vm/agent"
	"github.com/ibnbd/ibnbd/vm/fabric"
)

// Mutant is a pair of mainline's implementations of which one looks broken.
type Mutant struct {
	Name   string   // unique: lower-case words joined by '-'
	What   string   // the deed, in a few words
	Breaks []string // ids of the clauses that it breaks
	Slow   bool     // only specs that take minutes can find it

	// What stands between the suite and the files of each machine. It is made anew for each spec; nil stands for nothing.
	Target, Initiator func() agent.FileHop
	// Lost chooses what rails lose besides, of what machines of these names send; nil stands for nothing. It is asked anew for
	// each rail and spec.
	Lost func(target, initiator string) fabric.Predicate
}

// All are all mutants, in the order of their tables.
func All() []Mutant {
	return slices.Concat(mapping(), devices(), exports(), refusals(), sessions(), paths(), teardown(), statistics(), wire())
}

// Named finds a mutant.
func Named(name string) (Mutant, bool) {
	all := All()
	i := slices.IndexFunc(all, func(m Mutant) bool { return m.Name == name })
	if i < 0 {
		return Mutant{}, false
	}
	return all[i], true
}

// initiator makes a mutant whose initiator is altered.
func initiator(name, what string, hop func() agent.FileHop, breaks ...string) Mutant {
	return Mutant{Name: name, What: what, Breaks: breaks, Initiator: hop}
}

// target makes a mutant whose target is altered.
func target(name, what string, hop func() agent.FileHop, breaks ...string) Mutant {
	return Mutant{Name: name, What: what, Breaks: breaks, Target: hop}
}
