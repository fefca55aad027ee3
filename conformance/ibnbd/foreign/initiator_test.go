// SPDX-License-Identifier: Apache-2.0

package foreign

import (
	"net/netip"
	"testing"

	"github.com/ibnbd/ibnbd/conformance/foreign"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/provocations"
	"github.com/ibnbd/ibnbd/conformance/verdict"
)

func TestMissingForInitiator(t *testing.T) {
	counts := func(c foreign.InitiatorConfig) map[verdict.Reason]int { return missing(t, Protocol().Initiator(c)) }
	one := foreign.Place{Source: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24")}}
	if n := counts(foreign.InitiatorConfig{Place: one}); n[""] != 0 || n[verdict.NoHook] == 0 || n[verdict.NoConsent] == 0 {
		t.Errorf("without a hook: %v", n)
	}
	more := 0 // specs that need several addresses
	for _, c := range provocations.All() {
		if c.Needs() > 1 {
			more++
		}
	}
	if n := counts(foreign.InitiatorConfig{Place: one, Hook: foreign.Hook{"true"}, Consent: foreign.Consent{Outage: true}}); n[verdict.NoSecondPath] != more || len(n) != 2 {
		t.Errorf("with all but addresses: %v", n)
	}
	if n := counts(foreign.InitiatorConfig{Place: foreign.Place{Netdev: "eth1"}, Hook: foreign.Hook{"true"}, Consent: foreign.Consent{Outage: true}}); len(n) != 1 || n[""] == 0 {
		t.Errorf("on a network interface, whose addresses are seen later: %v", n)
	}
}
