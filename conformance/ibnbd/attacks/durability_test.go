// SPDX-License-Identifier: Apache-2.0

package attacks_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/attacks"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/loopback"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/finding"
	"github.com/ibnbd/ibnbd/reference/backend"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
)

// killed is a file behind a volatile cache that is not flushed when its server closes it, as if that were killed.
type killed struct{ backend.Backend }

func (killed) Close() error { return nil }

// TestDurability has a crash that loses what was not flushed, and one that loses nothing.
func TestDurability(t *testing.T) {
	ignores := func(flush, fua bool) func(*ibnbd.ServerConfig) {
		return func(c *ibnbd.ServerConfig) { c.Rules.IgnoreFlush, c.Rules.IgnoreFUA = flush, fua }
	}
	for _, c := range []struct {
		name   string
		loses  bool
		change func(*ibnbd.ServerConfig)
		broken map[string]bool // the clauses that are seen broken
		why    verdict.Reason  // of specs that decide nothing
	}{
		{"a target that behaves", true, ignores(false, false), nil, ""},
		{"a target that forgets flushes", true, ignores(true, false), map[string]bool{"IBNBD-FAIL-018": true}, ""},
		{"a target that takes FUA for nothing", true, ignores(false, true), map[string]bool{"IBNBD-IO-009": true, "IBNBD-IO-030": true}, ""},
		{"a crash that loses nothing", false, ignores(true, true), nil, verdict.NothingLost},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, d := range attacks.Durabilities() {
				found := finding.Of(endure(t, d, c.loses, c.change))
				if got := found.Breaks(d.Clauses[0]); got != c.broken[d.Clauses[0]] {
					t.Errorf("%s: %s is seen broken: %t", d.Name, d.Clauses[0], got)
				}
				if (found.Undecided == nil) != (c.why == "") || c.why != "" && found.Undecided.Reason != c.why {
					t.Errorf("%s: undecided: %v, want %q", d.Name, found.Undecided, c.why)
				}
			}
		})
	}
}

// endure lets a server crash on a file: over its cache, or without one.
func endure(t *testing.T, d attacks.Durability, loses bool, change func(*ibnbd.ServerConfig)) error {
	t.Helper()
	dir := t.TempDir()
	var opened []backend.Backend
	open := func(e *ibnbd.Export) {
		file := filepath.Join(dir, filepath.Base(e.Path))
		b, err := backend.OpenFile(file, 1<<20, false)
		if loses {
			b, err = backend.OpenVolatile(file, 1<<20)
		}
		if err != nil {
			t.Fatal(err)
		}
		opened = append(opened, b)
		e.Backend = killed{b}
	}
	var exports []ibnbd.Export
	l, err := loopback.Start(func(c *ibnbd.ServerConfig) {
		exports = c.Exports
		for i := range exports {
			if err := exports[i].Backend.Close(); err != nil {
				t.Fatal(err)
			}
			open(&exports[i])
		}
		change(c)
	})
	if err != nil {
		t.Fatal(err)
	}
	found := d.Endure(t.Context(), l.Target(), attacks.Crash{
		Happens: func(context.Context) error {
			return l.Restart(func() {
				for i := range exports {
					open(&exports[i])
				}
			})
		},
		Over: func(context.Context) (tester.Target, error) { return l.Target(), nil },
	})
	err = l.Close()
	for _, b := range opened {
		err = errors.Join(err, b.Close())
	}
	if err != nil {
		t.Error(err)
	}
	return found
}
