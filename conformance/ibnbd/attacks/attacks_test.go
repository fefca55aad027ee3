// SPDX-License-Identifier: Apache-2.0

package attacks_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/attacks"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/catalogue"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/loopback"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
)

// run executes an attack against a server of its own.
func run(t *testing.T, a attacks.Attack, change func(*ibnbd.ServerConfig)) error {
	t.Helper()
	l, err := loopback.StartFor(a, change)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err = attacks.Execute(ctx, l.Target(), a)
	if err := l.Close(); err != nil {
		t.Errorf("something was left behind: %v", err)
	}
	return err
}

// TestReferenceEndures runs all attacks against this project's own server, in both key modes.
func TestReferenceEndures(t *testing.T) {
	for _, mode := range []struct {
		name    string
		refresh bool
	}{{"keys refreshed", true}, {"keys kept", false}} {
		t.Run(mode.name, func(t *testing.T) {
			for _, a := range attacks.All() {
				t.Run(a.Name, func(t *testing.T) {
					err := run(t, a, func(c *ibnbd.ServerConfig) { c.Transport.KeyRefresh = mode.refresh })
					if errors.Is(err, attacks.ErrInapplicable) {
						t.Skip(err)
					}
					if err != nil {
						t.Error(err)
					}
				})
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
		for _, id := range append([]string{a.Survives()}, a.Clauses...) {
			c, known := catalogue.Get(id)
			if !known || !c.DecidedBy(clauses.Active) || c.Role == clauses.Initiator {
				t.Errorf("%q claims %s, which active specs do not decide for a target", a.Name, id)
			}
		}
	}
}
