// SPDX-License-Identifier: Apache-2.0

package acme

import (
	"errors"
	"testing"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/rdma/soft"
)

// TestReadBeyondTheEnd is an attack of this vendor's own, by a client that may only read.
func TestReadBeyondTheEnd(t *testing.T) {
	serve(t)
	link, err := soft.OpenUDP(own.Addr())
	if err != nil {
		t.Fatal(err)
	}
	device, err := soft.Open(link, soft.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer device.Close()
	client := tester.New(tester.Target{
		Rails: []tester.Rail{{Device: device, Addr: service}}, Exports: [2]string{"ram0", "ram0"}, Limit: &tester.Limit{},
	})
	defer client.Close()
	path, opened, err := client.NewSession().Ready(t.Context(), "ram0", ibnbd.ReadOnly)
	if err != nil {
		t.Fatal(err)
	}
	var errno ibtrs.Errno
	if _, err := path.ReadAt(t.Context(), opened.DeviceID, opened.Capacity-1, 1024); !errors.As(err, &errno) {
		t.Errorf("a read of two sectors from the last one on: %v, want an error number", err)
	}
	if _, err := path.ReadAt(t.Context(), opened.DeviceID, 0, 512); err != nil {
		t.Errorf("an ordinary read after it: %v", err)
	}
}
