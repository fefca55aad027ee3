// SPDX-License-Identifier: Apache-2.0

package matrix_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/matrix"
)

func rows(statuses ...matrix.Status) *matrix.Matrix {
	m := &matrix.Matrix{Start: time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC), Duration: time.Second}
	for _, status := range statuses {
		m.Rows = append(m.Rows, matrix.Row{
			Mutant: "m", Breaks: []string{"TEST-WIRE-001 target"}, Status: status, Kills: []matrix.Detection{}, Others: []matrix.Detection{},
		})
	}
	return m
}

func TestExit(t *testing.T) {
	whole, lacking, both := &matrix.Coverage{}, &matrix.Coverage{Missing: []string{"TEST-WIRE-002"}}, &matrix.Coverage{Needless: []string{"TEST-WIRE-001"}}
	for _, c := range []struct {
		name     string
		matrix   *matrix.Matrix
		coverage *matrix.Coverage
		want     verdict.ExitCode
		says     string
	}{
		{"all dead", rows(matrix.Killed, matrix.Killed), whole, verdict.ExitHolds, "2 of 2 mutants are dead, by 1 clauses"},
		{"all dead that were chosen", rows(matrix.Killed), nil, verdict.ExitHolds, "1 of 1"},
		{"a survivor", rows(matrix.Killed, matrix.Survived), whole, verdict.ExitFails, "1 survived, 0 were caught for the wrong reason"},
		{"a wrong reason", rows(matrix.Killed, matrix.Mistaken), whole, verdict.ExitFails, "0 survived, 1 were caught for the wrong reason"},
		{"a survivor and one that was not tried", rows(matrix.Unsound, matrix.Survived), whole, verdict.ExitFails, "1 survived"},
		{"one that was not tried", rows(matrix.Killed, matrix.Unsound), whole, verdict.ExitEnvironment, "1 could not be tried"},
		{"nothing was tried", rows(), nil, verdict.ExitNothingRan, "no mutant was tried"},
		{"a clause without mutant and reason", rows(matrix.Killed), lacking, verdict.ExitFails, "1 clauses have neither a mutant nor a reason"},
		{"a clause with both", rows(matrix.Killed), both, verdict.ExitFails, "1 have both"},
		{"nothing was tried, and a clause lacks a mutant", rows(), lacking, verdict.ExitNothingRan, "no mutant was tried"},
	} {
		exit := matrix.NewReport(c.matrix, c.coverage).Exit
		if exit.Code != c.want || !strings.Contains(exit.Sentence, c.says) {
			t.Errorf("%s: %+v; want %d, %q", c.name, exit, c.want, c.says)
		}
	}
}

// validate holds a text against the schema.
func validate(t *testing.T, text string) error {
	t.Helper()
	schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(matrix.Schema()))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource("matrix.json", schema); err != nil {
		t.Fatal(err)
	}
	compiled, err := compiler.Compile("matrix.json")
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return compiled.Validate(document)
}

func TestSchema(t *testing.T) {
	whole := rows(matrix.Killed, matrix.Mistaken)
	for i := range whole.Rows {
		whole.Rows[i].Kind, whole.Rows[i].What = matrix.Liar, "lies"
		whole.Rows[i].Others = []matrix.Detection{{Clause: "no clause", Spec: "a spec", Saw: "nothing"}}
	}
	r := matrix.NewReport(whole, &matrix.Coverage{Excused: []matrix.Group{{Reason: "why", Clauses: []string{"TEST-WIRE-002"}}}})
	var text bytes.Buffer
	if err := r.WriteJSON(&text); err != nil {
		t.Fatal(err)
	}
	good := text.String()
	if err := validate(t, good); err != nil {
		t.Error(err)
	}
	for old, bad := range map[string]string{
		`"version": 1`: `"version": 2`, `"killed"`: `"dead"`, `"liar"`: `"fool"`, `"TEST-WIRE-001 target"`: `"TEST-WIRE-001 server"`,
		`"message"`: `"massage"`, `"no clause"`: `"none"`,
	} {
		if !strings.Contains(good, old) {
			t.Fatalf("no %s in the matrix", old)
		}
		if err := validate(t, strings.Replace(good, old, bad, 1)); err == nil {
			t.Errorf("a matrix with %s is let in", bad)
		}
	}
}

func TestJSON(t *testing.T) {
	want := matrix.NewReport(rows(matrix.Killed), &matrix.Coverage{
		Clauses: 2, Broken: 1, Excused: []matrix.Group{{Reason: "why", Clauses: []string{"TEST-WIRE-002"}}},
	})
	var text bytes.Buffer
	if err := want.WriteJSON(&text); err != nil {
		t.Fatal(err)
	}
	good := text.String()
	got, err := matrix.ReadJSON(&text)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&want, got); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
	for name, bad := range map[string]string{
		"nothing":         "",
		"another format":  strings.Replace(good, "ibnbd-kill-matrix", "ibnbd-conformance-report", 1),
		"another version": strings.Replace(good, `"version": 1`, `"version": 2`, 1),
		"no matrix":       `{"format": "ibnbd-kill-matrix", "version": 1}`,
		"a null matrix":   `{"format": "ibnbd-kill-matrix", "version": 1, "matrix": null, "exit": {}}`,
	} {
		if r, err := matrix.ReadJSON(strings.NewReader(bad)); err == nil || !strings.Contains(err.Error(), "read kill matrix") {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}
