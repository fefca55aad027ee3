// SPDX-License-Identifier: Apache-2.0

package mutant

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/kit"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/matrix"
	"github.com/ibnbd/ibnbd/vm/agent"
)

// catalogue has so many clauses in one area, TEST-WIRE-001 and so on.
func catalogue(t *testing.T, count int) *clauses.Catalogue {
	t.Helper()
	var file strings.Builder
	file.WriteString("area: TEST-WIRE\ntitle: A test\ndialects: [ibnbd]\nclauses:\n")
	for i := range count {
		fmt.Fprintf(&file, "  - id: TEST-WIRE-%03d\n    level: MUST\n    judges: target\n    text: It works.\n    source: [seed]\n    decided: {by: [active]}\n", i+1)
	}
	c, err := clauses.New(clauses.Part{
		Dialects: []clauses.Dialect{"ibnbd"},
		Files:    fstest.MapFS{"test-wire.yaml": {Data: []byte(file.String())}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func breaks(name string, ids ...string) Mutant { return Mutant{Name: name, Breaks: ids} }

// TestCoverage has a clause of each kind: with a mutant, with one that was not tried, with none, with an excuse, and with both.
func TestCoverage(t *testing.T) {
	const broken, inLab, missing, excused, both = "TEST-WIRE-001", "TEST-WIRE-002", "TEST-WIRE-003", "TEST-WIRE-004", "TEST-WIRE-005"
	s := Set{
		InProcess: []Mutant{breaks("here", broken, both+" target")}, InLab: []Mutant{breaks("there", inLab)},
		Excuses: []Excuse{{"nobody has tried", []string{excused, both}}},
	}
	c := s.Coverage(catalogue(t, 5), s.InProcess)
	if c.Clauses != 5 || c.Broken != 2 || !slices.Equal(c.Missing, []string{missing}) || !slices.Equal(c.Needless, []string{both}) {
		t.Errorf("%+v", c)
	}
	if len(c.Excused) != 2 || c.Excused[0].Reason != "nobody has tried" || !slices.Equal(c.Excused[1].Clauses, []string{inLab}) {
		t.Errorf("excused %+v", c.Excused)
	}
	dead := &matrix.Matrix{Rows: []matrix.Row{{Status: matrix.Killed}}}
	if r := matrix.NewReport(dead, &c); r.Exit.Code != verdict.ExitFails {
		t.Errorf("exit %+v", r.Exit)
	}
	if c = s.Coverage(catalogue(t, 2), s.All()); c.Broken != 2 || len(c.Excused) > 0 {
		t.Errorf("with the lab: %+v", c)
	}
}

// TestExcuses: the excuse of a clause comes before that of its area, and an area may be excused although some of it has mutants.
func TestExcuses(t *testing.T) {
	s := Set{
		InProcess: []Mutant{breaks("here", "TEST-WIRE-001")},
		Excuses:   []Excuse{{"the area", []string{"TEST-WIRE"}}, {"the clause", []string{"TEST-WIRE-002"}}},
	}
	for id, want := range map[string]string{"TEST-WIRE-001": "the area", "TEST-WIRE-002": "the clause", "TEST-OTHER-001": ""} {
		if got := s.ExcuseFor(id); got != want {
			t.Errorf("%s: %q, want %q", id, got, want)
		}
	}
	if c := s.Coverage(catalogue(t, 2), s.All()); len(c.Needless) > 0 {
		t.Errorf("needless %v", c.Needless)
	}
}

// TestSelect chooses by clause and by area.
func TestSelect(t *testing.T) {
	all := []Mutant{breaks("one", "TEST-WIRE-001"), breaks("two", "TEST-WIRE-002 target"), breaks("other", "TEST-OTHER-001")}
	for _, c := range []struct {
		clauses, areas []string
		want           string
	}{
		{nil, nil, "one two other"},
		{[]string{"TEST-WIRE-002"}, nil, "two"},
		{nil, []string{"TEST-WIRE"}, "one two"},
		{[]string{"TEST-WIRE-001"}, []string{"TEST-OTHER"}, "one other"},
		{[]string{"TEST-WIRE-003"}, nil, ""},
	} {
		var got []string
		for _, m := range Select(all, c.clauses, c.areas) {
			got = append(got, m.Name)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%v %v: %v, want %s", c.clauses, c.areas, got, c.want)
		}
	}
}

// TestJoin puts the sets of two protocols together.
func TestJoin(t *testing.T) {
	files := func() agent.FileHop { return nil }
	inLab := Mutant{Name: "there", Breaks: []string{"TEST-WIRE-001"}, Lab: &LabTrial{Alteration: kit.Alteration{Target: files}}}
	s := Join(Set{InProcess: []Mutant{breaks("here", "TEST-WIRE-001")}, InLab: []Mutant{inLab}},
		Set{InProcess: []Mutant{breaks("elsewhere", "TEST-OTHER-001")}, Excuses: []Excuse{{"why", []string{"TEST-OTHER-002"}}}})
	if names := s.ByClause()["TEST-WIRE-001"]; !slices.Equal(names, []string{"here", "there"}) || len(s.All()) != 3 {
		t.Errorf("%v break TEST-WIRE-001, %d in all", names, len(s.All()))
	}
	if a, known := s.Alteration("there"); !known || a.Target == nil {
		t.Errorf("%+v, %t", a, known)
	}
	if _, known := s.Alteration("here"); known {
		t.Error("a mutant of this process alters a pair in guests")
	}
	if s.ExcuseFor("TEST-OTHER-002") != "why" {
		t.Error("the excuse is lost")
	}
}
