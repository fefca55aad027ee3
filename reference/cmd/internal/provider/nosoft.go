// SPDX-License-Identifier: Apache-2.0

//go:build nosoft

package provider

import (
	"fmt"
	"net/netip"

	"github.com/ibnbd/ibnbd/reference/rdma"
)

// Default is the provider that is left.
const Default = "verbs"

func openSoft(addr netip.Addr) (rdma.Device, error) {
	return nil, fmt.Errorf("provider soft: device with address %s: %w: build without `-tags nosoft`", addr, rdma.ErrUnavailable)
}
