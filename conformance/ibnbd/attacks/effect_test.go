// SPDX-License-Identifier: Apache-2.0

package attacks_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/attacks"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/loopback"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/reference/backend"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
)

// TestAttacksDoWhatTheySay runs every attack under limits, and compares what it was kept from with what it says of itself.
func TestAttacksDoWhatTheySay(t *testing.T) {
	for _, a := range attacks.All() {
		t.Run(a.Name, func(t *testing.T) {
			for _, c := range []struct {
				name  string
				limit tester.Limit
				most  attacks.Effect // that the limit lets through
			}{
				{"nothing may be written", tester.Limit{}, attacks.Reads},
				{"a range may be written", tester.Limit{Writes: true, First: 777, Count: tester.ScratchSectors}, attacks.Writes},
			} {
				err := attackUnder(t, a, c.limit)
				switch forbidden := errors.Is(err, tester.ErrForbidden); {
				case forbidden != (a.Does > c.most):
					t.Errorf("%s, and its effect is %d: %v", c.name, a.Does, err)
				case err != nil && !forbidden && !errors.Is(err, attacks.ErrInapplicable):
					t.Errorf("%s: %v", c.name, err)
				}
			}
		})
	}
}

// attackUnder runs an attack under a limit, and fails the test when a byte has changed that the limit protects.
func attackUnder(t *testing.T, a attacks.Attack, limit tester.Limit) error {
	t.Helper()
	var disks []backend.Backend
	l, err := loopback.StartFor(a, func(c *ibnbd.ServerConfig) {
		for _, e := range c.Exports {
			disks = append(disks, e.Backend)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	before := make([]byte, 1<<20)
	for i := range before {
		before[i] = byte(i * 31 >> 3)
	}
	for _, d := range disks {
		if err := d.WriteAt(before, 0, false); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	target := l.Target()
	target.Limit = &limit
	attacked := attacks.Execute(ctx, target, a)
	for _, d := range disks {
		now := make([]byte, len(before))
		if err := d.ReadAt(now, 0); err != nil {
			t.Fatal(err)
		}
		from, to := limit.First*512, (limit.First+limit.Count)*512
		if !bytes.Equal(now[:from], before[:from]) || !bytes.Equal(now[to:], before[to:]) {
			t.Errorf("bytes outside %d to %d were written", from, to)
		}
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	return attacked
}
