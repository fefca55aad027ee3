// SPDX-License-Identifier: Apache-2.0

// Package verdict turns what specs and the passive judge found into verdicts on clauses, an exit code and a record that
// survives an interruption.
//
// # Nouns
//
//   - A [Verdict] is one of eight words. PASS and FAIL are about the subject; XFAIL and XPASS are the same beside a
//     baseline of expected failures; SKIP, NOT-APPLICABLE and INCONCLUSIVE say why nothing can be said of the subject;
//     ERROR says that the suite is at fault.
//   - A [Result] is what one spec (or the passive judge) found of one clause: verdict, reason, timings beside their
//     bounds, a timeline, evidence files and the command that runs it again. It is written once and never changed.
//   - A [Run] is a [Header] (subjects, environment, versions, seed, baseline) and its results, as they were recorded.
//   - The journal is a file of JSON lines, one record a line, synced after each: the run as it goes. [Writer] writes it,
//     [ReadJournal] reads it back, also when the writer died in the middle of a line.
//   - An [Outcome] is the judgement of a run: every clause with its verdict and force, counts, problems, the exit code.
//     [Judge] makes it from a run, a catalogue and nothing else, so that a report made later says the same.
//   - A [Baseline] lists expected failures, each with an owner, a reason and a day on which it expires. It is strict: an
//     unexpected pass, an expired entry and an entry that matches nothing all fail the run. An entry may say
//     that a race inside the subject decides; then both ends of it are expected.
//
// # One clause, several results
//
// A clause may be decided by several specs and by the passive judge. The worst verdict wins, in this order, worst first:
//
//	FAIL  XPASS  ERROR  INCONCLUSIVE  XFAIL  PASS  SKIP  NOT-APPLICABLE
//
// A spec that ended INCONCLUSIVE, or could not be prepared, may run again in the same run: what it finds then takes the place
// of the doubt. No other verdict is ever replaced.
//
// A clause that some specs skipped and others passed is a PASS that says how many were skipped ([ClauseOutcome].Counts).
//
// # Exit code
//
// [ExitCodes] is the table; [Outcome].Exit holds the code and the sentence that explains it. A proven violation comes
// before a doubt: 1, then 3, 5, 4, 0.
//
// Sub-packages: report renders an outcome (terminal, JSON, JUnit, KTAP, HTML); specreport is what a running Ginkgo spec
// says, and how its report becomes results.
package verdict
