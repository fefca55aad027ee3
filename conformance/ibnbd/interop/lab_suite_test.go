// SPDX-License-Identifier: Apache-2.0

//go:build lab

package interop_test

import (
	"context"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/reference/rdma/soft"
	"github.com/ibnbd/ibnbd/vm"
	"github.com/ibnbd/ibnbd/vm/fabric"
	"github.com/ibnbd/ibnbd/vm/image"
)

func TestLab(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "the reference over soft and mainline")
}

const (
	imageTime = 15 * time.Minute
	specTime  = NodeTimeout(time.Minute)
	ownHost   = 77 // number of this process on the rail
)

var (
	lab       *vm.Lab
	guest     *vm.Host
	target    *subject.MainlineTarget
	initiator *subject.MainlineInitiator
)

var _ = BeforeSuite(func(ctx context.Context) {
	img, err := image.Build(ctx, image.Config{Modules: []string{"rnbd"}}, func(step string) { GinkgoWriter.Println(step) })
	Expect(err).NotTo(HaveOccurred())
	lab, err = vm.Start(ctx, vm.Config{Image: img, Hosts: []string{"alpha"}, Rails: 1, MTU: vm.LargeMTU})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(lab.Close()).To(Succeed()) })
	guest = lab.Host("alpha")
	target = subject.NewMainlineTarget(guest, img.Manifest.Release)
	initiator = subject.NewMainlineInitiator(guest, img.Manifest.Release)
	Expect(initiator.Start(ctx)).To(Succeed()) // for good: unloading it while a session ends makes mainline complain
}, NodeTimeout(imageTime))

// The kernel of the guest must have nothing to complain about.
var _ = BeforeEach(func(ctx context.Context) {
	mark, err := guest.KernelLog().Mark(ctx, CurrentSpecReport().LeafNodeText)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func(ctx context.Context) {
		_, err := guest.KernelLog().Mark(ctx, "end of "+CurrentSpecReport().LeafNodeText)
		Expect(err).NotTo(HaveOccurred())
		records, err := guest.KernelLog().Since(mark)
		Expect(err).NotTo(HaveOccurred())
		for _, r := range records {
			GinkgoWriter.Println(r.Text)
			Expect(r.Text).NotTo(Or(ContainSubstring("WARNING:"), ContainSubstring("BUG:"), ContainSubstring("Oops")))
		}
	}, specTime)
}, specTime)

// family is an IP version with the addresses of guest and device.
type family struct{ guest, own netip.Prefix }

var (
	ipv4 = family{vm.IPv4(0, 1), vm.IPv4(0, ownHost)}
	ipv6 = family{vm.IPv6(0, 1), vm.IPv6(0, ownHost)}
)

// onRail opens a device of this process on the rail. It is closed with the spec, which fails while anything of it is open.
func onRail(f family) *soft.Device {
	GinkgoHelper()
	station, err := lab.Rails()[0].Attach("reference", fabric.DefaultQueue)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(station.Close) // also when a failed spec leaves the device in use
	link, err := soft.NewFrameLink(station, soft.FrameConfig{MAC: vm.MAC(0, ownHost), Prefix: f.own, MTU: vm.LargeMTU})
	Expect(err).NotTo(HaveOccurred())
	recorder := soft.NewRecorder(60)
	d, err := soft.Open(link, soft.Config{Trace: recorder.Trace})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() {
		GinkgoWriter.Println(strings.Join(recorder.Lines(), "\n"))
		AddReportEntry("device", d.Stats(), ReportEntryVisibilityFailureOrVerbose)
		Expect(d.Close()).To(Succeed())
	})
	return d
}

func log(side string) *slog.Logger {
	return slog.New(slog.NewTextHandler(GinkgoWriter, nil)).With("side", side)
}

// wire is how the rail may be: whole, or hitting one packet of the connections in a hundred.
type wire struct{ action fabric.Action }

var (
	whole  = wire{}
	losing = wire{fabric.Drop{}}
	twin   = wire{fabric.Duplicate{Copies: 1}}
)

// spoil puts a condition on the rail; it is over with the spec. Connection management is spared.
func (w wire) spoil() {
	GinkgoHelper()
	if w.action == nil {
		return
	}
	handle, err := lab.Rails()[0].Inject(fabric.Fault{
		Action: w.action, Match: fabric.And(fabric.IsRoCE(), fabric.Not(fabric.DestQP(1))),
		Pick: fabric.Chance{Probability: 0.01, Seed: uint64(GinkgoRandomSeed())},
	})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() {
		Expect(handle.Stats().Applied).To(BeNumerically(">", 0), "no packet was hit")
		Expect(handle.Remove()).To(Succeed())
	})
}
