// SPDX-License-Identifier: Apache-2.0

package attacks_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/ibnbd/ibnbd/conformance/srp/attacks"
	"github.com/ibnbd/ibnbd/conformance/srp/loopback"
	"github.com/ibnbd/ibnbd/conformance/srp/tester"
	"github.com/ibnbd/ibnbd/conformance/verdict/finding"
	"github.com/ibnbd/ibnbd/reference/srp"
)

// TestNothingRandomSent: a target that lets nobody in was not attacked, so that nothing is known of how it takes that.
func TestNothingRandomSent(t *testing.T) {
	l, err := loopback.Start(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	target, err := l.Tested()
	if err != nil {
		t.Fatal(err)
	}
	target.Port = srp.NewPortID(1, 2, srp.IOClassRev16a) // nobody's
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	attacker := tester.New(target)
	defer attacker.Close()
	all := attacks.All()
	random := all[slices.IndexFunc(all, func(a attacks.Attack) bool { return a.Name == "random units" })]
	if err := random.Run(ctx, attacker); err == nil || len(finding.Of(err).Broken) > 0 {
		t.Errorf("the attack ends with %v, want the failure of the login, which breaks no clause", err)
	}
}
