// SPDX-License-Identifier: Apache-2.0

package claim_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/clauses/claim"
	"github.com/ibnbd/ibnbd/conformance/clauses/clausestest"
)

func spec(name string, labels ...string) types.SpecReport {
	return types.SpecReport{
		LeafNodeType:     types.NodeTypeIt,
		LeafNodeText:     name,
		LeafNodeLabels:   labels,
		LeafNodeLocation: types.CodeLocation{FileName: "some_test.go", LineNumber: 7},
	}
}

func TestCheck(t *testing.T) {
	catalogue := clausestest.Catalogue()
	tests := []struct {
		name   string
		specs  []types.SpecReport
		reason string // "" for a good suite
	}{
		{"good", []types.SpecReport{spec("a", "clause:IBTRS-CONN-021", "slow")}, ""},
		{"blank after the colon", []types.SpecReport{spec("a", "clause: IBTRS-CONN-021")}, ""},
		{"no claim", []types.SpecReport{spec("a", "slow")}, "claims no clause"},
		{"unknown", []types.SpecReport{spec("a", "clause:IBTRS-CONN-999")}, `"IBTRS-CONN-999", which is not in the catalogue`},
		{"undecidable", []types.SpecReport{spec("a", "clause:IBTRS-IO-016")}, "cannot be decided"},
		{"same name", []types.SpecReport{spec("a", "clause:IBTRS-CONN-021"), spec("a", "clause:IBTRS-CONN-021")}, "same name"},
		{"other clause, same name", []types.SpecReport{spec("a", "clause:IBTRS-CONN-021"), spec("a", "clause:IBTRS-CONN-022")}, ""},
		{"suite nodes claim nothing", []types.SpecReport{{LeafNodeType: types.NodeTypeBeforeSuite}}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			claims, err := claim.Check(catalogue, types.Report{SpecReports: test.specs})
			if test.reason == "" {
				if err != nil || claims == nil {
					t.Fatalf("refused: %v", err)
				}
				return
			}
			var refusal *claim.Error
			if !errors.As(err, &refusal) || len(refusal.Problems) != 1 {
				t.Fatalf("error %v, want one problem", err)
			}
			for _, part := range []string{test.reason, "some_test.go:7", `"a"`} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q is not in: %v", part, err)
				}
			}
		})
	}
}

func TestCoverage(t *testing.T) {
	catalogue := clausestest.Catalogue()
	claims, err := claim.Check(catalogue, types.Report{SpecReports: []types.SpecReport{
		spec("beats", claim.Clauses("IBTRS-HB-001", "IBTRS-HB-002")...),
		spec("answers", claim.Clauses("IBTRS-HB-002")...),
	}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"beats", "answers"}, claims.SpecsOf("IBTRS-HB-002")); diff != "" {
		t.Errorf("specs of IBTRS-HB-002 (-want +got):\n%s", diff)
	}
	if claims.Specs() != 2 {
		t.Errorf("specs = %d, want 2", claims.Specs())
	}
	uncovered := claims.Uncovered(clauses.Filter{Areas: []string{"IBTRS-HB"}})
	if len(uncovered) != 10 || uncovered[0].ID != "IBTRS-HB-003" {
		t.Errorf("%d uncovered, first %s; want 10 from IBTRS-HB-003", len(uncovered), uncovered[0].ID)
	}
}

// The label must be one that Ginkgo takes and that its filters select.
var _ = ginkgo.Describe("a claiming container", claim.Clauses("IBTRS-CONN-021"), func() {
	ginkgo.It("passes its claim on to its specs", claim.Clauses("IBTRS-CONN-022"), func() {})
})

func TestLabelsReachGinkgo(t *testing.T) {
	report := ginkgo.PreviewSpecs("preview")
	if len(report.SpecReports) != 1 {
		t.Fatalf("%d specs, want 1", len(report.SpecReports))
	}
	labels := report.SpecReports[0].Labels()
	want := []string{"IBTRS-CONN-021", "IBTRS-CONN-022"}
	if diff := cmp.Diff(want, claim.IDs(labels)); diff != "" {
		t.Errorf("claims (-want +got):\n%s", diff)
	}
	for filter, selects := range map[string]bool{
		"clause: containsAny IBTRS-CONN-021": true,
		"clause: containsAny IBTRS-CONN-023": false,
		"clause:IBTRS-CONN-022":              true,
	} {
		match, err := types.ParseLabelFilter(filter)
		if err != nil {
			t.Errorf("filter %q: %v", filter, err)
			continue
		}
		if match(labels) != selects {
			t.Errorf("filter %q selects = %v, want %v", filter, !selects, selects)
		}
	}
}
