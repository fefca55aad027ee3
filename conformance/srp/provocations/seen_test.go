// SPDX-License-Identifier: Apache-2.0

package provocations_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/ibnbd/ibnbd/conformance/srp/loopback"
	"github.com/ibnbd/ibnbd/conformance/srp/provocations"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/finding"
	"github.com/ibnbd/ibnbd/reference/srp"
)

// named is the provocation of a name.
func named(t *testing.T, name string) provocations.Provocation {
	t.Helper()
	all := provocations.All()
	i := slices.IndexFunc(all, func(c provocations.Provocation) bool { return c.Name == name })
	if i < 0 {
		t.Fatalf("there is no provocation %q", name)
	}
	return all[i]
}

// numberless is an initiator whose errors have no number that is known.
type numberless struct{ provocations.Initiator }

func (i numberless) Add(ctx context.Context, login string, t provocations.Times) (provocations.Disk, error) {
	d, err := i.Initiator.Add(ctx, login, t)
	if err != nil {
		return nil, unnumbered(err)
	}
	return numberlessDisk{d}, nil
}

type numberlessDisk struct{ provocations.Disk }

func (d numberlessDisk) Read(ctx context.Context, offset int64, size int) ([]byte, error) {
	b, err := d.Disk.Read(ctx, offset, size)
	return b, unnumbered(err)
}

func (d numberlessDisk) Write(ctx context.Context, offset int64, data []byte) error {
	return unnumbered(d.Disk.Write(ctx, offset, data))
}

func unnumbered(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%v: %w", err, provocations.ErrNoNumber)
}

// TestWithoutNumbers: where a number decides, a clause is left undecided without one; what is broken is broken nevertheless.
func TestWithoutNumbers(t *testing.T) {
	for name, want := range map[string]struct {
		rules  srp.InitiatorRules
		broken string // undecided if empty
	}{
		"sense data stands behind response data":   {},
		"sense data is longer than the response":   {},
		"a target rejects twelve logins":           {srp.InitiatorRules{KeepOffline: true}, "SRP-STATE-006"},
		"a target is back before fast_io_fail_tmo": {srp.InitiatorRules{RefuseBlocked: true}, "SRP-STATE-015"},
	} {
		t.Run(name, func(t *testing.T) {
			err := runAs(t, named(t, name), func(s *loopback.InitiatorSettings) { s.Rules = want.rules },
				func(i provocations.Initiator) provocations.Initiator { return numberless{i} })
			f := finding.Of(err)
			if want.broken == "" && (f.Undecided == nil || f.Undecided.Reason != verdict.NoHook) {
				t.Errorf("it ends with %v, it must be undecided", err)
			}
			if want.broken != "" && !breaks(f, want.broken) {
				t.Errorf("it ends with %v, it must have broken %s", err, want.broken)
			}
		})
	}
}

func breaks(f finding.Finding, clause string) bool {
	return slices.ContainsFunc(f.Broken, func(v *finding.Violation) bool { return v.Clause == clause })
}
