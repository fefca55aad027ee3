// SPDX-License-Identifier: Apache-2.0

// Package standard renders the catalogue of clauses as a document that somebody can implement from who has nothing else: terms,
// clauses by area, layouts of messages, withdrawn clauses. All of it comes from data: the catalogue, the layout tables of the
// protocols, the mutants and the baselines. The document is docs/standard.md, which a test of package conformance holds current.
package standard
