// SPDX-License-Identifier: Apache-2.0

package mutants

import (
	"context"
	"strings"

	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/mutants/recordings"
	"github.com/ibnbd/ibnbd/conformance/verdict/matrix"
)

// recordingTrial is an altered recording before the passive judge.
type recordingTrial struct{ recordings.Mutation }

// recorded are the mutants of package recordings.
func recorded() []Mutant {
	var all []Mutant
	for _, m := range recordings.All() {
		all = append(all, Mutant{
			Name: slug(m.Capture + " " + m.What), What: m.What + ", in the recording " + m.Capture,
			Breaks: m.Breaks, Kind: matrix.Wire, trial: recordingTrial{m},
		})
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

// specs is the passive judge, who knows what every recording breaks anyway.
func (t recordingTrial) specs([]string) []spec {
	return []spec{{
		name: audit.SpecName, control: t.Capture, exact: true,
		run: func(ctx context.Context, on side) (findings, error) {
			if on.broken {
				return t.Broken(ctx)
			}
			return t.Control(ctx)
		},
	}}
}
