// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"io"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/foreign"
	"github.com/ibnbd/ibnbd/conformance/runner"
	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// Foreign judges a target that somebody else runs.
type Foreign struct {
	// Config is what is known of the target, and what its owner allows; see package foreign.
	Config foreign.Config
	Settings
}

// Run visits the target. Its progress is written to out, a line for each spec. A *foreign.RefusedError says what the owner did
// not allow, or what Config gets wrong; any other error why the target could not be judged, and then there may be an outcome
// beside it, as far as the run came.
func (f Foreign) Run(ctx context.Context, out io.Writer) (*verdict.Outcome, error) {
	catalogue, err := clauses.Load()
	if err != nil {
		return nil, err
	}
	o, err := f.options()
	if err != nil {
		return nil, err
	}
	plan, err := runner.NewForeignPlan(catalogue, o)
	if err != nil {
		return nil, err
	}
	return runner.RunForeign(ctx, catalogue, o, plan, out)
}

func (f Foreign) options() (runner.ForeignOptions, error) {
	if err := f.Settings.check(); err != nil {
		return runner.ForeignOptions{}, err
	}
	if err := f.check(); err != nil {
		return runner.ForeignOptions{}, err
	}
	return runner.ForeignOptions{
		Selection: f.Selection, Config: f.Config, ReportDir: f.ReportDir, Baseline: f.Baseline, KeepAll: f.KeepEvidence,
		Tool: f.tool(), Rerun: rerun,
	}, nil
}

// check refuses what the command's flags cannot say.
func (f Foreign) check() error {
	c := f.Config
	switch {
	case len(c.Targets) == 0:
		return refuse("Config.Targets is empty: name an address of the target")
	case len(c.Exports) < 1 || len(c.Exports) > 2:
		return refuse("Config.Exports has %d names, and must have one or two", len(c.Exports))
	case c.Name == "":
		return refuse("Config.Name is empty: reports and baselines need a name of the implementation")
	case c.Dialect != clauses.IBNBD && c.Dialect != clauses.RNBD:
		return refuse("Config.Dialect %q is not one of %q, %q", c.Dialect, clauses.IBNBD, clauses.RNBD)
	}
	if err := c.Place.Check(len(c.Targets)); err != nil {
		return refuse("Config.Place: %v", err)
	}
	return nil
}
