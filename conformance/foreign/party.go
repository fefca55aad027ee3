// SPDX-License-Identifier: Apache-2.0

package foreign

import (
	"context"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// Party is an implementation that somebody else runs, as a person describes it: a [Config] is a target, an [InitiatorConfig]
// is an initiator.
type Party interface {
	// Subject says which clauses hold for it, as far as that is known beforehand.
	Subject() clauses.Subject
	// Specs are what can be tried on it: those that may end it last.
	Specs() []Spec
	// Missing is why a spec cannot run, as far as that can be said beforehand; "" if it can.
	Missing(s Spec) (verdict.Reason, string)
	// Stay makes the first contact. Its errors are those of [Open].
	Stay(ctx context.Context) (Stay, error)
}

// Stay is the time in which specs are tried on a party: a [Visit] or a [Reception].
type Stay interface {
	// Subject is what was found out of the party.
	Subject() verdict.Subject
	// Run runs a spec, as [Visit.Run].
	Run(ctx context.Context, s Spec, report Report) (results, passive []verdict.Result, err error)
	Close() error
}

// Subject is a target of some dialect.
func (c Config) Subject() clauses.Subject {
	return clauses.Subject{Role: clauses.Target, Dialect: c.Dialect}
}

// Specs are those for a target.
func (c Config) Specs() []Spec { return Specs() }

// Stay is [Open].
func (c Config) Stay(ctx context.Context) (Stay, error) {
	v, err := Open(ctx, c)
	if err != nil {
		return nil, err
	}
	return v, nil
}
