// SPDX-License-Identifier: Apache-2.0

package verdict

import (
	"slices"

	"github.com/ibnbd/ibnbd/conformance/clauses"
)

// current gives a run as the catalogue of today reads it: what was recorded of clauses that were withdrawn since is put down to
// those that demand the same now. Ids that the catalogue never had stay.
func (run Run) current(catalogue *clauses.Catalogue) Run {
	var results []Result
	for _, r := range run.Results {
		for _, id := range currentIDs(catalogue, r.Clause) {
			r.Clause = id
			results = append(results, r)
		}
	}
	run.Results = results
	run.Header.Baseline = currentEntries(catalogue, run.Header.Baseline)
	run.Header.Specs = currentSpecs(catalogue, run.Header.Specs)
	return run
}

func currentIDs(catalogue *clauses.Catalogue, id string) []string {
	ids, known := catalogue.Current(id)
	if !known {
		return []string{id}
	}
	return ids
}

// currentEntries are the entries of a baseline, one for each clause that demands now what an entry speaks of.
func currentEntries(catalogue *clauses.Catalogue, entries []ExpectedFailure) []ExpectedFailure {
	var current []ExpectedFailure
	for _, entry := range entries {
		for _, id := range currentIDs(catalogue, entry.Clause) {
			entry.Clause = id
			current = append(current, entry)
		}
	}
	return current
}

func currentSpecs(catalogue *clauses.Catalogue, specs map[string][]string) map[string][]string {
	if specs == nil {
		return nil
	}
	current := make(map[string][]string)
	for id, names := range specs {
		for _, now := range currentIDs(catalogue, id) {
			current[now] = append(current[now], names...)
		}
	}
	for id, names := range current {
		slices.Sort(names)
		current[id] = slices.Compact(names)
	}
	return current
}
