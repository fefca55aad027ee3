// SPDX-License-Identifier: Apache-2.0

package sysfs

import (
	"fmt"
	"path"
	"strings"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/clauses/claim"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/catalogue"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/pair"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/conformance/kit"
)

var _ = Describe("map_device", pair.Sysfs(clauses.Initiator), func() {
	var (
		p       *pair.Pair
		export  subject.Export
		request subject.MapRequest
		file    string
	)

	BeforeEach(func(ctx SpecContext) {
		p = pair.Current()
		export = p.Export(ctx, subject.ExportSpec{})
		request = p.Request(export)
		file = p.Names().MapDevice()
	})

	// line is a good request, the same throughout a spec, which each spec spoils in one place.
	line := func() string { return request.Line() }

	It("shows its usage when read", kit.Smoke, claim.Clauses("IBNBD-SYSFS-001"), func(ctx SpecContext) {
		usage := p.Client.Read(ctx, file)
		Expect(usage).To(HavePrefix("Usage:"))
		for _, named := range []string{"sessname=", " path=", "device_path=", "access_mode=", "ip:<ipv4>", "ip:<ipv6>", "gid:<gid>"} {
			Expect(usage).To(ContainSubstring(named))
		}
		if p.Initiator.Info().Dialect == catalogue.IBNBD {
			Expect(usage).To(ContainSubstring("io_mode="))
		}
	})

	It("creates a disk, its directory and a device node", kit.Smoke, claim.Clauses("IBNBD-SYSFS-002"), func(ctx SpecContext) {
		p.WriteMap(ctx, line()+" access_mode=rw")
		d := p.Mapped(ctx, export)
		Expect(d.Disk).To(MatchRegexp("^%s[0-9]+$", p.Names().DiskPrefix))
		Expect(p.Client.Exists(ctx, d.Node)).To(BeTrue(), "device node %s", d.Node)
		Expect(p.Client.Exists(ctx, path.Join("/sys/block", d.Disk, p.Names().DiskDir))).To(BeTrue())
	})

	It("takes its options in any order, with several spaces between them", claim.Clauses("IBNBD-SYSFS-003"), func(ctx SpecContext) {
		words := strings.Fields(line())
		for i, j := 0, len(words)-1; i < j; i, j = i+1, j-1 {
			words[i], words[j] = words[j], words[i]
		}
		p.WriteMap(ctx, "access_mode=rw  "+strings.Join(words, "   "))
		Expect(p.State(ctx, p.Mapped(ctx, export))).To(Equal("open"))
	})

	DescribeTable("refuses a request with EINVAL",
		func(ctx SpecContext, spoil func(line string) string) {
			bad := spoil(line())
			Expect(p.Client.Write(ctx, file, bad)).To(MatchError(syscall.EINVAL), "map_device accepted %q", bad)
			Expect(p.Devices(ctx)).To(BeEmpty(), "after %q", bad)
		},
		Entry("without sessname", claim.Clauses("IBNBD-SYSFS-004"), without("sessname")),
		Entry("without device_path", claim.Clauses("IBNBD-SYSFS-004"), without("device_path")),
		Entry("with an option that is unknown", claim.Clauses("IBNBD-SYSFS-005"), with("colour=red")),
		Entry("with a word that is no option", claim.Clauses("IBNBD-SYSFS-005"), with("garbage")),
		Entry("with nothing but spaces", claim.Clauses("IBNBD-SYSFS-004"), func(string) string { return "   " }),
		Entry("with an empty sessname", claim.Clauses("IBNBD-SYSFS-004"), replace("sessname", "")),
		Entry("with an empty device_path", claim.Clauses("IBNBD-SYSFS-004"), replace("device_path", "")),
		Entry("with an access mode that is unknown", claim.Clauses("IBNBD-SYSFS-006"), with("access_mode=wo")),
		Entry("with an access mode that is empty", claim.Clauses("IBNBD-SYSFS-006"), with("access_mode=")),
		Entry("with an access mode that only begins right", claim.Clauses("IBNBD-SYSFS-006"), with("access_mode=row")),
		Entry("with an io mode that is unknown", claim.Clauses("IBNBD-SYSFS-007"), with("io_mode=netio")),
		Entry("with a sessname of 300 characters", claim.Clauses("IBNBD-SYSFS-017"), replace("sessname", strings.Repeat("s", 300))),
	)

	It("refuses a sessname of 255 characters, unless it is a foreign client that cuts it to 254", claim.Clauses("IBNBD-SYSFS-017"), func(ctx SpecContext) {
		err := p.Client.Write(ctx, file, replace("sessname", strings.Repeat("s", 255))(line()))
		if err == nil && !p.Initiator.Info().Own {
			Expect(p.Mapped(ctx, export).Session).To(HaveLen(254))
			return
		}
		Expect(err).To(MatchError(syscall.EINVAL))
		Expect(p.Devices(ctx)).To(BeEmpty())
	})

	DescribeTable("refuses an address",
		func(ctx SpecContext, addr string) {
			bad := replace("path", addr)(line())
			err := p.Client.Write(ctx, file, bad)
			Expect(err).To(Or(MatchError(syscall.EINVAL), MatchError(syscall.EPROTONOSUPPORT)), "map_device on %q", bad)
			Expect(p.Devices(ctx)).To(BeEmpty())
		},
		Entry("without a prefix", claim.Clauses("IBNBD-SYSFS-012"), "10.0.0.1"),
		Entry("with an unknown prefix", claim.Clauses("IBNBD-SYSFS-012"), "mac:52:54:00:00:00:01"),
		Entry("with too large a number", claim.Clauses("IBNBD-SYSFS-012"), "ip:10.0.0.256"),
		Entry("with text after it", claim.Clauses("IBNBD-SYSFS-012"), "ip:10.0.0.1x"),
		Entry("that is empty", claim.Clauses("IBNBD-SYSFS-012"), "ip:"),
		Entry("with a source that has no prefix", claim.Clauses("IBNBD-SYSFS-012"), "10.0.0.2,ip:10.0.0.1"),
	)

	It("gives EEXIST for a device that the session has mapped", kit.Smoke, claim.Clauses("IBNBD-SYSFS-010"), func(ctx SpecContext) {
		p.WriteMap(ctx, line())
		Expect(p.Client.Write(ctx, file, line())).To(MatchError(syscall.EEXIST))
		Expect(p.Devices(ctx)).To(HaveLen(1))
	})

	It("gives ENOENT for a device that the server does not have", kit.Smoke, claim.Clauses("IBNBD-SYSFS-011"), func(ctx SpecContext) {
		Expect(p.Client.Write(ctx, file, replace("device_path", "dev/nosuch")(line()))).To(MatchError(syscall.ENOENT))
		Expect(p.Devices(ctx)).To(BeEmpty())
	})

	It("maps read-write when no access mode is given", claim.Clauses("IBNBD-SYSFS-008"), func(ctx SpecContext) {
		p.WriteMap(ctx, line())
		d := p.Mapped(ctx, export)
		Expect(p.Client.Word(ctx, path.Join("/sys/block", d.Disk, "ro"))).To(Equal("0"))
		p.WriteStamped(ctx, d, 0, 4096)
		p.VerifyStampedOnExport(ctx, export)
	})

	It("accepts IPv6 addresses", claim.Clauses("IBNBD-SYSFS-013"), func(ctx SpecContext) {
		r := request
		r.Paths = []subject.PathAddr{p.Path6(0)}
		p.WriteMap(ctx, r.Line())
		Expect(p.ConnectedPaths(ctx, r.Session)).To(ConsistOf(p.Path6(0)))
	})

	// RoCE has no native InfiniBand addressing, so a GID that is understood leads to no device there.
	It("understands a GID", claim.Clauses("IBNBD-SYSFS-013"), func(ctx SpecContext) {
		gid := p.GID(p.Path6(0).Destination)
		Expect(p.Client.Write(ctx, file, replace("path", "gid:"+gid)(line()))).To(Or(Succeed(), MatchError(syscall.ENODEV)))
		Expect(p.Client.Write(ctx, file, replace("path", "gid:"+gid+":7")(line()))).To(MatchError(syscall.EINVAL), "a group too many")
	})

	It("binds the source address of path=src,dst", claim.Clauses("IBNBD-SYSFS-014"), func(ctx SpecContext) {
		r := request
		r.Paths = []subject.PathAddr{p.Path(1)}
		p.WriteMap(ctx, r.Line())
		Expect(p.ConnectedPaths(ctx, r.Session)).To(ConsistOf(p.Path(1)))
		Expect(p.TargetHasPath(ctx, r.Session, p.Path(1))).To(BeTrue(), "the server sees the same pair")
	})

	It("accepts path=src@dst as well", claim.Clauses("IBNBD-SYSFS-015"), func(ctx SpecContext) {
		addr := p.Path(0)
		p.WriteMap(ctx, replace("path", fmt.Sprintf("ip:%s@ip:%s", addr.Source, addr.Destination))(line()))
		Expect(p.State(ctx, p.Mapped(ctx, export))).To(Equal("open"))
	})

	It("chooses the source by routing when only a destination is given", claim.Clauses("IBNBD-SYSFS-013"), func(ctx SpecContext) {
		r := request
		r.Paths = []subject.PathAddr{{Destination: p.Path(0).Destination}}
		p.WriteMap(ctx, r.Line())
		Expect(p.State(ctx, p.Mapped(ctx, export))).To(Equal("open"))
	})

	It("refuses more paths than it supports", claim.Clauses("IBNBD-SYSFS-016"), func(ctx SpecContext) {
		r := request
		for range 7 {
			r.Paths = append(r.Paths, p.Path(0))
		}
		Expect(p.Client.Write(ctx, file, r.Line())).NotTo(Succeed())
		Expect(p.Devices(ctx)).To(BeEmpty())
	})

	It("refuses a request without a path for a session that is not there", claim.Clauses("IBNBD-SYSFS-041"), func(ctx SpecContext) {
		bad := without("path")(line())
		Expect(p.Client.Write(ctx, file, bad)).To(Or(MatchError(syscall.EINVAL), MatchError(syscall.ENXIO)), "map_device on %q", bad)
		Expect(p.Devices(ctx)).To(BeEmpty())
	})

	It("connects a path for each of its paths", claim.Clauses("IBNBD-SYSFS-039"), func(ctx SpecContext) {
		r := request
		r.Paths = []subject.PathAddr{p.Path(0), p.Path(1)}
		p.WriteMap(ctx, r.Line())
		Expect(p.ConnectedPaths(ctx, r.Session)).To(ConsistOf(r.Paths))
		for _, addr := range r.Paths {
			Expect(p.TargetHasPath(ctx, r.Session, addr)).To(BeTrue(), "the server has %v", addr)
		}
	})

	It("uses the session that is there for a second device", claim.Clauses("IBNBD-SYSFS-035"), func(ctx SpecContext) {
		r := request
		p.WriteMap(ctx, r.Line())
		second := p.Export(ctx, subject.ExportSpec{})
		requests := p.CountConnectRequests()
		r.Device = second.Path
		p.WriteMap(ctx, r.Line())
		Expect(p.State(ctx, p.Mapped(ctx, second))).To(Equal("open"))
		Expect(requests()).To(BeZero(), "CM connection requests on the rails while the second device was mapped")
	})
})

// with adds an option to a request.
func with(option string) func(string) string {
	return func(line string) string { return line + " " + option }
}

// without takes an option out of a request.
func without(option string) func(string) string {
	return func(line string) string {
		var kept []string
		for _, word := range strings.Fields(line) {
			if !strings.HasPrefix(word, option+"=") {
				kept = append(kept, word)
			}
		}
		return strings.Join(kept, " ")
	}
}

// replace changes the value of an option of a request.
func replace(option, value string) func(string) string {
	return func(line string) string { return without(option)(line) + " " + option + "=" + value }
}
