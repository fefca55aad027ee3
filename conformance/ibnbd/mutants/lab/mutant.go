// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"cmp"
	"slices"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/conformance/kit"
	"github.com/ibnbd/ibnbd/conformance/mutant"
	"github.com/ibnbd/ibnbd/conformance/verdict/matrix"
	"github.com/ibnbd/ibnbd/vm/agent"
	"github.com/ibnbd/ibnbd/vm/fabric"
)

// row is an entry of the tables: a target and an initiator, one of them broken, or made to look broken.
type row struct {
	Name   string           // unique: lower-case words joined by '-'
	What   string           // what it does wrong, in a few words
	Breaks []string         // ids of the clauses that it breaks
	Slow   bool             // only specs that take minutes can find it, so that all are tried
	By     []string         // unless empty, names of the specs that are tried instead, however long they take
	Pair   mutant.PairNames // that it is made of; the zero value stands for mainline's
	// Found says that nothing is altered: mainline itself breaks the clauses. What is not broken is then this project's own pair.
	Found bool

	// As in kit.Alteration.
	Target, Initiator func() agent.FileHop
	Programs          agent.ProgramHop
	Wire              func(target, initiator string) fabric.Fault
}

// The pairs that mutants are made of. The zero value of a row's Pair stands for that of mainline.
var (
	mainline     = mutant.PairNames{Target: subject.Mainline.Name, Initiator: subject.Mainline.Name}
	own          = mutant.PairNames{Target: subject.Reference.Name, Initiator: subject.Reference.Name}
	ownTarget    = mutant.PairNames{Target: subject.Reference.Name, Initiator: subject.Mainline.Name}
	ownInitiator = mutant.PairNames{Target: subject.Mainline.Name, Initiator: subject.Reference.Name}

	mainlineStaticKeys = mutant.PairNames{Target: subject.Mainline.Name, Initiator: subject.Mainline.Name, With: clauses.StaticKeys}
)

// Mutants are all of this package, in the order of the tables.
func Mutants() []mutant.Mutant {
	var all []mutant.Mutant
	for _, m := range rows() {
		pair := cmp.Or(m.Pair, mainline)
		control := pair
		if m.Found {
			control = own
		}
		all = append(all, mutant.Mutant{
			Name: m.Name, What: m.What, Breaks: m.Breaks, Kind: matrix.Lab, Slow: m.Slow, Lab: &mutant.LabTrial{
				Pair: pair, Control: control, Specs: m.By,
				Alteration: kit.Alteration{Target: m.Target, Initiator: m.Initiator, Programs: m.Programs, Wire: m.Wire},
			},
		})
	}
	return all
}

// AlterationOf finds what makes the pair of a mutant look broken, by the mutant's name.
func AlterationOf(name string) (kit.Alteration, bool) {
	return mutant.Set{InLab: Mutants()}.Alteration(name)
}

func rows() []row {
	return slices.Concat(mapping(), devices(), exports(), refusals(), returning(), sessions(), paths(), teardown(), statistics(), wire(),
		packets(), messages(), data(), programs(), found())
}

// initiator makes a mutant whose initiator is altered.
func initiator(name, what string, hop func() agent.FileHop, breaks ...string) row {
	return row{Name: name, What: what, Breaks: breaks, Initiator: hop}
}

// target makes a mutant whose target is altered.
func target(name, what string, hop func() agent.FileHop, breaks ...string) row {
	return row{Name: name, What: what, Breaks: breaks, Target: hop}
}

// by names the specs that are tried.
func (m row) by(names ...string) row {
	m.By = names
	return m
}
