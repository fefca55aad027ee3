// SPDX-License-Identifier: Apache-2.0

package block

import (
	"path"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/conformance/clauses/claim"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/pair"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/conformance/kit"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
)

var _ = Describe("access modes", func() {
	var (
		p      *pair.Pair
		export subject.Export
	)

	BeforeEach(func(ctx SpecContext) {
		p = pair.Current()
		export = p.Export(ctx, subject.ExportSpec{})
	})

	// mapAs maps the export in a session of its own.
	mapAs := func(ctx SpecContext, mode ibnbd.AccessMode) (subject.Device, error) {
		r := p.Request(export)
		r.Access = mode.String()
		return p.TryMap(ctx, r)
	}
	allowed := func(ctx SpecContext, mode ibnbd.AccessMode) subject.Device {
		GinkgoHelper()
		d, err := mapAs(ctx, mode)
		Expect(err).NotTo(HaveOccurred(), "access mode %q", mode)
		return d
	}
	refused := func(ctx SpecContext, mode ibnbd.AccessMode) {
		GinkgoHelper()
		_, err := mapAs(ctx, mode)
		Expect(err).To(MatchError(syscall.EPERM), "access mode %q", mode)
	}

	It("give a second writer EPERM", kit.Smoke, claim.Clauses("IBNBD-OPEN-007"), func(ctx SpecContext) {
		allowed(ctx, ibnbd.ReadWrite)
		refused(ctx, ibnbd.ReadWrite)
	})

	It("let a migration in beside a writer", kit.Smoke, claim.Clauses("IBNBD-OPEN-008"), func(ctx SpecContext) {
		allowed(ctx, ibnbd.ReadWrite)
		allowed(ctx, ibnbd.Migration)
	})

	It("give a third writer EPERM", claim.Clauses("IBNBD-OPEN-009"), func(ctx SpecContext) {
		allowed(ctx, ibnbd.ReadWrite)
		allowed(ctx, ibnbd.Migration)
		refused(ctx, ibnbd.Migration)
		refused(ctx, ibnbd.ReadWrite)
	})

	It("give a writer after a migration EPERM", claim.Clauses("IBNBD-OPEN-010"), func(ctx SpecContext) {
		allowed(ctx, ibnbd.Migration)
		refused(ctx, ibnbd.ReadWrite)
	})

	It("let readers in beside writers", claim.Clauses("IBNBD-OPEN-011"), func(ctx SpecContext) {
		allowed(ctx, ibnbd.ReadWrite)
		for range 3 {
			allowed(ctx, ibnbd.ReadOnly)
		}
		allowed(ctx, ibnbd.Migration)
	})

	It("let a reader in first and a writer after it", claim.Clauses("IBNBD-OPEN-011"), func(ctx SpecContext) {
		allowed(ctx, ibnbd.ReadOnly)
		allowed(ctx, ibnbd.ReadWrite)
	})

	It("let the next writer in when the last has gone", claim.Clauses("IBNBD-OPEN-019"), func(ctx SpecContext) {
		first := allowed(ctx, ibnbd.ReadWrite)
		refused(ctx, ibnbd.ReadWrite)
		p.Unmap(ctx, first, subject.UnmapNormal)
		allowed(ctx, ibnbd.ReadWrite)
	})

	It("count the writers of a device under all its names", claim.Clauses("IBNBD-OPEN-024"), func(ctx SpecContext) {
		p.Server.Symlink(ctx, "/dev/"+export.Disk, "/run/exports/alias")
		allowed(ctx, ibnbd.ReadWrite)
		r := p.Request(export)
		r.Device = "run/exports/alias"
		_, err := p.TryMap(ctx, r)
		Expect(err).To(MatchError(syscall.EPERM))
	})

	It("make the disk of a read-only mapping read-only", kit.Smoke, claim.Clauses("IBNBD-OPEN-028"), func(ctx SpecContext) {
		d := allowed(ctx, ibnbd.ReadOnly)
		Expect(p.Client.Word(ctx, path.Join("/sys/block", d.Disk, "ro"))).To(Equal("1"))
		Expect(p.WriteAt(ctx, d, make([]byte, 4096), 0)).To(Or(MatchError(syscall.EPERM), MatchError(syscall.EACCES), MatchError(syscall.EROFS)))
		Expect(p.ReadAt(ctx, d, make([]byte, 4096), 0)).To(Succeed())
	})
})

var _ = Describe("a device path", func() {
	var p *pair.Pair

	BeforeEach(func() { p = pair.Current() })

	refused := func(ctx SpecContext, device string, errno syscall.Errno) {
		GinkgoHelper()
		r := p.Request(subject.Export{Path: device})
		_, err := p.TryMap(ctx, r)
		Expect(err).To(MatchError(errno), "device path %q", device)
	}

	It("that does not exist gives ENOENT", claim.Clauses("IBNBD-OPEN-003"), func(ctx SpecContext) {
		refused(ctx, "dev/nosuch", syscall.ENOENT)
	})

	DescribeTable("that is no block device gives ENOTBLK", claim.Clauses("IBNBD-OPEN-004"),
		func(ctx SpecContext, device string) { refused(ctx, device, syscall.ENOTBLK) },
		Entry("a directory", "dev"),
		Entry("a regular file", "proc/version"),
		Entry("a character device", "dev/null"),
	)

	DescribeTable("with two dots in a row gives EINVAL", claim.Clauses("IBNBD-OPEN-005"),
		func(ctx SpecContext, device string) { refused(ctx, device, syscall.EINVAL) },
		Entry("at the beginning", "../dev/ram0"),
		Entry("in the middle", "dev/../dev/ram0"),
	)

	It("with two dots inside a name leads nowhere else", claim.Clauses("IBNBD-OPEN-005"), func(ctx SpecContext) {
		_, err := p.TryMap(ctx, p.Request(subject.Export{Path: "dev/a..b"}))
		Expect(err).To(Or(MatchError(syscall.EINVAL), MatchError(syscall.ENOENT)))
	})

	It("of 254 characters is looked up", claim.Clauses("IBNBD-LIM-004"), func(ctx SpecContext) {
		export := p.Export(ctx, subject.ExportSpec{})
		name := p.LongName(254 - len("run/exports/"))
		p.Server.Symlink(ctx, "/dev/"+export.Disk, "/run/exports/"+name)
		r := p.Request(subject.Export{Path: "run/exports/" + name})
		Expect(r.Device).To(HaveLen(254))
		_, err := p.TryMap(ctx, r)
		Expect(err).NotTo(HaveOccurred())
	})
})
