// SPDX-License-Identifier: Apache-2.0

package verdict_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// amended is a catalogue of two clauses, into which a third was withdrawn, and a fourth into nothing.
func amended(t *testing.T) *clauses.Catalogue {
	t.Helper()
	const clause = "  - {id: TEST-AREA-00%, level: MUST, judges: target, text: The target MUST work., source: [seed], decided: {by: [active]}}\n"
	area := "area: TEST-AREA\ntitle: A test\ndialects: [rnbd]\nclauses:\n" +
		strings.ReplaceAll(clause, "%", "1") + strings.ReplaceAll(clause, "%", "2") +
		"withdrawn:\n  - {id: TEST-AREA-003, into: [TEST-AREA-001, TEST-AREA-002], because: It was two.}\n" +
		"  - {id: TEST-AREA-004, because: It was wrong.}\n"
	catalogue, err := clauses.New(clauses.Part{Dialects: []clauses.Dialect{"ibnbd", "rnbd"}, Files: fstest.MapFS{"test-area.yaml": {Data: []byte(area)}}})
	if err != nil {
		t.Fatal(err)
	}
	return catalogue
}

// A run that was recorded with ids that are withdrawn by now is judged by the clauses that they went into.
func TestOldRunIsRead(t *testing.T) {
	header := mainline()
	header.Specs = map[string][]string{"TEST-AREA-003": {"some spec"}, "TEST-AREA-004": {"another"}}
	header.Baseline = []verdict.ExpectedFailure{{Clause: "TEST-AREA-003", Subject: "mainline-*", Owner: "o", Reason: "r", Expires: "2040-01-01"}}
	run := finished(header, result("TEST-AREA-003", verdict.Fail), result("TEST-AREA-004", verdict.Fail))
	outcome, err := verdict.Judge(amended(t), run)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"TEST-AREA-001", "TEST-AREA-002"} {
		if c := outcomeOf(t, outcome, id); c.Verdict != verdict.ExpectedFail || len(c.Results) != 1 {
			t.Errorf("%s is %s with %d results", id, c.Verdict, len(c.Results))
		}
	}
	if all := outcome.Clauses(); len(all) != 2 {
		t.Errorf("there are %d clauses", len(all))
	}
	if run.Results[0].Clause != "TEST-AREA-003" {
		t.Error("judging changed the run")
	}
}

func TestOldBaselineIsRead(t *testing.T) {
	const entry = "  - {clause: TEST-AREA-00%, subject: mainline-*, owner: o, reason: r, expires: 2040-01-01}\n"
	file := "expected:\n" + strings.ReplaceAll(entry, "%", "3") + strings.ReplaceAll(entry, "%", "4")
	baseline, err := verdict.ReadBaseline(strings.NewReader(file), amended(t))
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, e := range baseline.Expected {
		ids = append(ids, e.Clause)
	}
	if got := strings.Join(ids, " "); got != "TEST-AREA-001 TEST-AREA-002" {
		t.Errorf("entries of %s", got)
	}
}

// What is recorded today has the ids of today.
func TestWriterRefusesWithdrawnIDs(t *testing.T) {
	if err := result("TEST-AREA-003", verdict.Pass).Validate(amended(t)); err == nil {
		t.Error("a result of a withdrawn clause can be recorded")
	}
}
