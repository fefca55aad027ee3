// SPDX-License-Identifier: Apache-2.0

package sysfs

import (
	"path"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/clauses/claim"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/pair"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/conformance/kit"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
)

var _ = Describe("an exported device on the server", pair.Sysfs(clauses.Target), func() {
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

	session := func(file string) string {
		return path.Join(p.TargetNames().ServerSession(export.Disk, device.Session), file)
	}

	It("has a link block_dev to its disk", kit.Smoke, claim.Clauses("IBNBD-SYSFS-027"), func(ctx SpecContext) {
		target := p.Server.Link(ctx, path.Join(p.TargetNames().ServerDevices(), export.Disk, "block_dev"))
		Expect(target).To(HaveSuffix(path.Join("block", export.Disk)))
	})

	It("shows 0 in read_only for a read-write mapping", claim.Clauses("IBNBD-SYSFS-028"), func(ctx SpecContext) {
		Expect(p.Server.Word(ctx, session("read_only"))).To(Equal("0"))
	})

	It("shows 1 in read_only for a read-only mapping", claim.Clauses("IBNBD-SYSFS-028"), func(ctx SpecContext) {
		r := p.Request(p.Export(ctx, subject.ExportSpec{}))
		r.Access = ibnbd.ReadOnly.String()
		d := p.Map(ctx, r)
		file := path.Join(p.TargetNames().ServerSession(path.Base(r.Device), d.Session), "read_only")
		Expect(p.Server.Word(ctx, file)).To(Equal("1"))
	})

	It("shows the path as the client sent it", claim.Clauses("IBNBD-SYSFS-029"), func(ctx SpecContext) {
		Expect(p.Server.Word(ctx, session("mapping_path"))).To(Equal(export.Path))
	})

	It("refuses to write its files that are read-only", claim.Clauses("IBNBD-SYSFS-040"), func(ctx SpecContext) {
		for _, name := range []string{"read_only", "mapping_path"} {
			Expect(p.Server.Mode(ctx, session(name))).To(Equal("0444"))
			Expect(p.Server.Write(ctx, session(name), "x")).NotTo(Succeed())
		}
	})

	It("shows the usage of its writable files when they are read", claim.Clauses("IBNBD-SYSFS-026"), func(ctx SpecContext) {
		Expect(p.Server.Read(ctx, session("force_close"))).To(HavePrefix("Usage:"))
		Expect(p.Server.Read(ctx, path.Join(p.TargetNames().ServerPath(device.Session, p.Path(0)), "disconnect"))).To(HavePrefix("Usage:"))
	})

	It("loses its session with the mapping, and its directory with the last session", kit.Smoke, claim.Clauses("IBNBD-SYSFS-030"), func(ctx SpecContext) {
		other := p.Request(export)
		other.Access = ibnbd.ReadOnly.String()
		second := p.Map(ctx, other)
		dir := path.Join(p.TargetNames().ServerDevices(), export.Disk)

		p.Unmap(ctx, device, subject.UnmapNormal)
		Expect(p.Server.Exists(ctx, p.TargetNames().ServerSession(export.Disk, device.Session))).To(BeFalse())
		Expect(p.Server.Exists(ctx, p.TargetNames().ServerSession(export.Disk, second.Session))).To(BeTrue())

		p.Unmap(ctx, second, subject.UnmapNormal)
		Eventually(p.Server.Exists).WithContext(ctx).WithArguments(dir).Should(BeFalse())
	})

	Describe("force_close", claim.Clauses("IBNBD-SYSFS-034"), func() {
		It("makes later I/O fail", func(ctx SpecContext) {
			Expect(p.ReadAt(ctx, device, make([]byte, 4096), 0)).To(Succeed())
			Expect(p.Server.Write(ctx, session("force_close"), "1")).To(Succeed())
			Expect(p.ReadAt(ctx, device, make([]byte, 4096), 0)).To(MatchError(syscall.EIO))
		})

		It("refuses other text with EINVAL", func(ctx SpecContext) {
			Expect(p.Server.Write(ctx, session("force_close"), "0")).To(MatchError(syscall.EINVAL))
			Expect(p.ReadAt(ctx, device, make([]byte, 4096), 0)).To(Succeed())
		})
	})
})
