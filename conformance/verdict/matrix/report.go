// SPDX-License-Identifier: Apache-2.0

package matrix

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"io"

	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// Coverage says which of the clauses that must be kept, and that can be decided, have a mutant.
type Coverage struct {
	Clauses  int      `json:"clauses"`  // of level MUST, to be decided by specs or by the passive judge
	Broken   int      `json:"broken"`   // that a mutant breaks
	Excused  []Group  `json:"excused"`  // that none breaks, by reason
	Missing  []string `json:"missing"`  // that none breaks, without a reason
	Needless []string `json:"needless"` // that are excused by name, although a mutant breaks them
}

// Group is clauses that have no mutant for one reason.
type Group struct {
	Reason  string   `json:"reason"`
	Clauses []string `json:"clauses"`
}

// Without counts the clauses that no mutant breaks.
func (c Coverage) Without() int { return c.Clauses - c.Broken }

// Report is the matrix with what it is held against.
type Report struct {
	Matrix   *Matrix      `json:"matrix"`
	Coverage *Coverage    `json:"coverage,omitempty"` // nil where only some mutants were tried
	Exit     verdict.Exit `json:"exit"`
}

// NewReport judges a matrix. With a coverage, a clause that has neither a mutant nor a reason fails, too, and so does one that
// has both.
func NewReport(m *Matrix, c *Coverage) Report {
	r := Report{m, c, m.Exit()}
	if c != nil && len(c.Missing)+len(c.Needless) > 0 && (r.Exit.Code == verdict.ExitHolds || r.Exit.Code == verdict.ExitFails) {
		r.Exit.Code = verdict.ExitFails
		r.Exit.Sentence += fmt.Sprintf("; %d clauses have neither a mutant nor a reason, %d have both", len(c.Missing), len(c.Needless))
	}
	return r
}

// The JSON form. The version grows when a field changes its meaning or goes away.
const (
	format  = "ibnbd-kill-matrix"
	version = 1
)

//go:embed matrix-v1.schema.json
var schema []byte

// Schema returns the JSON Schema of the JSON form.
func Schema() []byte { return append([]byte(nil), schema...) }

// document is the JSON form: a format and a version in front of the report.
type document struct {
	Format  string `json:"format"`
	Version int    `json:"version"`
	*Report
}

// WriteJSON writes everything as one object that keeps [Schema]. Durations are integers in nanoseconds, times are RFC 3339.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(document{format, version, r}); err != nil {
		return fmt.Errorf("write kill matrix: %w", err)
	}
	return nil
}

// ReadJSON reads what WriteJSON has written.
func ReadJSON(r io.Reader) (*Report, error) {
	var d document
	if err := json.NewDecoder(r).Decode(&d); err != nil {
		return nil, fmt.Errorf("read kill matrix: %w", err)
	}
	if d.Format != format || d.Version != version || d.Report == nil || d.Matrix == nil {
		return nil, fmt.Errorf("read kill matrix: format %q, version %d; this program reads %q, version %d", d.Format, d.Version, format, version)
	}
	return d.Report, nil
}
