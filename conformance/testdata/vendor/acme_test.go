// SPDX-License-Identifier: Apache-2.0

// Package acme is a vendor's module, which judges its own target in its own test binary. This file has all that it takes, and imports
// nothing but the suite; target_test.go has the target, and attack_test.go an attack that the suite does not have.
package acme

import (
	"net/netip"
	"testing"
	"time"

	"github.com/ibnbd/ibnbd/conformance"
	"github.com/ibnbd/ibnbd/conformance/conformancetest"
	"github.com/ibnbd/ibnbd/conformance/foreign"
	"github.com/ibnbd/ibnbd/conformance/runner"
)

func TestMain(m *testing.M) { conformancetest.Main(m) }

// The target serves on one loopback address, and is reached from the other.
var (
	service = netip.MustParseAddrPort("127.45.0.66:1234")
	own     = netip.MustParsePrefix("127.45.0.1/8")
)

func TestTarget(t *testing.T) {
	serve(t)
	outcome, err := conformance.Foreign{
		Config: foreign.Config{
			Name: "acme-1", Dialect: conformance.IBNBD,
			Targets: []netip.AddrPort{service}, Exports: []string{"ram0"},
			Place:   foreign.Place{Source: []netip.Prefix{own}},
			Consent: foreign.Consent{Loss: []string{"ram0"}}, Patience: 20 * time.Second,
		},
		Settings: conformance.Settings{
			Selection: runner.Selection{Areas: []string{"IBTRS-CONN", "IBNBD-OPEN"}},
			ReportDir: t.ArtifactDir(),
		},
	}.Run(t.Context(), t.Output())
	if err != nil {
		t.Fatal(err)
	}
	conformancetest.Report(t, outcome)
}
