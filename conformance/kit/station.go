// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"context"
	"fmt"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/reference/rdma/soft"
	"github.com/ibnbd/ibnbd/vm"
	"github.com/ibnbd/ibnbd/vm/fabric"
)

// stationHost is the number of this process's first station on each rail.
const stationHost = 77

// Station is an RDMA device of this process on a rail, which goes away after the spec. What it sends is none of the
// subjects' doing: the packets of the spec are not judged.
func (t *Testbed) Station(rail int) *soft.Device {
	ginkgo.GinkgoHelper()
	return t.StationAt(rail, 0)
}

// StationAt is Station, with a number below 100 for each of several on one rail.
func (t *Testbed) StationAt(rail, number int) *soft.Device {
	ginkgo.GinkgoHelper()
	t.foreign = true
	host := stationHost + number
	wire, err := t.Lab.Rails()[rail].Attach(StationName(number), fabric.DefaultQueue)
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	ginkgo.DeferCleanup(wire.Close) // also when a failed spec leaves the device in use
	link, err := soft.NewFrameLink(wire, soft.FrameConfig{
		MAC: vm.MAC(rail, host), Prefix: vm.IPv4(rail, host), MTU: t.Lab.Config().MTU,
	})
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	device, err := soft.Open(link, soft.Config{})
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	ginkgo.DeferCleanup(device.Close)
	return device
}

// AddNeighbour adds a permanent neighbour entry for a station to a host. Address resolution is not under test, and has been seen
// to take 30 s.
func (t *Testbed) AddNeighbour(ctx context.Context, host *vm.Host, rail, number int) {
	ginkgo.GinkgoHelper()
	station := stationHost + number
	_, err := host.Agent().Output(ctx, "/bin/ip", "neighbour", "replace", vm.IPv4(rail, station).Addr().String(),
		"lladdr", vm.MAC(rail, station).String(), "dev", host.NIC(rail).Interface, "nud", "permanent")
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
}

// StationName is the name that a station has on its rail, for predicates of faults.
func StationName(number int) string { return fmt.Sprintf("tester%d", number) }
