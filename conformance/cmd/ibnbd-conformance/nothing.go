// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/clauses/claim"
	"github.com/ibnbd/ibnbd/conformance/foreign"
	"github.com/ibnbd/ibnbd/conformance/runner"
	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// grounds are the kinds of runs that have specs of their own.
type grounds string

const (
	inLab       grounds = "the lab"
	onTarget    grounds = "a foreign target (--target ip:ADDRESS)"
	onInitiator grounds = "a foreign initiator (--role initiator)"
)

// grounds are those of the flags.
func (f runFlags) grounds() grounds {
	switch {
	case f.foreign.isInitiator():
		return onInitiator
	case f.isForeign():
		return onTarget
	}
	return inLab
}

// nothing is a selection that leaves no spec.
type nothing struct {
	selection runner.Selection
	leftOut   int // specs that would be selected if their taking minutes did not matter
	here      grounds
	subjects  []clauses.Subject
}

// nothingSelected says by what nothing is selected, and why.
func (a *app) nothingSelected(n nothing) error {
	words := n.selection.String()
	if n.selection.Shard != nil {
		words = strings.TrimSpace(words + " shard=" + n.selection.Shard.String())
	}
	err := fmt.Errorf("no spec is selected by %s", words)
	if n.leftOut > 0 {
		err = fmt.Errorf("%w; %s that take minutes would be with --extended", err, counted(n.leftOut, "spec"))
	} else if why, whyErr := a.whyNothing(n); whyErr != nil {
		return usagef("%w", whyErr)
	} else if why != "" {
		err = fmt.Errorf("%w: %s", err, why)
	}
	return &exitError{verdict.ExitNothingRan, err}
}

// whyNothing says of the clauses that were asked for, by id, area or level, who decides them.
func (a *app) whyNothing(n nothing) (string, error) {
	wanted, err := n.selection.Wanted(a.catalogue)
	if err != nil || len(wanted) == 0 {
		return "", err
	}
	claims, err := a.claims()
	if err != nil {
		return "", err
	}
	var reasons []string
	of := make(map[string][]string)
	for _, c := range wanted {
		reason := n.reason(c, claims)
		if of[reason] == nil {
			reasons = append(reasons, reason)
		}
		of[reason] = append(of[reason], c.ID)
	}
	for i, reason := range reasons {
		reasons[i] = someOf(of[reason]) + " " + reason
	}
	return strings.Join(reasons, "; "), nil
}

// someOf lists a few of many ids.
func someOf(ids []string) string {
	const most = 3
	if more := len(ids) - most; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(ids[:most], ", "), more)
	}
	return strings.Join(ids, ", ")
}

// reason is why no spec of this run decides a clause.
func (n nothing) reason(c clauses.Clause, claims *claim.Claims) string {
	deciders := map[grounds]bool{
		inLab: len(claims.SpecsOf(c.ID)) > 0, onTarget: claimed(foreignSpecs(clauses.Target), c.ID), onInitiator: claimed(foreignSpecs(clauses.Initiator), c.ID),
	}
	var elsewhere []string
	for _, other := range []grounds{inLab, onTarget, onInitiator} {
		if deciders[other] && other != n.here {
			elsewhere = append(elsewhere, string(other))
		}
	}
	reason := undecided(c)
	if force, why := c.ForceOver(n.subjects); force == clauses.NotApplicable {
		reason = "does not apply: " + why
	} else if deciders[n.here] {
		return "(specs of it are left out by other flags)"
	} else if len(elsewhere) > 0 {
		reason = "no spec of it is for this kind of run"
	}
	if len(elsewhere) > 0 {
		reason += "; specs of it are for " + strings.Join(elsewhere, " and ")
	}
	return "(" + reason + ")"
}

// undecided is why no spec at all decides a clause.
func undecided(c clauses.Clause) string {
	switch {
	case len(c.Decided.By) == 0:
		return "nobody can decide it: " + c.Decided.Undecidable
	case c.DecidedBy(clauses.Audit):
		return "decided by the passive judge alone, from the packets of whatever specs are run, or of a capture: 'audit'"
	}
	return "no spec decides it yet"
}

func claimed(specs []foreign.Spec, id string) bool {
	return slices.ContainsFunc(specs, func(s foreign.Spec) bool { return slices.Contains(s.Clauses, id) })
}
