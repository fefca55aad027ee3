// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"cmp"
	"context"
	"io"
	"strings"
	"time"

	"github.com/ibnbd/ibnbd/conformance/audit"
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
	p, err := f.Prepare()
	if err != nil {
		return nil, err
	}
	return p.Run(ctx, out)
}

// Prepare checks the settings and chooses the specs. Nothing is sent to the target.
func (f Foreign) Prepare() (*Prepared, error) {
	c := f.Config
	if len(c.Targets) == 0 {
		return nil, refuse("Config.Targets", "is empty: name an address of the target")
	}
	p, err := identify(c.Name, c.Dialect, c.Patience, c.Heartbeats)
	if err != nil {
		return nil, err
	}
	if err := p.CheckExports(c.Exports); err != nil {
		return nil, &SettingError{Field: "Config.Exports", Err: err}
	}
	if err := p.CheckIdentity(c.Identity); err != nil {
		return nil, &SettingError{Field: "Config.Identity", Err: err}
	}
	if err := c.Place.Check(len(c.Targets)); err != nil {
		return nil, &SettingError{Field: "Config.Place", Err: err}
	}
	if err := foreign.CheckConfigurations(c.Configurations, c.Hook); err != nil {
		return nil, &SettingError{Field: "Config.Configurations", Err: err}
	}
	if err := f.random(p.Targets.Random); err != nil {
		return nil, err
	}
	return prepareForeign(f.Settings, p.Target(f.Config), f.Config.Seed)
}

// random completes what is said of random sequences: the seed, and for a saved sequence the spec that runs it.
func (f *Foreign) random(r *foreign.Random) error {
	c := &f.Config
	switch {
	case r == nil && c.Seed != 0:
		return refuse("Config.Seed", "is %d, and nothing is drawn at random in this protocol", c.Seed)
	case r == nil && len(c.Sequence) > 0:
		return refuse("Config.Sequence", "is there, and nothing is drawn at random in this protocol")
	case r == nil:
		return nil
	}
	c.Seed = cmp.Or(c.Seed, foreign.DefaultSeed)
	if len(c.Sequence) == 0 {
		return nil
	}
	if err := r.Check(c.Sequence); err != nil {
		return &SettingError{Field: "Config.Sequence", Err: err}
	}
	only := runner.Selection{Names: []string{r.Spec}}
	if chosen := f.Selection.String(); chosen != "" && chosen != only.String() {
		return refuse("Config.Sequence", "is there beside a selection of specs (%s): only the saved sequence is run", chosen)
	}
	f.Selection = only
	return nil
}

// ForeignInitiator judges an initiator that somebody else runs, and that a command of its owner controls.
type ForeignInitiator struct {
	// Config is what is known of the initiator, and what its owner allows; see package foreign.
	Config foreign.InitiatorConfig
	Settings
}

// Run has scripted servers provoke the initiator. It is as [Foreign.Run].
func (f ForeignInitiator) Run(ctx context.Context, out io.Writer) (*verdict.Outcome, error) {
	p, err := f.Prepare()
	if err != nil {
		return nil, err
	}
	return p.Run(ctx, out)
}

// Prepare checks the settings and chooses the specs. The initiator is not called.
func (f ForeignInitiator) Prepare() (*Prepared, error) {
	c := f.Config
	p, err := identify(c.Name, c.Dialect, c.Patience, c.Heartbeats)
	if err != nil {
		return nil, err
	}
	if p.Initiators.Specs == nil {
		return nil, refuse("Config.Dialect", "%q has no specs for initiators", c.Dialect)
	}
	if len(c.Hook) == 0 {
		return nil, refuse("Config.Hook", "is missing: nothing else can have the initiator map a disk")
	}
	if err := c.Place.CheckListening(); err != nil {
		return nil, &SettingError{Field: "Config.Place", Err: err}
	}
	return prepareForeign(f.Settings, p.Initiator(c), 0)
}

// prepareForeign prepares a run against a subject that somebody else runs. A seed of 0 says that nothing is drawn at random.
func prepareForeign(s Settings, subject foreign.Subject, seed int64) (*Prepared, error) {
	s, err := complete(s)
	if err != nil {
		return nil, err
	}
	catalogue := Catalogue()
	o := runner.ForeignOptions{Settings: s, Subject: subject, Seed: seed}
	plan, err := runner.NewForeignPlan(catalogue, o)
	if err != nil {
		return nil, err
	}
	return &Prepared{plan, func(ctx context.Context, out io.Writer) (*verdict.Outcome, error) {
		return runner.RunForeign(ctx, catalogue, o, plan, out)
	}}, nil
}

// identify finds the protocol of an implementation. It refuses one of which nobody could tell what it is, and a patience or
// heartbeats with which nothing could be judged; 0 stands for the usual ones.
func identify(name string, dialect clauses.Dialect, patience time.Duration, beats audit.Heartbeats) (*foreign.Protocol, error) {
	if name == "" {
		return nil, refuse("Config.Name", "is empty: reports and baselines need a name of the implementation")
	}
	if patience != 0 {
		if err := foreign.CheckPatience(patience); err != nil {
			return nil, &SettingError{Field: "Config.Patience", Err: err}
		}
	}
	if p := protocol.Foreign(Protocols(), dialect); p != nil {
		if err := p.CheckHeartbeats(beats); err != nil {
			return nil, &SettingError{Field: "Config.Heartbeats", Err: err}
		}
		return p, nil
	}
	var known []string
	for _, d := range protocol.ForeignDialects(Protocols()) {
		known = append(known, string(d))
	}
	return nil, refuse("Config.Dialect", "%q is not one of %s", dialect, strings.Join(known, ", "))
}
