// SPDX-License-Identifier: Apache-2.0

package tester_test

import (
	"errors"
	"testing"
	"time"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/loopback"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// TestReadyWaitsForTheOneBefore opens a device that somebody else has: one who lets it go, and one who does not.
func TestReadyWaitsForTheOneBefore(t *testing.T) {
	for _, lets := range []bool{true, false} {
		l, err := loopback.Start(nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		})
		const patience = 300 * time.Millisecond
		target := l.Target()
		if !lets {
			target.Patience = patience
		}
		before, after := tester.New(target), tester.New(target)
		p, opened, err := before.Ready(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		let := make(chan error, 1)
		time.AfterFunc(100*time.Millisecond, func() {
			if lets {
				let <- p.CloseDevice(t.Context(), opened.DeviceID)
			} else {
				let <- nil
			}
		})
		begin := time.Now()
		_, _, err = after.Ready(t.Context())
		if lets && err != nil || !lets && (!errors.Is(err, ibtrs.EPERM) || time.Since(begin) < patience) {
			t.Errorf("let go: %v, then %v after %s", lets, err, time.Since(begin))
		}
		if err := errors.Join(<-let, before.Close(), after.Close()); err != nil {
			t.Error(err)
		}
	}
}
