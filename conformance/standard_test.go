// SPDX-License-Identifier: Apache-2.0

package conformance_test

import (
	"os"
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
