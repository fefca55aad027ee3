// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"slices"

	"github.com/ibnbd/ibnbd/conformance/kit"
	"github.com/ibnbd/ibnbd/vm/agent"
	"github.com/ibnbd/ibnbd/vm/fabric"
)

// Mutant is a pair of implementations of which one looks broken, or is.
type Mutant struct {
	Name   string   // unique: lower-case words joined by '-'
	What   string   // the deed, in a few words
	Breaks []string // ids of the clauses that it breaks
	Slow   bool     // only specs that take minutes can find it, so that all are tried
	By     []string // unless empty, names of the specs that are tried instead, however long they take
	World  World    // the pair that it is made of
	// Found says that nothing is altered: mainline itself breaks the clauses. What is not broken is then this project's own pair.
	Found bool

	// What stands between the suite and the files of each machine. It is made anew for each spec; nil stands for nothing.
	Target, Initiator func() agent.FileHop
	// What stands between the suite and the programs of the initiator's machine; nil stands for nothing.
	Programs agent.ProgramHop
	// Wire is what rails do besides to what machines of these names send; nil stands for nothing. It is asked anew for each rail
	// and spec.
	Wire func(target, initiator string) fabric.Fault
}

// World is a pair of implementations, and how the target treats its keys. The zero value is mainline's pair with refreshed keys.
type World struct {
	OwnTarget, OwnInitiator bool // this project's instead of mainline's
	KeysKept                bool
}

// String names the world for people and folders.
func (w World) String() string {
	name := map[World]string{
		{}:                                    "mainline",
		{OwnTarget: true}:                     "own-target",
		{OwnInitiator: true}:                  "own-initiator",
		{OwnTarget: true, OwnInitiator: true}: "own",
	}[World{OwnTarget: w.OwnTarget, OwnInitiator: w.OwnInitiator}]
	if w.KeysKept {
		name += "-keys-kept"
	}
	return name
}

// own is the world of this project's pair.
var own = World{OwnTarget: true, OwnInitiator: true}

// Control is the world in which the clauses hold.
func (m Mutant) Control() World {
	if m.Found {
		return own
	}
	return m.World
}

// All are all mutants, in the order of their tables.
func All() []Mutant {
	return slices.Concat(mapping(), devices(), exports(), refusals(), returning(), sessions(), paths(), teardown(), statistics(), wire(),
		packets(), messages(), data(), programs(), found())
}

// Alteration is what the suite gets to see of the pair.
func (m Mutant) Alteration() kit.Alteration {
	return kit.Alteration{Target: m.Target, Initiator: m.Initiator, Programs: m.Programs, Wire: m.Wire}
}

// AlterationOf finds the alteration of a mutant by its name.
func AlterationOf(name string) (kit.Alteration, bool) {
	m, known := Named(name)
	return m.Alteration(), known
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

// by names the specs that are tried.
func (m Mutant) by(names ...string) Mutant {
	m.By = names
	return m
}
