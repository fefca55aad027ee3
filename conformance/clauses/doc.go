// SPDX-License-Identifier: Apache-2.0

// Package clauses is the catalogue of requirements that this project judges implementations by: one record a clause,
// kept as data (YAML, one file an area) by the protocol that it belongs to, and checked when it is loaded.
//
// # Nouns
//
//   - A [Clause] is one sentence that an implementation keeps or breaks. It has an id ("IBTRS-CONN-006"), a [Level]
//     (MUST, SHOULD, MAY), the [Role] that it judges, the [Source] that the requirement comes from, the dialects that it
//     holds for, and a [Decision]: whether active specs, the passive judge of captures, both or nobody decides it.
//   - An area is the part of the id before the number ("IBTRS-CONN"). Areas are free: nothing here knows IBNBD from SRP.
//   - A [Part] is what one protocol contributes: its files, the order of its areas, and its dialects.
//   - A [Catalogue] is all clauses. [New] builds it from the parts; a mistake in a file is reported with the file, the
//     clause and the field. [github.com/ibnbd/ibnbd/conformance.Catalogue] is that of all protocols.
//   - A [Subject] says what is known of an implementation: its role, dialect, abilities, and whether it is this
//     project's own. [Clause.Force] tells how a clause binds that subject.
//
// # Sources, and whom a clause binds
//
// Requirements come from different places, and a foreign implementation cannot be blamed for all of them:
//
//	seed            the written description of IBNBD (or of SRP connection loss) that this project began from
//	seed-tests      the test descriptions that the seed of SRP points to
//	original        behaviour of the original IBNBD/IBTRS pair, protocol IBTRS 2.0 and IBNBD 1.0
//	mainline        behaviour of mainline Linux: rtrs/rnbd (RTRS 2.0, RNBD 2.0), ib_srp, ib_srpt
//	mainline-later  wire additions published for mainline after 6.12
//	standard        a public standard: T10 SRP, the InfiniBand architecture
//	project         a decision or hardening rule of this project
//
// A clause whose only source is the project has scope "project", every other clause has scope "protocol". The record
// names a project scope and Load checks it against the sources. The rule for blame is then:
//
//	clause                            own implementation   foreign implementation
//	MUST, scope protocol              binding              binding
//	MUST, scope project               binding              advisory
//	SHOULD, MAY                       advisory             advisory
//	other role, dialect or ability    not applicable       not applicable
//
// A binding clause that fails makes the run fail. An advisory one is judged and shown all the same (a foreign server
// that crashes where only this project demands strength is worth knowing) but never fails the run.
//
// # Dialects
//
// Implementations of one protocol may be the same on the wire and call things by different names: these are its dialects.
// Most clauses hold for all dialects of their protocol. A clause that names one speaks of something that the others do not
// have.
//
// # Ambiguity and measurement
//
// Where the seed contradicts itself, the record has an [Ambiguity]: the question, and every answer that is accepted.
// Where a reference implementation was measured, the record has a [Fact]. A fact never changes what a clause demands.
//
// The sub-package claim ties Ginkgo specs to clauses.
package clauses
