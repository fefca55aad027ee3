// SPDX-License-Identifier: Apache-2.0

// Package implementation says what is known of an implementation before it is under test, whatever its protocol: by that
// clauses are chosen, guests are made and names in reports are given. How one is put under test its protocol knows.
package implementation

import (
	"context"
	"io/fs"
	"maps"
	"slices"

	"github.com/ibnbd/ibnbd/conformance/clauses"
)

// Facts are what is known of an implementation.
type Facts struct {
	Name    string          // as users write it, such as "mainline"; no other of its protocol has it
	Dialect clauses.Dialect // the family of names that it uses
	Own     bool            // whether it is this project's own, so that the project's own rules bind it
	// Abilities maps an ability to whether the implementation has it in either role; AsTarget and AsInitiator are those that
	// it has, or lacks, in one role alone. What is absent is unknown.
	Abilities, AsTarget, AsInitiator map[clauses.Ability]bool
	// Modules are the module sets of package image that its hosts need.
	Modules []string
	// KernelModules are those that it consists of, with underscores; nil if it is a program. A report names each by its content.
	KernelModules []string
	// Sources of kernel modules of its own, which are built for its hosts; nil if it has none.
	Sources fs.FS
	// Replaces says that these modules take the place of modules of the kernel, so that a host has either.
	Replaces bool
	// CheckSettings refuses settings, of the form NAME=VALUE, that the implementation does not have in a role, or whose values make
	// no sense; nil if a run can set nothing.
	CheckSettings func(role clauses.Role, settings []string) error
	// Build compiles its programs into a directory; nil if it has none. It works inside a checkout of the project alone.
	Build func(ctx context.Context, dir string) error
}

// Has says whether the implementation is known to have an ability in a role.
func (f Facts) Has(ability clauses.Ability, role clauses.Role) bool { return f.in(role)[ability] }

// in are the abilities in a role.
func (f Facts) in(role clauses.Role) map[clauses.Ability]bool {
	all := make(map[clauses.Ability]bool)
	maps.Copy(all, f.Abilities)
	switch role {
	case clauses.Target:
		maps.Copy(all, f.AsTarget)
	case clauses.Initiator:
		maps.Copy(all, f.AsInitiator)
	}
	return all
}

// Subject describes the implementation in a role, for the choice of clauses. Chosen are the abilities that a run gives it, or
// takes from it.
func (f Facts) Subject(role clauses.Role, chosen map[clauses.Ability]bool) clauses.Subject {
	abilities := f.in(role)
	maps.Copy(abilities, chosen)
	return clauses.Subject{Role: role, Dialect: f.Dialect, Own: f.Own, Abilities: abilities}
}

// Local is what begins the name of an implementation that a user has brought. No baseline of this project speaks of it.
const Local = "local-"

// LocalName is the name of one that comes with a kernel or modules of a user, which changed names by their content.
func (f Facts) LocalName(program, kernel, changed string) string {
	if f.Own {
		return f.FullName(program, kernel)
	}
	return Local + f.FullName(program, kernel) + "-" + changed
}

// FullName is the name with the version, as it stands in reports. An implementation of this project has the version of this
// program; any other comes with the kernel of its guest, and has the version of that.
func (f Facts) FullName(program, kernel string) string {
	if f.Own {
		return f.Name + "-" + program
	}
	return f.Name + "-" + kernel
}

// Names are those of implementations, in their order.
func Names(all []Facts) []string {
	var names []string
	for _, f := range all {
		names = append(names, f.Name)
	}
	return names
}

// Known is what has facts: they themselves, and what a protocol adds to them.
type Known interface{ Known() Facts }

// Known returns the facts.
func (f Facts) Known() Facts { return f }

// Named finds an implementation by its name.
func Named[T Known](all []T, name string) (found T, is bool) {
	i := slices.IndexFunc(all, func(known T) bool { return known.Known().Name == name })
	if i < 0 {
		return found, false
	}
	return all[i], true
}

// FactsOf are those of all of a protocol's implementations, in their order.
func FactsOf[T Known](all []T) []Facts {
	var facts []Facts
	for _, known := range all {
		facts = append(facts, known.Known())
	}
	return facts
}

// Modules are the module sets that any of the implementations needs, in the order of their first user. Hosts get all of
// them, so that one image serves for every pair.
func Modules(all []Facts) []string {
	var sets []string
	for _, f := range all {
		for _, set := range f.Modules {
			if !slices.Contains(sets, set) {
				sets = append(sets, set)
			}
		}
	}
	return sets
}

// Sources are the modules that the implementations bring with them, by the name of the implementation.
func Sources(all []Facts) map[string]fs.FS {
	sources := make(map[string]fs.FS)
	for _, f := range all {
		if f.Sources != nil {
			sources[f.Name] = f.Sources
		}
	}
	return sources
}
