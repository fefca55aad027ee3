// SPDX-License-Identifier: Apache-2.0

//go:build lab

package soft_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/reference/rdma/soft"
	"github.com/ibnbd/ibnbd/reference/roce"
	"github.com/ibnbd/ibnbd/vm"
	"github.com/ibnbd/ibnbd/vm/agent"
	"github.com/ibnbd/ibnbd/vm/fabric"
	"github.com/ibnbd/ibnbd/vm/image"
)

// TestLab proves that the provider and Linux soft-RoCE understand each other: a guest on a rail, and devices of this
// process on the same rail.
func TestLab(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "soft RDMA and Linux")
}

const (
	imageTime = 15 * time.Minute
	specTime  = NodeTimeout(30 * time.Second)
	ownHost   = 77 // number of this process on the rail
)

var (
	lab   *vm.Lab
	guest *vm.Host
)

var _ = BeforeSuite(func(ctx context.Context) {
	img, err := image.Build(ctx, image.Config{}, func(step string) { GinkgoWriter.Println(step) })
	Expect(err).NotTo(HaveOccurred())
	lab, err = vm.Start(ctx, vm.Config{Image: img, Hosts: []string{"alpha"}, Rails: 1, MTU: vm.LargeMTU})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(lab.Close()).To(Succeed()) })
	guest = lab.Host("alpha")
}, NodeTimeout(imageTime))

// family is an IP version with the addresses of guest and device.
type family struct {
	guest, own netip.Prefix
}

// families gives both.
func families() map[string]family {
	return map[string]family{
		"IPv4": {vm.IPv4(0, 1), vm.IPv4(0, ownHost)},
		"IPv6": {vm.IPv6(0, 1), vm.IPv6(0, ownHost)},
	}
}

// onRail opens a device on the rail; it is closed with the spec.
func onRail(addr netip.Prefix) *soft.Device {
	GinkgoHelper()
	station, err := lab.Rails()[0].Attach("tester", fabric.DefaultQueue)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(station.Close) // also when a spec failed and left the device in use
	link, err := soft.NewFrameLink(station, soft.FrameConfig{MAC: vm.MAC(0, ownHost), Prefix: addr, MTU: vm.LargeMTU})
	Expect(err).NotTo(HaveOccurred())
	recorder := soft.NewRecorder(60)
	d, err := soft.Open(link, soft.Config{Trace: recorder.Trace})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() {
		GinkgoWriter.Println(strings.Join(recorder.Lines(), "\n"))
		AddReportEntry("device", fmt.Sprintf("%+v", d.Stats()), ReportEntryVisibilityFailureOrVerbose)
		Expect(d.Close()).To(Succeed())
	})
	return d
}

// conditions are how the wire between the two may be. One packet in a hundred is hit.
var conditions = map[string]fabric.Action{
	"on a good wire":     nil,
	"with lost packets":  fabric.Drop{},
	"with late packets":  fabric.Reorder{Behind: 3, Hold: 20 * time.Millisecond},
	"with twin packets":  fabric.Duplicate{Copies: 1},
	"with a mix of them": fabric.Sequence{fabric.Duplicate{Copies: 1}, fabric.Reorder{Behind: 2, Hold: 10 * time.Millisecond}},
}

// Connection management is spared: Linux does not repeat the DREQ of a program that has ended, so that its loss leaves
// the peer waiting. What this provider does when such messages are lost is tested without a guest.
var breakable = fabric.And(fabric.IsRoCE(), fabric.Not(fabric.DestQP(roce.GSIQPN)))

// lateForLinux matches what may be overtaken without stopping the guest. The READ requester of Linux soft-RoCE can wait
// for ever when a READ response comes late: so does rping between two guests, on the same rail with the same fault.
var lateForLinux = fabric.And(breakable, fabric.Not(fabric.Opcode(
	roce.RCReadResponseFirst, roce.RCReadResponseMiddle, roce.RCReadResponseLast, roce.RCReadResponseOnly,
)))

// breakWire puts a condition on the rail; it is over with the spec.
func breakWire(action fabric.Action) {
	GinkgoHelper()
	if action == nil {
		return
	}
	match := breakable
	switch action.(type) {
	case fabric.Reorder, fabric.Sequence:
		match = lateForLinux
	}
	handle, err := lab.Rails()[0].Inject(fabric.Fault{
		Action: action, Match: match, Pick: fabric.Chance{Probability: 0.01, Seed: uint64(GinkgoRandomSeed())},
	})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() {
		AddReportEntry("packets hit", fmt.Sprintf("%+v", handle.Stats()), ReportEntryVisibilityFailureOrVerbose)
		Expect(handle.Remove()).To(Succeed())
	})
}

// start starts a command in the guest; the result says how it ended.
func start(ctx context.Context, path string, args ...string) *agent.Process {
	GinkgoHelper()
	process, err := guest.Agent().Start(ctx, agent.Command{Path: path, Args: args})
	Expect(err).NotTo(HaveOccurred())
	return process
}

// succeed waits for a command in the guest and expects success.
func succeed(p *agent.Process) {
	GinkgoHelper()
	result, err := p.Wait()
	Expect(err).NotTo(HaveOccurred())
	GinkgoWriter.Printf("%s%s", result.Stdout, result.Stderr)
	Expect(result.Err()).To(Succeed())
}
