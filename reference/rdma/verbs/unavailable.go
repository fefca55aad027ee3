// SPDX-License-Identifier: Apache-2.0

//go:build !(verbs && cgo && linux)

package verbs

import (
	"fmt"
	"net/netip"

	"github.com/ibnbd/ibnbd/reference/rdma"
)

// Open fails: this build has no verbs.
func Open(addr netip.Addr, _ Config) (rdma.Device, error) {
	return nil, fmt.Errorf("verbs: open the device with address %s: %w: build on Linux with cgo, libibverbs-dev, "+
		"librdmacm-dev and `go build -tags verbs`", addr, rdma.ErrUnavailable)
}
