// SPDX-License-Identifier: Apache-2.0

package foreign

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ibnbd/ibnbd/conformance/foreign"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/conformance/verdict"
)

func TestLimit(t *testing.T) {
	one, both := []string{"a"}, []string{"a", "b"}
	writes := foreign.Consent{Writes: true, Scratch: foreign.Range{First: 100, Count: 64}}
	if diff := cmp.Diff(&tester.Limit{Writes: true, First: 100, Count: 64}, limit(writes, both)); diff != "" {
		t.Error(diff)
	}
	if l := limit(foreign.Consent{Loss: both}, both); l != nil {
		t.Errorf("where all may be lost, there is a limit: %v", l)
	}
	if l := limit(foreign.Consent{Loss: one}, both); l == nil || l.Writes {
		t.Errorf("where one of two may be lost, the limit is %v", l)
	}
}

func TestMissingForTarget(t *testing.T) {
	counts := func(c foreign.Config) map[verdict.Reason]int { return missing(t, Protocol().Target(c)) }
	c := foreign.Config{Targets: []netip.AddrPort{netip.MustParseAddrPort("10.0.0.66:1234")}, Exports: []string{"a"}}
	if n := counts(c); n[""] == 0 || n[verdict.NoConsent] == 0 || n[verdict.NoSecondPath] == 0 {
		t.Errorf("by default: %v", n)
	}
	c.Consent = foreign.Consent{Loss: []string{"a"}, Outage: true}
	if n := counts(c); n[verdict.NoHook] != len(crashes()) || n[verdict.NoConsent] != 0 {
		t.Errorf("with every consent and no hook: %v", n)
	}
}
