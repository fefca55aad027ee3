// SPDX-License-Identifier: Apache-2.0

// Package conformance runs the suites from somebody else's program, such as a vendor's own tests. The command
// ibnbd-conformance does the same for people.
//
// There are three kinds of runs, each a value that says what is judged:
//
//   - [Foreign] judges a target of which only an address, an export, the owner's consent and perhaps a control command are
//     known. It runs in this process, needs no lab and, over the provider soft, neither RDMA nor privileges.
//   - [ForeignInitiator] judges an initiator in the same way, with scripted servers on own addresses and a control command
//     that has it map, read and write.
//   - [LabRun] judges a target against an initiator of this project or of mainline Linux, in virtual machines on a wire that
//     can be broken.
//
// Prepare checks what is said and chooses the specs, for those who want to see the plan; Run does that and carries it out. It
// gives a [verdict.Outcome]: a verdict for each clause of the catalogue, with its reason and its evidence, and an exit
// code. Journal and reports (JSON, JUnit, KTAP, HTML) are in Settings.ReportDir, as of the command. What is tried is chosen by
// a [runner.Selection]: by clauses, areas, level, or the names of specs.
//
// # In a test binary
//
// Package conformancetest makes a subtest of each clause, so that 'go test' shows and counts them:
//
//	func TestTarget(t *testing.T) {
//		outcome, err := conformance.Foreign{
//			Config: foreign.Config{
//				Name: "acme-1", Dialect: RNBD,
//				Targets: []netip.AddrPort{netip.MustParseAddrPort("10.0.0.66:1234")}, Exports: []string{"ram0"},
//			},
//			Settings: conformance.Settings{ReportDir: t.ArtifactDir()},
//		}.Run(t.Context(), t.Output())
//		if err != nil {
//			t.Fatal(err)
//		}
//		conformancetest.Report(t, outcome)
//	}
//
// A [LabRun] runs its specs in processes of their own, which are this program started again. Such a program calls [Worker] before
// anything else, or has this as its TestMain:
//
//	func TestMain(m *testing.M) { conformancetest.Main(m) }
//
// # What it takes over
//
// The specs are written with Ginkgo, which has one tree of specs in each process: a test binary that runs Ginkgo specs of its
// own must not import this package, but leave that to a package beside it. The guests of a lab and the programs of the
// implementation "reference" are built in a checkout of this project, so that [LabRun] wants to run inside one.
package conformance
