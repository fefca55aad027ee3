// SPDX-License-Identifier: Apache-2.0

package clauses_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/ibnbd/ibnbd/conformance/clauses"
)

const withWithdrawals = goodArea + `
withdrawn:
  - {id: TEST-AREA-002, into: [TEST-AREA-001], because: It said the same.}
  - {id: TEST-AREA-003, because: Nobody wants it.}
`

func TestCurrentIDs(t *testing.T) {
	catalogue, err := clauses.New(testPart(withWithdrawals))
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string][]string{
		"TEST-AREA-001": {"TEST-AREA-001"}, "TEST-AREA-002": {"TEST-AREA-001"}, "TEST-AREA-003": nil,
	} {
		if got, known := catalogue.Current(id); !known || !slices.Equal(got, want) {
			t.Errorf("Current(%s) = %v, %v", id, got, known)
		}
	}
	if got, known := catalogue.Current("TEST-AREA-004"); known {
		t.Errorf("Current(TEST-AREA-004) = %v", got)
	}
	if _, ok := catalogue.Get("TEST-AREA-002"); ok || len(catalogue.All()) != 1 {
		t.Error("a withdrawn clause is in the catalogue")
	}
	w, _ := catalogue.Withdrawal("TEST-AREA-002")
	if got := w.String(); got != "TEST-AREA-002 was withdrawn into TEST-AREA-001: It said the same." {
		t.Error(got)
	}
}

func TestWithdrawalsAreChecked(t *testing.T) {
	tests := []struct {
		name, old, new string
		file           string
		clause, field  string
		reason         string
	}{
		{"id in use", "TEST-AREA-003", "TEST-AREA-001", "test-area.yaml", "TEST-AREA-001", "id", "already in"},
		{"other area", "TEST-AREA-003", "TEST-OTHER-003", "test-area.yaml", "TEST-OTHER-003", "id", "not in area"},
		{"no reason", "because: Nobody wants it.", "into: []", "test-area.yaml", "TEST-AREA-003", "because", "full stop"},
		{"into nothing", "into: [TEST-AREA-001]", "into: [TEST-AREA-009]", "all", "TEST-AREA-002", "into", `"TEST-AREA-009" is no clause`},
		{"into a withdrawn one", "into: [TEST-AREA-001]", "into: [TEST-AREA-003]", "all", "TEST-AREA-002", "into", `"TEST-AREA-003" is no clause`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			text := strings.Replace(withWithdrawals, test.old, test.new, 1)
			_, err := clauses.New(testPart(text))
			if !hasProblem(err, test.file, test.clause, test.field, test.reason) {
				t.Errorf("no problem in clause %q, field %q with %q:\n%v", test.clause, test.field, test.reason, err)
			}
		})
	}
}
