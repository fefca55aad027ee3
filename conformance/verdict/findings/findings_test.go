// SPDX-License-Identifier: Apache-2.0

package findings_test

import (
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ibnbd/ibnbd/conformance/clauses/clausestest"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/findings"
)

var update = flag.Bool("update", false, "write the document instead of comparing with it")

// parts are the baselines that come with the program.
func parts(t *testing.T) []findings.Part {
	t.Helper()
	var all []findings.Part
	for _, p := range []findings.Part{{Protocol: "ibnbd", Title: "IBNBD"}, {Protocol: "srp", Title: "SRP"}} {
		var err error
		if p.Baseline, err = verdict.LoadBaseline("../../"+p.Protocol+"/baselines/mainline.yaml", clausestest.Catalogue()); err != nil {
			t.Fatal(err)
		}
		p.Usual = "mainline"
		all = append(all, p)
	}
	return all
}

// The document says what the baselines say.
func TestDocumentIsCurrent(t *testing.T) {
	const document = "../../../docs/findings.md"
	var page strings.Builder
	if err := findings.Markdown(&page, clausestest.Catalogue(), parts(t)...); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(document, []byte(page.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	there, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(there), page.String()); diff != "" {
		t.Fatalf("docs/findings.md is not what the baseline says; 'go test ./conformance/verdict/findings -update' writes it:\n%s", diff)
	}
}

// timelineLine is a line of a timeline, as 'audit --timeline' and the evidence of a spec have it.
var timelineLine = regexp.MustCompile(`^\d\d:\d\d:\d\d\.\d{6}  (session \S+, path|SRP) \S+ to \S+[,:] .*  \[rail\d+#\d+( rail\d+#\d+)*\]$`)

// What an entry shows are lines of a timeline, in order, and all of them are in the document.
func TestPacketsAreLinesOfTimelines(t *testing.T) {
	document, err := os.ReadFile("../../../docs/findings.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := 0
	var entries []verdict.ExpectedFailure
	for _, p := range parts(t) {
		entries = append(entries, p.Baseline.Expected...)
	}
	for _, entry := range entries {
		for line := range strings.Lines(entry.Packets) {
			shown++
			if line = strings.TrimSuffix(line, "\n"); !timelineLine.MatchString(line) {
				t.Errorf("%s: no line of a timeline: %q", entry.Clause, line)
			}
			if !strings.Contains(string(document), line) {
				t.Errorf("%s: not in the document: %q", entry.Clause, line)
			}
		}
	}
	if shown == 0 {
		t.Error("no entry shows packets")
	}
}

// A clause that nobody knows is not rendered as if it were one.
func TestUnknownClause(t *testing.T) {
	catalogue := clausestest.Catalogue()
	bad := &verdict.Baseline{Expected: []verdict.ExpectedFailure{{Clause: "IBNBD-IO-999", Subject: "mainline-*"}}}
	if err := findings.Markdown(&strings.Builder{}, catalogue, findings.Part{Baseline: bad, Usual: "mainline"}); err == nil || !strings.Contains(err.Error(), "IBNBD-IO-999") {
		t.Fatalf("error %v: must name the clause", err)
	}
}
