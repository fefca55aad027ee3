// SPDX-License-Identifier: Apache-2.0

package report_test

import (
	"bytes"
	"html"
	"io"
	"path/filepath"
	"testing"
	"time"

	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/matrix"
	"github.com/ibnbd/ibnbd/conformance/verdict/report"
)

// kills is a matrix with every status.
func kills() *matrix.Report {
	row := func(name string, kind matrix.Kind, status matrix.Status, message string, clauses ...string) matrix.Row {
		r := matrix.Row{Mutant: name, Kind: kind, What: "does <this>", Breaks: clauses, Status: status, Message: message, Duration: 21 * time.Millisecond}
		if status == matrix.Killed {
			for _, id := range clauses {
				r.Kills = append(r.Kills, matrix.Detection{Clause: id, Spec: "a target lives on", Saw: id + ": \"odd\" & late"})
			}
		}
		return r
	}
	r := matrix.NewReport(&matrix.Matrix{Start: noon, Duration: 93 * time.Second, Rows: []matrix.Row{
		row("any-magic", matrix.Server, matrix.Killed, "", "TEST-WIRE-001"),
		row("two-deeds", matrix.Wire, matrix.Killed, "", "TEST-WIRE-002 target", "TEST-WIRE-003"),
		row("no-harm", matrix.Client, matrix.Survived, "no spec has found it", "TEST-WIRE-004"),
		row("wrong-trail", matrix.Liar, matrix.Mistaken, "TEST-WIRE-005 was not found broken; instead TEST-WIRE-006: odd", "TEST-WIRE-005"),
		row("no-bed", matrix.Server, matrix.Unsound, "a target lives on: the control fails: no memory", "TEST-WIRE-007"),
	}}, &matrix.Coverage{
		Clauses: 12, Broken: 7, Excused: []matrix.Group{{Reason: "it takes a kernel", Clauses: []string{"TEST-DISK-001", "TEST-DISK-002"}}},
		Missing: []string{"TEST-WIRE-008"}, Needless: []string{"TEST-WIRE-001"},
	})
	return &r
}

func TestMatrixGolden(t *testing.T) {
	for file, write := range map[string]func(io.Writer) error{
		"report.txt":  func(w io.Writer) error { return report.MatrixText(w, kills(), 120) },
		"report.html": func(w io.Writer) error { return report.MatrixHTML(w, kills()) },
		"report.json": kills().WriteJSON,
		"run.html":    func(w io.Writer) error { return report.HTMLWithMatrix(w, outcome(t, "holds"), kills()) },
	} {
		t.Run(file, func(t *testing.T) {
			var out bytes.Buffer
			if err := write(&out); err != nil {
				t.Fatal(err)
			}
			compare(t, filepath.Join("testdata", "matrix", file), out.Bytes())
		})
	}
}

// TestFirstSheet looks for what those who sign must see before the first page ends.
func TestFirstSheet(t *testing.T) {
	page := render(t, report.HTML, outcome(t, "every-verdict"))
	begin, end := bytes.Index([]byte(page), []byte(`<section class="sheet">`)), bytes.Index([]byte(page), []byte("</section>"))
	if begin < 0 || end < begin {
		t.Fatal("there is no first sheet")
	}
	sheet := []byte(page[begin:end])
	for _, want := range []string{
		"FAILS", "mainline-6.12", "rnbd-server 6.12.57", "version v0.1.0", "seed 7", "Left out, and why", verdict.NoHook.Meaning(),
		verdict.OtherDialect.Meaning(), "TEST-WIRE 1",
	} {
		if !bytes.Contains(sheet, []byte(html.EscapeString(want))) {
			t.Errorf("the first sheet does not say %q", want)
		}
	}
}

func TestWriteMatrix(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	if err := report.WriteMatrix(dir, kills()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"report.txt", "report.json", "report.html"} {
		if matches, err := filepath.Glob(filepath.Join(dir, name)); err != nil || len(matches) != 1 {
			t.Errorf("%s is not there: %v", name, err)
		}
	}
	if err := report.WriteMatrix("/proc/none", kills()); err == nil {
		t.Error("a directory that cannot be made is no error")
	}
}
