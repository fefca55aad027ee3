// SPDX-License-Identifier: Apache-2.0

package block

import (
	"path"
	"strconv"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/clauses/claim"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/pair"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/conformance/kit"
)

// The size of an export, or of the disk that it is mapped to, changes while an application writes to the first part of it.

var _ = Describe("under writes that go on", kit.Takes(5), func() {
	const (
		mib   = 1 << 20
		size  = 16 // MiB, at first
		small = 8
		large = 24
		ios   = 20 // of the application, enough to see that it goes on
	)
	var (
		p      *pair.Pair
		export subject.Export
		device subject.Device
		probe  *kit.Probe
	)

	BeforeEach(func(ctx SpecContext) {
		p = pair.Current()
		export = p.Export(ctx, subject.ExportSpec{SizeMiB: size, Resizable: true})
		device = p.Map(ctx, p.Request(export))
		p.WriteStamped(ctx, device, (small-1)*mib, 64<<10)
		probe = p.Probe(ctx, device, kit.ProbeOptions{Write: true})
		probe.Await(ctx, ios)
	})

	// goesOn expects the application not to have noticed anything.
	goesOn := func(ctx SpecContext) {
		GinkgoHelper()
		probe.Await(ctx, ios)
		done := probe.Stop(ctx)
		Expect(done.Errors()).To(BeEmpty())
		p.VerifyWrites(ctx, done, device)
		p.VerifyStamped(ctx, device)
		p.VerifyStampedOnExport(ctx, export)
	}
	// usable writes to a place and reads it.
	usable := func(ctx SpecContext, offset int64) {
		GinkgoHelper()
		p.WriteStamped(ctx, device, offset, 64<<10)
		p.VerifyStamped(ctx, device)
	}
	// fails expects I/O at a place to fail, and not to wait.
	fails := func(ctx SpecContext, what string, offset int64) {
		GinkgoHelper()
		p.WithinTime(ctx, "I/O "+what, kit.AtOnce, func() {
			Expect(p.ReadAt(ctx, device, make([]byte, 8192), offset)).NotTo(Succeed(), "read "+what)
			Expect(p.WriteAt(ctx, device, make([]byte, 8192), offset)).NotTo(Succeed(), "write "+what)
		})
	}
	resizeDisk := func(ctx SpecContext, mibs int) {
		GinkgoHelper()
		const sectors = mib / 512
		Expect(p.Client.Write(ctx, p.Names().DiskFile(device.Disk, "resize"), strconv.Itoa(mibs*sectors))).To(Succeed())
		Expect(p.Client.Word(ctx, path.Join("/sys/block", device.Disk, "size"))).To(Equal(strconv.Itoa(mibs * sectors)))
	}
	// mapAgain maps the export anew, and expects a size.
	mapAgain := func(ctx SpecContext, mibs int64) {
		GinkgoHelper()
		p.Unmap(ctx, device, subject.UnmapNormal)
		device = p.Map(ctx, p.Request(export))
		Expect(p.Size(ctx, device)).To(Equal(mibs*mib), "bytes of the disk")
	}

	It("an export that grows goes on, and has its new part when it is mapped anew", claim.Clauses("IBNBD-FAIL-033"), func(ctx SpecContext) {
		p.Resize(ctx, export, large)
		goesOn(ctx)
		mapAgain(ctx, large)
		usable(ctx, (large-1)*mib)
		p.VerifyStampedOnExport(ctx, export)
	})

	It("an export that grows has its new part when the disk is given the new size", pair.Sysfs(clauses.Initiator),
		claim.Clauses("IBNBD-FAIL-033", "IBNBD-SYSFS-032"), func(ctx SpecContext) {
			p.Resize(ctx, export, large)
			resizeDisk(ctx, large)
			usable(ctx, (large-1)*mib)
			goesOn(ctx)
		})

	It("an export that shrinks fails what lies behind its new end, and nothing else", claim.Clauses("IBNBD-FAIL-032"), func(ctx SpecContext) {
		p.Resize(ctx, export, small)
		fails(ctx, "behind the new end", (small+2)*mib)
		fails(ctx, "across the new end", small*mib-4096)
		goesOn(ctx)
		mapAgain(ctx, small)
		fails(ctx, "behind the end of a disk that was mapped anew", (small+2)*mib)
	})

	It("an export that shrinks and grows again has its last part again", claim.Clauses("IBNBD-FAIL-032", "IBNBD-FAIL-033"), func(ctx SpecContext) {
		p.Resize(ctx, export, small)
		fails(ctx, "behind the new end", (small+2)*mib)
		p.Resize(ctx, export, size)
		usable(ctx, (small+2)*mib)
		goesOn(ctx)
	})

	It("a disk that is given a smaller size, and its own again, loses nothing", pair.Sysfs(clauses.Initiator), claim.Clauses("IBNBD-SYSFS-032"), func(ctx SpecContext) {
		p.WriteStamped(ctx, device, (small+2)*mib, 64<<10)
		resizeDisk(ctx, small)
		fails(ctx, "behind the end of the disk", (small+4)*mib)
		resizeDisk(ctx, size)
		goesOn(ctx)
	})
})
