// SPDX-License-Identifier: Apache-2.0

package sysfs

import (
	"path"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/clauses/claim"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/pair"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/conformance/kit"
)

var _ = Describe("a mapped device", pair.Sysfs(clauses.Initiator), func() {
	var (
		p      *pair.Pair
		export subject.Export
		device subject.Device
	)

	BeforeEach(func(ctx SpecContext) {
		p = pair.Current()
		export = p.Export(ctx, subject.ExportSpec{})
		device = p.Map(ctx, p.Request(export))
	})

	file := func(name string) string { return p.Names().DiskFile(device.Disk, name) }

	It("has a link below ctl/devices that leads to its disk", kit.Smoke, claim.Clauses("IBNBD-SYSFS-018"), func(ctx SpecContext) {
		target := p.Client.Link(ctx, p.Names().ClientLink(export.Path, device.Session))
		Expect(path.Base(target)).To(Equal(device.Disk))
		Expect(target).To(HaveSuffix(path.Join("block", device.Disk)))
	})

	It("loses its link when it is unmapped", claim.Clauses("IBNBD-SYSFS-019"), func(ctx SpecContext) {
		p.Unmap(ctx, device, subject.UnmapNormal)
		Expect(p.Client.Exists(ctx, p.Names().ClientLink(export.Path, device.Session))).To(BeFalse())
		Expect(p.Client.Exists(ctx, path.Join("/sys/block", device.Disk))).To(BeFalse())
	})

	It("is gone with its disk, node and link when it was unmapped while nobody used it", kit.Smoke, claim.Clauses("IBNBD-SYSFS-038"), func(ctx SpecContext) {
		node := path.Join("/dev", device.Disk)
		Expect(p.Client.Exists(ctx, node)).To(BeTrue())
		Expect(p.Client.Write(ctx, file("unmap_device"), "normal")).To(Succeed())
		for _, gone := range []string{p.Names().ClientLink(export.Path, device.Session), path.Join("/sys/block", device.Disk), node} {
			Eventually(p.Client.Exists).WithContext(ctx).WithTimeout(10*time.Second).WithArguments(gone).Should(BeFalse(), "%s", gone)
		}
	})

	It("shows the session and the path that it was mapped with", claim.Clauses("IBNBD-SYSFS-025"), func(ctx SpecContext) {
		Expect(p.Client.Word(ctx, file("session"))).To(Equal(device.Session))
		Expect(p.Client.Word(ctx, file("mapping_path"))).To(Equal(export.Path))
	})

	It("has its files below its disk, under every name that its dialect has for the directory", claim.Clauses("IBNBD-SYSFS-020"), func(ctx SpecContext) {
		names := []string{p.Names().DiskDir}
		if alias := p.Names().DiskDirAlias; alias != "" {
			names = append(names, alias)
		}
		for _, name := range names {
			Expect(p.Client.Word(ctx, path.Join("/sys/block", device.Disk, name, "state"))).To(Equal("open"))
		}
	})

	It("shows the state open", kit.Smoke, claim.Clauses("IBNBD-SYSFS-024"), func(ctx SpecContext) {
		Expect(p.Client.Word(ctx, file("state"))).To(Equal("open"))
	})

	DescribeTable("shows the usage of a writable file when it is read", claim.Clauses("IBNBD-SYSFS-026"),
		func(ctx SpecContext, name, want string) {
			Expect(p.Client.Read(ctx, file(name))).To(And(HavePrefix("Usage:"), ContainSubstring(want)))
		},
		Entry("unmap_device", "unmap_device", "<normal|force>"),
		Entry("resize", "resize", "sectors"),
		Entry("remap_device", "remap_device", "1"),
	)

	DescribeTable("refuses to write a file that is read-only", claim.Clauses("IBNBD-SYSFS-040"),
		func(ctx SpecContext, name string) {
			Expect(p.Client.Mode(ctx, file(name))).To(Equal("0444"))
			Expect(p.Client.Write(ctx, file(name), "x")).NotTo(Succeed())
		},
		Entry("state", "state"),
		Entry("session", "session"),
		Entry("mapping_path", "mapping_path"),
	)

	Describe("unmap_device", func() {
		It("gives EBUSY in normal mode while the disk is open", kit.Smoke, claim.Clauses("IBNBD-SYSFS-021"), func(ctx SpecContext) {
			disk := p.Open(ctx, device)
			Expect(p.Initiator.Unmap(ctx, device, subject.UnmapNormal)).To(MatchError(syscall.EBUSY))
			Expect(p.Client.Word(ctx, file("state"))).To(Equal("open"))
			disk.Close(ctx)
			p.Unmap(ctx, device, subject.UnmapNormal)
		})

		DescribeTable("refuses other text with EINVAL", claim.Clauses("IBNBD-SYSFS-023"),
			func(ctx SpecContext, text string) {
				Expect(p.Client.Write(ctx, file("unmap_device"), text)).To(MatchError(syscall.EINVAL))
				Expect(p.Client.Word(ctx, file("state"))).To(Equal("open"))
			},
			Entry("a word that is no mode", "gentle"),
			Entry("a mode with a tail", "normally"),
			Entry("a number", "1"),
		)

		It("accepts a trailing newline", claim.Clauses("IBNBD-SYSFS-021"), func(ctx SpecContext) {
			Expect(p.Client.Write(ctx, file("unmap_device"), "normal\n")).To(Succeed())
			Eventually(p.Devices).WithContext(ctx).Should(BeEmpty())
		})
	})

	Describe("resize", claim.Clauses("IBNBD-SYSFS-032"), func() {
		It("changes the size of the disk, in sectors of 512 bytes", func(ctx SpecContext) {
			Expect(p.Client.Write(ctx, file("resize"), "2048")).To(Succeed())
			Expect(p.Client.Word(ctx, path.Join("/sys/block", device.Disk, "size"))).To(Equal("2048"))
		})

		It("takes hexadecimal numbers", func(ctx SpecContext) {
			Expect(p.Client.Write(ctx, file("resize"), "0x1000")).To(Succeed())
			Expect(p.Client.Word(ctx, path.Join("/sys/block", device.Disk, "size"))).To(Equal("4096"))
		})

		It("refuses what is no number with EINVAL", func(ctx SpecContext) {
			Expect(p.Client.Write(ctx, file("resize"), "big")).To(MatchError(syscall.EINVAL))
		})

		It("refuses a number that does not fit with ERANGE", func(ctx SpecContext) {
			Expect(p.Client.Write(ctx, file("resize"), "99999999999999999999999")).To(MatchError(syscall.ERANGE))
		})
	})

	It("answers remap_device with EALREADY while it is mapped", claim.Clauses("IBNBD-SYSFS-033"), func(ctx SpecContext) {
		Expect(p.Client.Write(ctx, file("remap_device"), "1")).To(MatchError(syscall.EALREADY))
		Expect(p.Client.Write(ctx, file("remap_device"), "2")).To(MatchError(syscall.EINVAL))
	})

	It("closes its session on both sides when it is the last to be unmapped", kit.Smoke, claim.Clauses("IBNBD-SYSFS-036"), func(ctx SpecContext) {
		second := p.Export(ctx, subject.ExportSpec{})
		r := p.Request(second)
		r.Session = device.Session
		other := p.Map(ctx, r)

		p.Unmap(ctx, other, subject.UnmapNormal)
		Expect(p.ConnectedPaths(ctx, device.Session)).NotTo(BeEmpty(), "one device is left")
		p.Unmap(ctx, device, subject.UnmapNormal)
		Eventually(p.Client.Exists).WithContext(ctx).WithArguments(p.Names().ClientSession(device.Session)).Should(BeFalse())
		Eventually(p.Target.Sessions).WithContext(ctx).Should(BeEmpty())
	})
})
