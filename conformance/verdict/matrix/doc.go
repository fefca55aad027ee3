// SPDX-License-Identifier: Apache-2.0

// Package matrix is the record of what the suite did to broken implementations: the kill matrix.
//
//   - A [Row] is what became of one mutant: which clauses it breaks on purpose, which specs have seen that, and its [Status].
//   - A [Matrix] is the rows of one run.
//   - A [Coverage] says which clauses that must be kept have a mutant, and why the others have none.
//   - A [Report] is both, with the exit code that follows: a mutant that lives, or is dead for the wrong reason, and a clause with
//     neither a mutant nor a reason make it fail. It is written and read as JSON.
//
// Package mutant makes it; package report shows it, alone or beside the outcome of a run.
package matrix
