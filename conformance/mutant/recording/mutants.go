// SPDX-License-Identifier: Apache-2.0

package recording

import (
	"context"
	"strings"

	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/conformance/mutant"
	"github.com/ibnbd/ibnbd/conformance/verdict/matrix"
)

// Mutants makes a mutant of each mutation.
func Mutants(tables []Table) []mutant.Mutant {
	var all []mutant.Mutant
	for _, t := range tables {
		for _, m := range t.Mutations {
			all = append(all, mutant.Mutant{
				Name: slug(t.Name + " " + m.Name), What: m.Name + ", in the recording " + t.Name,
				Breaks: m.Breaks, Kind: matrix.Wire, Trial: trial{t, m},
			})
		}
	}
	return all
}

// slug makes a name of words.
func slug(words string) string {
	plain := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			return r
		case r == '\'':
			return -1
		}
		return ' '
	}, strings.ToLower(words))
	return strings.Join(strings.Fields(plain), "-")
}

// trial is an altered recording before the passive judge.
type trial struct {
	table    Table
	mutation Mutation
}

// Specs is the passive judge, who knows what every recording breaks anyway.
func (t trial) Specs([]string) []mutant.Spec {
	return []mutant.Spec{{
		Name: audit.SpecName, Control: t.table.Name, Exact: true,
		Run: func(ctx context.Context, on mutant.Subject) (mutant.Findings, error) {
			if on.Broken {
				return t.table.Broken(ctx, t.mutation)
			}
			return t.table.Control(ctx)
		},
	}}
}
