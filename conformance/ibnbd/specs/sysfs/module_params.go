// SPDX-License-Identifier: Apache-2.0

package sysfs

import (
	"strings"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/clauses/claim"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/pair"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
)

var _ = Describe("the parameters of the server", func() {
	var p *pair.Pair

	BeforeEach(func() { p = pair.Current() })

	It("have / as the search path, which cannot be changed at run time", pair.Sysfs(clauses.Target), claim.Clauses("IBNBD-SYSFS-031"), func(ctx SpecContext) {
		p.RestartTarget(ctx, parameters(p, "", 0))
		file := "/sys/module/" + strings.ReplaceAll(p.TargetNames().BlockServer, "-", "_") + "/parameters/dev_search_path"
		Expect(p.Server.Word(ctx, file)).To(Equal("/"))
		Expect(p.Server.Mode(ctx, file)).To(Equal("0444"))
	})

	It("put the search path in front of a device path and take double slashes out", claim.Clauses("IBNBD-OPEN-016"), func(ctx SpecContext) {
		p.RestartTarget(ctx, parameters(p, "/dev//", 0))
		export := p.Export(ctx, subject.ExportSpec{})
		r := p.Request(export)
		r.Device = "/" + export.Disk
		Expect(p.State(ctx, p.Map(ctx, r))).To(Equal("open"))
	})

	It("put the session's name for %SESSNAME%", claim.Clauses("IBNBD-OPEN-017"), func(ctx SpecContext) {
		p.RestartTarget(ctx, parameters(p, "/run/exports/%SESSNAME%", 0))
		mine, hidden := p.Export(ctx, subject.ExportSpec{}), p.Export(ctx, subject.ExportSpec{})
		r := p.Request(mine)
		r.Device = "disk"
		p.Server.Symlink(ctx, "/dev/"+mine.Disk, "/run/exports/"+r.Session+"/disk")
		p.Server.Symlink(ctx, "/dev/"+hidden.Disk, "/run/exports/another/hidden")
		Expect(p.State(ctx, p.Map(ctx, r))).To(Equal("open"))

		r.Device = "hidden"
		_, err := p.Initiator.Map(ctx, r)
		Expect(err).To(MatchError(syscall.ENOENT), "a name of another session's space")
	})

	It("refuse to load with a search path of 4096 characters", pair.Sysfs(clauses.Target), claim.Clauses("IBNBD-SYSFS-031", "IBTRS-SYSFS-020"), func(ctx SpecContext) {
		err := p.TryTarget(ctx, parameters(p, "/"+strings.Repeat("x", 4095), 0))
		Expect(err).To(HaveOccurred())
	})

	DescribeTable("refuse to load with a queue depth out of range", pair.Sysfs(clauses.Target), claim.Clauses("IBTRS-SYSFS-020"),
		func(ctx SpecContext, depth int) {
			err := p.TryTarget(ctx, parameters(p, "", depth))
			Expect(err).To(MatchError(syscall.EINVAL))
		},
		Entry("negative", -1),
		Entry("65536", 65536),
		Entry("a depth that does not fit into the immediate beside the chunk size", 65535),
	)
})

// parameters are those that the target serves with, but for the search path and the queue depth.
func parameters(p *pair.Pair, searchPath string, queueDepth int) subject.TargetOptions {
	opts := p.TargetOptions()
	opts.SearchPath, opts.QueueDepth = searchPath, queueDepth
	return opts
}
