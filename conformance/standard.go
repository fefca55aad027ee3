// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"fmt"
	"strings"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/standard"
	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// Standard is the catalogue of all protocols as a document. The error says which baseline is broken.
func Standard() (standard.Document, error) {
	d := standard.Document{
		Head: fmt.Sprintf(standardHead, clauses.Edition), Terms: standardTerms, Reading: standardReading + standardSession,
		Catalogue: Catalogue(), Editions: editions, Mutants: Mutants().ByClause(),
	}
	for _, p := range Protocols() {
		d.Layouts = append(d.Layouts, p.Layouts...)
		if p.Baseline == nil {
			continue
		}
		baseline, err := verdict.ReadBaseline(strings.NewReader(p.Baseline.YAML), Catalogue())
		if err != nil {
			return standard.Document{}, fmt.Errorf("%s: %w", p.Baseline.File, err)
		}
		d.Breakers = append(d.Breakers, baseline.Expected...)
	}
	return d, nil
}
