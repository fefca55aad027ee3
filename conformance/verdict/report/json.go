// SPDX-License-Identifier: Apache-2.0

package report

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"io"

	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// JSONVersion is the version of the JSON report. It grows when a field changes its meaning or goes away; new optional
// fields leave it alone.
const JSONVersion = 1

// format tells the JSON report from others.
const format = "ibnbd-conformance-report"

//go:embed report-v1.schema.json
var schema []byte

// Schema returns the JSON Schema of the JSON report.
func Schema() []byte { return append([]byte(nil), schema...) }

// document is the JSON report: a version in front of the outcome.
type document struct {
	Format  string `json:"format"`
	Version int    `json:"version"`
	*verdict.Outcome
}

// ReadJSON reads what JSON has written.
func ReadJSON(r io.Reader) (*verdict.Outcome, error) {
	var d document
	if err := json.NewDecoder(r).Decode(&d); err != nil {
		return nil, fmt.Errorf("read JSON report: %w", err)
	}
	if d.Format != format || d.Version != JSONVersion || d.Outcome == nil {
		return nil, fmt.Errorf("read JSON report: format %q, version %d; this program reads %q, version %d", d.Format, d.Version, format, JSONVersion)
	}
	return d.Outcome, nil
}

// JSON writes the outcome as one JSON document that keeps [Schema]. Durations are integers in nanoseconds, times are
// RFC 3339.
func JSON(w io.Writer, o *verdict.Outcome) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(document{format, JSONVersion, o}); err != nil {
		return fmt.Errorf("write JSON report: %w", err)
	}
	return nil
}
