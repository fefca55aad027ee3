// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"maps"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/conformance/kit"
	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// traits are what is known beforehand of an implementation, in either role.
type traits struct {
	dialect   clauses.Dialect
	own       bool
	abilities map[clauses.Ability]bool
	asTarget  map[clauses.Ability]bool // those that differ in the target's role
}

var implementations = map[string]traits{
	kit.Mainline: {
		dialect: clauses.RNBD,
		abilities: map[clauses.Ability]bool{
			clauses.Sysfs: true, clauses.KernelModule: true, clauses.IOMode: false, clauses.FeatureMarker: false,
			clauses.LegacyClients: false, clauses.VersionOne: false,
		},
	},
	kit.Reference: {
		dialect: clauses.IBNBD, own: true,
		abilities: map[clauses.Ability]bool{
			clauses.Sysfs: false, clauses.KernelModule: false, clauses.IOMode: true, clauses.FeatureMarker: true,
			clauses.LegacyClients: false, clauses.VersionOne: false, clauses.GIDAddressing: false,
		},
		asTarget: map[clauses.Ability]bool{clauses.LegacyClients: true, clauses.VersionOne: true},
	},
}

// subjects describes what is under test for the record.
func subjects(l Lab, keys subject.KeyMode) []verdict.Subject {
	return []verdict.Subject{
		l.describe(clauses.Target, l.Target, map[clauses.Ability]bool{clauses.KeyRefresh: bool(keys), clauses.StaticKeys: !bool(keys)}),
		l.describe(clauses.Initiator, l.Initiator, nil),
	}
}

// describe says what is known of one subject; more are the abilities that this run gives it.
func (l Lab) describe(role clauses.Role, name string, more map[clauses.Ability]bool) verdict.Subject {
	t := implementations[name]
	abilities := maps.Clone(t.abilities)
	if role == clauses.Target {
		maps.Copy(abilities, t.asTarget)
	}
	maps.Copy(abilities, more)
	release := l.Kernel
	if name == kit.Reference {
		release = l.tool()
	}
	return verdict.Subject{
		Subject: clauses.Subject{Role: role, Dialect: t.dialect, Own: t.own, Abilities: abilities},
		Name:    name + "-" + release,
	}
}
