// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"runtime"
	"time"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// Settings are what every run has, whatever is under test and wherever.
type Settings struct {
	Selection    Selection         // of specs; its zero value selects all but those that take minutes
	ReportDir    string            // where journal, reports and evidence go; an earlier run's there are replaced
	Baseline     *verdict.Baseline // expected failures; nil for none
	BaselineFile string            // where they come from
	// BaselineReason is why this baseline was taken, in words; "" where nothing has to be said.
	BaselineReason string
	Profile        *verdict.Profile // what the subjects must be seen to keep; nil for none
	KeepEvidence   bool             // keep packets and logs of specs that pass, too
	Tool           string           // version of the program
	Command        []string         // as the user typed it
	Rerun          string           // how to run one spec again; %s is its name
}

// header says what is run on which subjects.
func (s Settings) header(plan *Plan, p place) verdict.Header {
	h := verdict.Header{
		Tool: s.Tool, Edition: clauses.Edition, Command: s.Command, Start: time.Now().UTC(), Seed: p.seed, Selection: s.Selection.String(), Shard: s.Selection.Shard,
		Subjects: p.subjects, BaselineFile: s.BaselineFile, BaselineReason: s.BaselineReason, Profile: s.Profile, Specs: plan.deciders, Environment: p.environment,
	}
	h.Environment.Host, h.Environment.Kernel, h.Environment.CPUs = hostName(), kernelRelease(), runtime.NumCPU()
	if s.Baseline != nil {
		h.Baseline = s.Baseline.Expected
	}
	return h
}

// place is where specs run, and on what.
type place struct {
	subjects    []verdict.Subject
	environment verdict.Environment // beside this host
	seed        int64               // of the order of the specs, or of what they draw at random
}
