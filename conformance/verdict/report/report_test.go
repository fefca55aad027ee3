// SPDX-License-Identifier: Apache-2.0

package report_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/report"
)

func render(t *testing.T, write func(io.Writer, *verdict.Outcome) error, o *verdict.Outcome) string {
	t.Helper()
	var out bytes.Buffer
	if err := write(&out, o); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func compileSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(report.Schema()))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource("report.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("report.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func validate(t *testing.T, schema *jsonschema.Schema, text string) error {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return schema.Validate(document)
}

func TestJSONKeepsItsSchema(t *testing.T) {
	schema := compileSchema(t)
	for name := range runs() {
		if err := validate(t, schema, render(t, report.JSON, outcome(t, name))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSchemaKnowsEveryField(t *testing.T) {
	schema := compileSchema(t)
	run := runs()["every-verdict"]
	run.Header.Subjects[0].Abilities = map[clauses.Ability]bool{clauses.Sysfs: true}
	run.Header.Selection = "area TEST-WIRE"
	run.Header.Specs = map[string][]string{"TEST-WIRE-001": {"a spec"}}
	run.Header.Baseline[0].Spec, run.Header.Baseline[0].Role = "the target keeps rule 5", clauses.Target
	run.Header.Baseline[0].Packets = "00:01.5 REJ"
	run.Results[0].Role = clauses.Target
	run.Results[0].Timings[0].Clauses = []string{"TEST-WIRE-001"}
	o, err := verdict.Judge(catalogue(t), run)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate(t, schema, render(t, report.JSON, o)); err != nil {
		t.Error(err)
	}
}

func TestSchemaRefusesWhatIsNoReport(t *testing.T) {
	schema := compileSchema(t)
	good := render(t, report.JSON, outcome(t, "fails"))
	for old, bad := range map[string]string{
		`"version": 1`:         `"version": 2`,
		`"verdict": "FAIL"`:    `"verdict": "BAD"`,
		`"interrupted": false`: `"interrupted": "no"`,
		`"seed": 7`:            `"sead": 7`,
	} {
		if !strings.Contains(good, old) {
			t.Fatalf("no %s in the report", old)
		}
		if err := validate(t, schema, strings.Replace(good, old, bad, 1)); err == nil {
			t.Errorf("a report with %s is let in", bad)
		}
	}
}

func TestJSONCanBeReadBack(t *testing.T) {
	want := outcome(t, "every-verdict")
	var got struct {
		Format  string
		Version int
		verdict.Outcome
	}
	if err := json.Unmarshal([]byte(render(t, report.JSON, want)), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(*want, got.Outcome); diff != "" {
		t.Errorf("outcome (-want +got):\n%s", diff)
	}
}

// junitFile is what a build server reads of a JUnit file.
type junitFile struct {
	junitTotals
	Suites []struct {
		junitTotals
		Name  string      `xml:"name,attr"`
		Cases []junitCase `xml:"testcase"`
	} `xml:"testsuite"`
}

type junitTotals struct {
	Tests    int `xml:"tests,attr"`
	Failures int `xml:"failures,attr"`
	Errors   int `xml:"errors,attr"`
	Skipped  int `xml:"skipped,attr"`
}

type junitCase struct {
	Class   string    `xml:"classname,attr"`
	Name    string    `xml:"name,attr"`
	Time    float64   `xml:"time,attr"`
	Failure *struct{} `xml:"failure"`
	Error   *struct{} `xml:"error"`
	Skipped *struct {
		Message string `xml:"message,attr"`
	} `xml:"skipped"`
}

func (n *junitTotals) count(c junitCase) {
	n.Tests++
	if c.Failure != nil {
		n.Failures++
	}
	if c.Error != nil {
		n.Errors++
	}
	if c.Skipped != nil {
		n.Skipped++
	}
}

func TestJUnitCountsItsCases(t *testing.T) {
	for name := range runs() {
		var file junitFile
		if err := xml.Unmarshal([]byte(render(t, report.JUnit, outcome(t, name))), &file); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var all junitTotals
		for _, suite := range file.Suites {
			var own junitTotals
			for _, c := range suite.Cases {
				own.count(c)
				all.count(c)
				if c.Skipped != nil && c.Skipped.Message == "" {
					t.Errorf("%s: %s %s is skipped without a reason", name, c.Class, c.Name)
				}
			}
			if own != suite.junitTotals {
				t.Errorf("%s: suite %s says %+v, has %+v", name, suite.Name, suite.junitTotals, own)
			}
		}
		if all != file.junitTotals {
			t.Errorf("%s: says %+v, has %+v", name, file.junitTotals, all)
		}
	}
}

func TestLine(t *testing.T) {
	const want = "HOLDS: 2 of 11 applicable clauses judged, 1 of them broken as expected (exit code 0)\n"
	if got := render(t, report.Line, outcome(t, "holds")); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestJUnitHasOneCaseForAClause, and times that add up to those of the specs.
func TestJUnitHasOneCaseForAClause(t *testing.T) {
	for name := range runs() {
		o := outcome(t, name)
		var file junitFile
		if err := xml.Unmarshal([]byte(render(t, report.JUnit, o)), &file); err != nil {
			t.Fatal(err)
		}
		cases, seconds := make(map[string]int), 0.0
		for _, suite := range file.Suites {
			for _, c := range suite.Cases {
				cases[c.Name]++
				seconds += c.Time
			}
		}
		specs, want := make(map[string]bool), 0.0
		for _, clause := range o.Clauses() {
			if n := cases[clause.ID]; n > 1 || n == 0 && len(clause.Results) > 0 {
				t.Errorf("%s: %s has %d cases", name, clause.ID, n)
			}
			for _, r := range clause.Results {
				if key := r.Spec + r.Start.String(); !specs[key] {
					specs[key] = true
					want += r.Duration.Seconds()
				}
			}
		}
		if math.Abs(seconds-want) > 0.01 {
			t.Errorf("%s: the cases take %.3f s, the specs %.3f s", name, seconds, want)
		}
	}
}

func TestJUnitIsGreenExactlyWhenTheCommandIs(t *testing.T) {
	for name := range runs() {
		o := outcome(t, name)
		var file junitFile
		if err := xml.Unmarshal([]byte(render(t, report.JUnit, o)), &file); err != nil {
			t.Fatal(err)
		}
		green := file.Failures+file.Errors == 0
		if green != (o.Exit.Code == verdict.ExitHolds) {
			t.Errorf("%s: exit code %d, %d failures, %d errors", name, o.Exit.Code, file.Failures, file.Errors)
		}
	}
}

// external matches what a browser would fetch.
var external = regexp.MustCompile(`(?i)(src=|url\(|@import|<link|https?://)`)

func TestHTMLNeedsNothingElse(t *testing.T) {
	for name := range runs() {
		text := render(t, report.HTML, outcome(t, name))
		if found := external.FindString(text); found != "" {
			t.Errorf("%s: the page has %q", name, found)
		}
	}
}

func TestHTMLEscapesWhatSpecsSay(t *testing.T) {
	text := render(t, report.HTML, outcome(t, "fails"))
	if strings.Contains(text, "<at once>") || !strings.Contains(text, "&lt;at once&gt;") {
		t.Error("a message reaches the page as markup")
	}
}

func TestTerminalKeepsItsWidth(t *testing.T) {
	var out bytes.Buffer
	if err := report.Terminal(&out, outcome(t, "every-verdict"), report.TerminalOptions{Width: 72}); err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(out.String(), "\n") {
		if strings.HasPrefix(line, "    ") && !strings.Contains(line, "see ") && !strings.Contains(line, "again: ") && len([]rune(line)) > 72 {
			t.Errorf("%d columns: %s", len([]rune(line)), line)
		}
	}
}

func TestWriteAll(t *testing.T) {
	dir := t.TempDir()
	if err := report.WriteAll(dir, outcome(t, "fails")); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != len(report.Formats()) {
		t.Errorf("%d files, want %d: %v", len(entries), len(report.Formats()), entries)
	}
	for _, format := range report.Formats() {
		got, err := os.ReadFile(filepath.Join(dir, format.File))
		if err != nil {
			t.Error(err)
			continue
		}
		compare(t, filepath.Join("testdata", "fails", format.File), got)
	}
}

func TestWriteAllIntoNowhere(t *testing.T) {
	err := report.WriteAll(filepath.Join(t.TempDir(), "no"), outcome(t, "fails"))
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}

// full is a device on which nothing fits.
type full struct{}

var errFull = errors.New("no space left")

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestReportsSayWhenTheyCannotBeWritten(t *testing.T) {
	for _, format := range report.Formats() {
		if err := format.Write(full{}, outcome(t, "every-verdict")); !errors.Is(err, errFull) {
			t.Errorf("%s: %v", format.Name, err)
		}
	}
}
