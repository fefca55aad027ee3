// SPDX-License-Identifier: Apache-2.0

package conformance_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ibnbd/ibnbd/conformance"
)

// The document in the tree says what the catalogue says.
func TestStandardIsCurrent(t *testing.T) {
	document, err := conformance.Standard()
	if err != nil {
		t.Fatal(err)
	}
	var page strings.Builder
	if err := document.Markdown(&page); err != nil {
		t.Fatal(err)
	}
	there, err := os.ReadFile("../docs/standard.md")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(there), "\n"), strings.Split(page.String(), "\n")); diff != "" {
		t.Fatalf("docs/standard.md is not what the catalogue says; 'make docs' writes it:\n%s", diff)
	}
}

// The text around the clauses names only clauses that there are.
func TestStandardCitesClauses(t *testing.T) {
	document, err := conformance.Standard()
	if err != nil {
		t.Fatal(err)
	}
	cited := regexp.MustCompile(`\b(IBTRS|IBNBD|SRP)-[A-Z]+-[0-9]{3}\b`).FindAllString(document.Reading, -1)
	if len(cited) < 50 {
		t.Fatalf("%d clauses are cited", len(cited))
	}
	for _, id := range cited {
		if _, known := conformance.Catalogue().Get(id); !known {
			t.Errorf("%s is cited, and is no clause", id)
		}
	}
}
