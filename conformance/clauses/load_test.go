// SPDX-License-Identifier: Apache-2.0

package clauses_test

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/ibnbd/ibnbd/conformance/clauses"
)

const goodArea = `
area: TEST-AREA
title: A test
dialects: [ibnbd, rnbd]
clauses:
  - id: TEST-AREA-001
    level: MUST
    judges: target
    text: It works.
    source: [seed]
    decided: {by: [active]}
`

// testPart is a protocol with one area.
func testPart(text string) clauses.Part {
	return clauses.Part{Dialects: []clauses.Dialect{"ibnbd", "rnbd"}, Files: fstest.MapFS{"test-area.yaml": {Data: []byte(text)}}}
}

// area is the file of an area with one clause.
func area(name, dialect string) *fstest.MapFile {
	return &fstest.MapFile{Data: []byte(strings.NewReplacer("TEST-AREA", name, "[ibnbd, rnbd]", "["+dialect+"]").Replace(goodArea))}
}

// Areas come in the order of the parts and of each part's list; those that it does not name follow by name.
func TestNewOrdersAreas(t *testing.T) {
	catalogue, err := clauses.New(
		clauses.Part{Dialects: []clauses.Dialect{"ibnbd"}, Areas: []string{"B-TWO", "B-ONE"}, Files: fstest.MapFS{
			"b-one.yaml": area("B-ONE", "ibnbd"), "b-two.yaml": area("B-TWO", "ibnbd"), "b-four.yaml": area("B-FOUR", "ibnbd"),
			"b-zero.yaml": area("B-ZERO", "ibnbd"),
		}},
		clauses.Part{Dialects: []clauses.Dialect{"srp"}, Files: fstest.MapFS{"a-one.yaml": area("A-ONE", "srp")}},
	)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"B-TWO", "B-ONE", "B-FOUR", "B-ZERO", "A-ONE"}
	if diff := cmp.Diff(want, catalogue.AreaNames()); diff != "" {
		t.Errorf("areas (-want +got):\n%s", diff)
	}
}

// A dialect is known only to the protocol that has it, an id to all.
func TestNewHoldsPartsApart(t *testing.T) {
	first := clauses.Part{Dialects: []clauses.Dialect{"ibnbd"}, Files: fstest.MapFS{"test-area.yaml": area("TEST-AREA", "ibnbd")}}
	other := clauses.Part{Dialects: []clauses.Dialect{"srp"}, Files: fstest.MapFS{"other/test-area.yaml": area("TEST-AREA", "ibnbd")}}
	_, err := clauses.New(first, other)
	if !hasProblem(err, "other/test-area.yaml", "", "dialects", `"ibnbd" is not one of ["srp"]`) ||
		!hasProblem(err, "other/test-area.yaml", "", "area", `already in test-area.yaml`) ||
		!hasProblem(err, "other/test-area.yaml", "TEST-AREA-001", "id", `already in test-area.yaml`) {
		t.Errorf("not all problems in:\n%v", err)
	}
}

func TestNewFillsDefaults(t *testing.T) {
	catalogue, err := clauses.New(testPart(goodArea))
	if err != nil {
		t.Fatal(err)
	}
	c, _ := catalogue.Get("TEST-AREA-001")
	if c.Scope != clauses.ProtocolScope || !c.HoldsFor("rnbd") || c.AreaTitle != "A test" {
		t.Errorf("defaults not filled: %+v", c)
	}
}

func TestNewNamesFileClauseAndField(t *testing.T) {
	second := strings.SplitAfter(goodArea, "clauses:\n")[1]
	tests := []struct {
		name, old, new string
		clause, field  string
		reason         string
	}{
		{"unknown key", "    level: MUST", "    levle: MUST", "", "", "field levle not found"},
		{"level", "MUST", "SHALL", "TEST-AREA-001", "level", `"SHALL" is not one of ["MUST" "SHOULD" "MAY"]`},
		{"role", "judges: target", "judges: server", "TEST-AREA-001", "judges", `"server"`},
		{"id form", "TEST-AREA-001", "test-1", "test-1", "id", "three digits"},
		{"id of another area", "TEST-AREA-001", "TEST-OTHER-001", "TEST-OTHER-001", "id", `not in area "TEST-AREA"`},
		{"text", "It works.", "It works", "TEST-AREA-001", "text", "full stop"},
		{"no source", "[seed]", "[]", "TEST-AREA-001", "source", "empty"},
		{"unknown source", "[seed]", "[rumour]", "TEST-AREA-001", "source", `"rumour"`},
		{"source twice", "[seed]", "[seed, seed]", "TEST-AREA-001", "source", "twice"},
		{"scope missing", "[seed]", "[project]", "TEST-AREA-001", "scope", `"protocol" does not fit`},
		{"scope wrong", "    source:", "    scope: project\n    source:", "TEST-AREA-001", "scope", `"project" does not fit`},
		{"dialect", "[ibnbd, rnbd]", "[iscsi]", "TEST-AREA-001", "dialects", `"iscsi"`},
		{"no dialect", "[ibnbd, rnbd]", "[]", "TEST-AREA-001", "dialects", "empty"},
		{"method", "[active]", "[guess]", "TEST-AREA-001", "decided.by", `"guess"`},
		{"undecided", "{by: [active]}", "{}", "TEST-AREA-001", "decided.undecidable", "needs the reason"},
		{"decided and not", "{by: [active]}", "{by: [active], undecidable: no.}", "TEST-AREA-001", "decided.undecidable", "is set"},
		{"ability", "    source:", "    requires: [magic]\n    source:", "TEST-AREA-001", "requires", `"magic"`},
		{"ambiguity", "    source:", "    ambiguity: {question: Why}\n    source:", "TEST-AREA-001", "ambiguity.accepted", "empty"},
		{"fact", "    source:", "    measured: [{subject: Linux}]\n    source:", "TEST-AREA-001", "measured", "'saw'"},
		{"duplicate", second, second + second, "TEST-AREA-001", "id", "already in"},
		{"order", second, strings.ReplaceAll(second, "001", "002") + second, "TEST-AREA-001", "id", `after "TEST-AREA-002"`},
		{"two documents", second, second + "---\narea: X\n", "", "", "more than one"},
		{"not YAML", second, "{", "", "", "yaml"},
		{"no clauses", second, "", "", "clauses", "empty"},
		{"area", "area: TEST-AREA", "area: OTHER-AREA", "", "area", "name of the file"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			text := strings.ReplaceAll(goodArea, test.old, test.new)
			_, err := clauses.New(testPart(text))
			if !hasProblem(err, "test-area.yaml", test.clause, test.field, test.reason) {
				t.Errorf("no problem in clause %q, field %q with %q:\n%v", test.clause, test.field, test.reason, err)
			}
		})
	}
}

func TestNewRefusesNothing(t *testing.T) {
	if _, err := clauses.New(clauses.Part{Files: fstest.MapFS{}}); err == nil {
		t.Error("an empty file system gave a catalogue")
	}
}

func TestNewReportsAllProblemsAtOnce(t *testing.T) {
	text := strings.NewReplacer("MUST", "SHALL", "[seed]", "[rumour]").Replace(goodArea)
	_, err := clauses.New(testPart(text))
	if !hasProblem(err, "test-area.yaml", "TEST-AREA-001", "level", "SHALL") ||
		!hasProblem(err, "test-area.yaml", "TEST-AREA-001", "source", "rumour") {
		t.Errorf("not all problems in:\n%v", err)
	}
}

func hasProblem(err error, file, clause, field, reason string) bool {
	var problem *clauses.Problem
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, one := range joined.Unwrap() {
			if hasProblem(one, file, clause, field, reason) {
				return true
			}
		}
		return false
	}
	return errors.As(err, &problem) && problem.File == file && problem.Clause == clause && problem.Field == field &&
		strings.Contains(problem.Error(), reason)
}
