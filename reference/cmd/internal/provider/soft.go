// SPDX-License-Identifier: Apache-2.0

//go:build !nosoft

package provider

import (
	"net/netip"

	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/rdma/soft"
)

// Default is the provider that needs nothing from the system.
const Default = "soft"

func openSoft(addr netip.Addr) (rdma.Device, error) {
	link, err := soft.OpenUDP(addr)
	if err != nil {
		return nil, err
	}
	dev, err := soft.Open(link, soft.Config{})
	if err != nil {
		return nil, err
	}
	return dev, nil
}
