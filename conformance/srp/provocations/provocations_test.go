// SPDX-License-Identifier: Apache-2.0

package provocations_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/srp/catalogue"
	"github.com/ibnbd/ibnbd/conformance/srp/loopback"
	"github.com/ibnbd/ibnbd/conformance/srp/provocations"
)

// run provokes an initiator of its own, in a time of its own: what waits for timers takes none.
func run(t *testing.T, c provocations.Provocation, change func(*loopback.InitiatorSettings)) error {
	t.Helper()
	return runAs(t, c, change, func(i provocations.Initiator) provocations.Initiator { return i })
}

// runAs is run with an initiator that is seen otherwise.
func runAs(t *testing.T, c provocations.Provocation, change func(*loopback.InitiatorSettings), seen func(provocations.Initiator) provocations.Initiator) (err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		i, failed := loopback.StartInitiator(c.Needs(), change)
		if failed != nil {
			t.Fatal(failed)
		}
		on := i.Setup()
		on.Initiator = seen(on.Initiator)
		err = provocations.Execute(context.Background(), on, c)
		if err := i.Close(); err != nil {
			t.Errorf("something was left behind: %v", err)
		}
	})
	return err
}

// TestReferenceEndures runs all provocations against this project's own initiator.
func TestReferenceEndures(t *testing.T) {
	for _, c := range provocations.All() {
		t.Run(c.Name, func(t *testing.T) {
			if err := run(t, c, nil); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestTable checks what every provocation must have.
func TestTable(t *testing.T) {
	catalogue := clauses.MustNew(catalogue.Part)
	names := map[string]bool{}
	for _, c := range provocations.All() {
		if c.Name == "" || names[c.Name] {
			t.Errorf("the name %q is empty or not unique", c.Name)
		}
		names[c.Name] = true
		for _, id := range append([]string{provocations.Survival}, c.Clauses...) {
			clause, known := catalogue.Get(id)
			if !known || !clause.DecidedBy(clauses.Active) || clause.Role == clauses.Target {
				t.Errorf("%q claims %s, which active specs do not decide for an initiator", c.Name, id)
			}
		}
	}
}
