// SPDX-License-Identifier: Apache-2.0

package acme

import (
	"testing"

	"github.com/ibnbd/ibnbd/reference/backend"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/rdma/soft"
)

// serve starts the target of this vendor, which is the reference here. Yours needs none of these imports.
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
