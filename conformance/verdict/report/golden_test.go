// SPDX-License-Identifier: Apache-2.0

package report_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ibnbd/ibnbd/conformance/verdict/report"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

func TestGolden(t *testing.T) {
	for name := range runs() {
		for _, format := range report.Formats() {
			t.Run(name+"/"+format.Name, func(t *testing.T) {
				var out bytes.Buffer
				if err := format.Write(&out, outcome(t, name)); err != nil {
					t.Fatal(err)
				}
				compare(t, filepath.Join("testdata", name, format.File), out.Bytes())
			})
		}
	}
}

func TestGoldenColour(t *testing.T) {
	var out bytes.Buffer
	if err := report.Terminal(&out, outcome(t, "every-verdict"), report.TerminalOptions{Width: 120, Color: true}); err != nil {
		t.Fatal(err)
	}
	compare(t, filepath.Join("testdata", "every-verdict", "colour.txt"), out.Bytes())
}

func compare(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got; `go test -update` accepts):\n%s", file, diff)
	}
}
