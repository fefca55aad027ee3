// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"io"
	"time"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/foreign"
	"github.com/ibnbd/ibnbd/conformance/protocol"
	"github.com/ibnbd/ibnbd/conformance/runner"
	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// Foreign judges a target that somebody else runs.
type Foreign struct {
	// Config is what is known of the target, and what its owner allows; see package foreign.
	Config foreign.Config
	Settings
}

// Run runs the specs on the target. Its progress is written to out, a line for each spec. A *foreign.RefusedError says what the
// owner did not allow, or what Config gets wrong; any other error why the target could not be judged, and then there may be an
// outcome beside it, as far as the run came.
func (f Foreign) Run(ctx context.Context, out io.Writer) (*verdict.Outcome, error) {
	c := f.Config
	if len(c.Targets) == 0 {
		return nil, refuse("Config.Targets is empty: name an address of the target")
	}
	p, err := identify(c.Name, c.Dialect, c.Patience)
	if err != nil {
		return nil, err
	}
	if err := p.CheckExports(c.Exports); err != nil {
		return nil, refuse("Config.Exports: %v", err)
	}
	if err := c.Place.Check(len(c.Targets)); err != nil {
		return nil, refuse("Config.Place: %v", err)
	}
	return f.Settings.runForeign(ctx, p.Target(c), out)
}

// ForeignInitiator judges an initiator that somebody else runs, and that a command of its owner controls.
type ForeignInitiator struct {
	// Config is what is known of the initiator, and what its owner allows; see package foreign.
	Config foreign.InitiatorConfig
	Settings
}

// Run has scripted servers provoke the initiator. It is as [Foreign.Run].
func (f ForeignInitiator) Run(ctx context.Context, out io.Writer) (*verdict.Outcome, error) {
	c := f.Config
	if len(c.Hook) == 0 {
		return nil, refuse("Config.Hook is empty: nothing else can have the initiator map a disk")
	}
	p, err := identify(c.Name, c.Dialect, c.Patience)
	if err != nil {
		return nil, err
	}
	if err := c.Place.CheckListening(); err != nil {
		return nil, refuse("Config.Place: %v", err)
	}
	return f.Settings.runForeign(ctx, p.Initiator(c), out)
}

// runForeign judges a subject that somebody else runs.
func (s Settings) runForeign(ctx context.Context, subject foreign.Subject, out io.Writer) (*verdict.Outcome, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	catalogue, err := clauses.Load()
	if err != nil {
		return nil, err
	}
	o := runner.ForeignOptions{
		Selection: s.Selection, Subject: subject, ReportDir: s.ReportDir, Baseline: s.Baseline, KeepAll: s.KeepEvidence,
		Tool: s.tool(), Rerun: rerun,
	}
	plan, err := runner.NewForeignPlan(catalogue, o)
	if err != nil {
		return nil, err
	}
	return runner.RunForeign(ctx, catalogue, o, plan, out)
}

// identify finds the protocol of an implementation. It refuses one of which nobody could tell what it is, and a patience with which
// nothing could be judged; 0 stands for the usual one.
func identify(name string, dialect clauses.Dialect, patience time.Duration) (*foreign.Protocol, error) {
	if name == "" {
		return nil, refuse("Config.Name is empty: reports and baselines need a name of the implementation")
	}
	if patience != 0 {
		if err := foreign.CheckPatience(patience); err != nil {
			return nil, refuse("Config.Patience: %v", err)
		}
	}
	p := protocol.Foreign(Protocols(), dialect)
	if p == nil {
		return nil, refuse("Config.Dialect %q is not one of %q", dialect, protocol.ForeignDialects(Protocols()))
	}
	return p, nil
}
