// SPDX-License-Identifier: Apache-2.0

package soft_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/rdma/rdmatest"
	"github.com/ibnbd/ibnbd/reference/rdma/soft"
)

func TestConformanceOnHub(t *testing.T) {
	for _, pathMTU := range []int{256, 1024, 4096} {
		t.Run(fmt.Sprint("path MTU ", pathMTU), func(t *testing.T) {
			rdmatest.Conformance(t, rdmatest.Provider{Open: func(t testing.TB) (rdma.Device, rdma.Device) {
				hub, cfg := soft.NewHub(), soft.Config{PathMTU: pathMTU}
				return openBare(t, hub, addrA, cfg), openBare(t, hub, addrB, cfg)
			}})
		})
	}
}

func TestConformanceOnUDP(t *testing.T) {
	rdmatest.Conformance(t, rdmatest.Provider{Open: func(t testing.TB) (rdma.Device, rdma.Device) {
		var devices [2]rdma.Device
		for i, addr := range []netip.Addr{loopA, loopB} {
			link, err := soft.OpenUDP(addr)
			must(t, err)
			d, err := soft.Open(link, soft.Config{})
			must(t, err)
			devices[i] = d
		}
		return devices[0], devices[1]
	}})
}

// openBare opens a device that somebody else closes.
func openBare(t testing.TB, hub *soft.Hub, addr netip.Addr, cfg soft.Config) rdma.Device {
	t.Helper()
	link, err := hub.Attach(addr, 0)
	must(t, err)
	d, err := soft.Open(link, cfg)
	must(t, err)
	return d
}
