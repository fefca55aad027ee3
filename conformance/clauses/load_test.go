// SPDX-License-Identifier: Apache-2.0

package clauses_test

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"

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

func TestLoadFSFillsDefaults(t *testing.T) {
	catalogue, err := clauses.LoadFS(fstest.MapFS{"test-area.yaml": {Data: []byte(goodArea)}})
	if err != nil {
		t.Fatal(err)
	}
	c, _ := catalogue.Get("TEST-AREA-001")
	if c.Scope != clauses.ProtocolScope || !c.HoldsFor(clauses.RNBD) || c.AreaTitle != "A test" {
		t.Errorf("defaults not filled: %+v", c)
	}
}

func TestLoadFSNamesFileClauseAndField(t *testing.T) {
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
		{"fact", "    source:", "    measured: [{on: Linux}]\n    source:", "TEST-AREA-001", "measured", "'saw'"},
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
			_, err := clauses.LoadFS(fstest.MapFS{"test-area.yaml": {Data: []byte(text)}})
			if !hasProblem(err, "test-area.yaml", test.clause, test.field, test.reason) {
				t.Errorf("no problem in clause %q, field %q with %q:\n%v", test.clause, test.field, test.reason, err)
			}
		})
	}
}

func TestLoadFSRefusesNothing(t *testing.T) {
	if _, err := clauses.LoadFS(fstest.MapFS{}); err == nil {
		t.Error("an empty file system gave a catalogue")
	}
}

func TestLoadFSReportsAllProblemsAtOnce(t *testing.T) {
	text := strings.NewReplacer("MUST", "SHALL", "[seed]", "[rumour]").Replace(goodArea)
	_, err := clauses.LoadFS(fstest.MapFS{"test-area.yaml": {Data: []byte(text)}})
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
