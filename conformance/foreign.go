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
	o, err := f.options()
	if err != nil {
		return nil, err
	}
	return runForeign(ctx, o, out)
}

// ForeignInitiator judges an initiator that somebody else runs, and that a control command of its owner steers.
type ForeignInitiator struct {
	// Config is what is known of the initiator, and what its owner allows; see package foreign.
	Config foreign.InitiatorConfig
	Settings
}

// Run provokes the initiator with scripted servers. It is as [Foreign.Run].
func (f ForeignInitiator) Run(ctx context.Context, out io.Writer) (*verdict.Outcome, error) {
	if err := f.Settings.check(); err != nil {
		return nil, err
	}
	if err := f.check(); err != nil {
		return nil, err
	}
	return runForeign(ctx, f.Settings.foreign(f.Config), out)
}

// check refuses what the command's flags cannot say.
func (f ForeignInitiator) check() error {
	c := f.Config
	if len(c.Hook) == 0 {
		return refuse("Config.Hook is empty: nothing else can have the initiator map a disk")
	}
	if err := checkIdentity(c.Name, c.Dialect); err != nil {
		return err
	}
	if err := c.Place.CheckListening(); err != nil {
		return refuse("Config.Place: %v", err)
	}
	return nil
}

func runForeign(ctx context.Context, o runner.ForeignOptions, out io.Writer) (*verdict.Outcome, error) {
	catalogue, err := clauses.Load()
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
	return f.Settings.foreign(f.Config), nil
}

// foreign are the settings as options of a run against a party.
func (s Settings) foreign(party foreign.Party) runner.ForeignOptions {
	return runner.ForeignOptions{
		Selection: s.Selection, Party: party, ReportDir: s.ReportDir, Baseline: s.Baseline, KeepAll: s.KeepEvidence,
		Tool: s.tool(), Rerun: rerun,
	}
}

// check refuses what the command's flags cannot say.
func (f Foreign) check() error {
	c := f.Config
	switch {
	case len(c.Targets) == 0:
		return refuse("Config.Targets is empty: name an address of the target")
	case len(c.Exports) < 1 || len(c.Exports) > 2:
		return refuse("Config.Exports has %d names, and must have one or two", len(c.Exports))
	}
	if err := checkIdentity(c.Name, c.Dialect); err != nil {
		return err
	}
	if err := c.Place.Check(len(c.Targets)); err != nil {
		return refuse("Config.Place: %v", err)
	}
	return nil
}

// checkIdentity refuses an implementation of which nobody could tell what it is.
func checkIdentity(name string, dialect clauses.Dialect) error {
	switch {
	case name == "":
		return refuse("Config.Name is empty: reports and baselines need a name of the implementation")
	case dialect != clauses.IBNBD && dialect != clauses.RNBD:
		return refuse("Config.Dialect %q is not one of %q, %q", dialect, clauses.IBNBD, clauses.RNBD)
	}
	return nil
}
