// SPDX-License-Identifier: Apache-2.0

// Package acme is a vendor's module, which judges its own target in its own test binary.
package acme

import (
	"net/netip"
	"testing"
	"time"

	"github.com/ibnbd/ibnbd/conformance"
	"github.com/ibnbd/ibnbd/conformance/conformancetest"
	"github.com/ibnbd/ibnbd/conformance/foreign"
	"github.com/ibnbd/ibnbd/conformance/runner"
	"github.com/ibnbd/ibnbd/reference/backend"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/rdma/soft"
)

func TestMain(m *testing.M) { conformancetest.Main(m) }

// The target serves on one loopback address, and is visited from the other.
var (
	service = netip.MustParseAddrPort("127.45.0.66:1234")
	visitor = netip.MustParsePrefix("127.45.0.1/8")
)

// serve starts the target of this vendor, which is the reference here.
func serve(t *testing.T) {
	t.Helper()
	link, err := soft.OpenUDP(service.Addr())
	if err != nil {
		t.Fatal(err)
	}
	device, err := soft.Open(link, soft.Config{})
	if err != nil {
		t.Fatal(err)
	}
	disk, err := backend.NewMemory(1<<20, 512)
	if err != nil {
		t.Fatal(err)
	}
	cfg := ibnbd.DefaultServerConfig()
	cfg.Transport.Devices = []rdma.Device{device}
	cfg.Exports = []ibnbd.Export{{Path: "ram0", Backend: disk}}
	server, err := ibnbd.Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		if err := device.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestTarget(t *testing.T) {
	serve(t)
	outcome, err := conformance.Foreign{
		Config: foreign.Config{
			Name: "acme-1", Dialect: conformance.IBNBD,
			Targets: []netip.AddrPort{service}, Exports: []string{"ram0"},
			Place:   foreign.Place{Source: []netip.Prefix{visitor}},
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
