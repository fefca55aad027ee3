// SPDX-License-Identifier: Apache-2.0

package attacks_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/srp/attacks"
	"github.com/ibnbd/ibnbd/conformance/srp/catalogue"
	"github.com/ibnbd/ibnbd/conformance/srp/loopback"
	"github.com/ibnbd/ibnbd/conformance/srp/tester"
)

// TestReferenceEndures runs all attacks against this project's own target.
func TestReferenceEndures(t *testing.T) {
	for _, a := range attacks.All() {
		t.Run(a.Name, func(t *testing.T) {
			l, err := loopback.Start(nil)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			target, err := l.Tested()
			if err == nil {
				err = attacks.Execute(ctx, target, a)
			}
			if errors.Is(err, tester.ErrInapplicable) {
				t.Errorf("the reference gives opportunity for everything: %v", err)
			} else if err != nil {
				t.Error(err)
			}
			if err := l.Close(); err != nil {
				t.Errorf("something was left behind: %v", err)
			}
		})
	}
}

// TestTable checks what every attack must have.
func TestTable(t *testing.T) {
	catalogue := clauses.MustNew(catalogue.Part)
	names := map[string]bool{}
	for _, a := range attacks.All() {
		if a.Name == "" || names[a.Name] {
			t.Errorf("the name %q is empty or not unique", a.Name)
		}
		names[a.Name] = true
		for _, id := range append([]string{attacks.Survival, attacks.Undisturbed}, a.Clauses...) {
			c, known := catalogue.Get(id)
			if !known || !c.DecidedBy(clauses.Active) || c.Role == clauses.Initiator {
				t.Errorf("%q claims %s, which active specs do not decide for a target", a.Name, id)
			}
		}
	}
}
