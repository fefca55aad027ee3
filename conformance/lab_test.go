// SPDX-License-Identifier: Apache-2.0

package conformance_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ibnbd/ibnbd/conformance"
	"github.com/ibnbd/ibnbd/conformance/implementation"
	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// TestBaselineSpeaksOfMainlineAlone: what a user has brought does not get mainline's expected failures without being told so.
func TestBaselineSpeaksOfMainlineAlone(t *testing.T) {
	source := filepath.Join(t.TempDir(), "rtrs")
	if err := os.Mkdir(source, 0o755); err != nil {
		t.Fatal(err)
	}
	baseline := &verdict.Baseline{Expected: []verdict.ExpectedFailure{{Subject: "mainline-*"}, {Subject: "reference-*"}}}
	for name, c := range map[string]struct {
		run     conformance.LabRun
		entries int
		why     string
	}{
		"mainline": {conformance.LabRun{}, 1, "known.yaml, 1 of whose 2 entries are for these subjects: kernel 6.12 is as Debian's source has it"},
		"changed":  {conformance.LabRun{ModuleSources: []string{source}}, 0, "sources of " + source + " are not mainline's"},
		"told so":  {conformance.LabRun{ModuleSources: []string{source}, AsMainline: true}, 1, "sources of " + source + " are judged as mainline"},
	} {
		c.run.Settings = conformance.Settings{ReportDir: t.TempDir(), Baseline: baseline, BaselineFile: "known.yaml"}
		options, err := c.run.Options()
		if err != nil {
			t.Fatal(err)
		}
		if got := baseline.For(options.Subjects); got != c.entries || !strings.Contains(options.BaselineReason, c.why) {
			t.Errorf("%s: %d entries, because %q; want %d because %q", name, got, options.BaselineReason, c.entries, c.why)
		}
		for _, s := range options.Subjects {
			if strings.HasPrefix(s.Name, implementation.Local) != (c.entries == 0) {
				t.Errorf("%s: the subject is called %s", name, s.Name)
			}
		}
	}
}
