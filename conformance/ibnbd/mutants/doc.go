// SPDX-License-Identifier: Apache-2.0

// Package mutants proves that the suite catches broken implementations: a suite that never fails says nothing.
//
// A [Mutant] is an implementation that breaks a clause, deliberately and as little as possible. [Run] puts each to the specs
// that claim this clause, and no others, and to the same specs the implementation unbroken, the control. The result is the
// kill matrix (package matrix). A mutant that lives is a clause that the suite does not see; one that dies of another clause
// than its own is a spec that blames the wrong one. Both fail.
//
// # What mutants are made of
//
// A mutant is a value in a table, by kind and area:
//
//   - A server (server_*.go) is the reference's server in this process, with one of its rules turned off, on another disk
//     (disk.go), or behind a hop that alters what it gets to see: a server to which every magic looks right takes any magic
//     (bed.go, hop.go). The attacks of package attacks judge it.
//   - A client (client_*.go) is the reference's client, likewise. The provocations of package provocations judge it.
//   - A liar (liars.go) is a server that is broken as a whole: it dies of anything odd, always succeeds, falls silent, answers
//     late or twice, loses or reorders writes, forgets flushes, pretends to reconnect.
//   - A pair in guests (package lab) is mainline's or this project's, whose files, packets or arguments are altered on their way.
//     The specs of the lab judge it ([RunInLab]).
//   - A recording (recordings.go, package recordings) is an exchange of implementations that behave, altered as if a broken one had
//     taken part. The passive judge must find what was broken, and nothing else.
//
// # What has no mutant
//
// [CoverageOf] holds the mutants against the catalogue. A clause that must be kept and can be decided has a mutant, or stands
// in the table of excuses.go with the reason why not; a clause with neither fails, and so does one that is excused by name
// although it has a mutant.
package mutants
