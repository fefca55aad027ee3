// SPDX-License-Identifier: Apache-2.0

package sysfs

import (
	"path"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/clauses/claim"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/pair"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/conformance/kit"
)

var _ = Describe("a session on the server", pair.Sysfs(clauses.Target), func() {
	var (
		p      *pair.Pair
		device subject.Device
	)

	BeforeEach(func(ctx SpecContext) {
		p = pair.Current()
		device = p.Map(ctx, p.Request(p.Export(ctx, subject.ExportSpec{})))
	})

	pathFile := func(file string) string {
		return path.Join(p.TargetNames().ServerPath(device.Session, p.Path(0)), file)
	}

	It("names its path client@server", kit.Smoke, claim.Clauses("IBTRS-SYSFS-016"), func(ctx SpecContext) {
		Expect(p.Server.Exists(ctx, p.TargetNames().ServerPath(device.Session, p.Path(0)))).To(BeTrue())
	})

	It("shows the client's address first", claim.Clauses("IBTRS-SYSFS-019"), func(ctx SpecContext) {
		Expect(p.Server.Word(ctx, pathFile("src_addr"))).To(Equal("ip:" + p.Path(0).Source.String()))
		Expect(p.Server.Word(ctx, pathFile("dst_addr"))).To(Equal("ip:" + p.Path(0).Destination.String()))
	})

	It("shows its device and port", claim.Clauses("IBTRS-SYSFS-018"), func(ctx SpecContext) {
		Expect(p.Server.Word(ctx, pathFile("hca_name"))).To(Equal(p.ServerRDMADevice(0)))
		Expect(p.Server.Word(ctx, pathFile("hca_port"))).To(Equal("1"))
	})

	It("closes the path after disconnect", claim.Clauses("IBTRS-SYSFS-017"), func(ctx SpecContext) {
		Expect(p.Target.Disconnect(ctx, device.Session, p.Path(0))).To(Succeed())
		Eventually(p.Server.Exists).WithContext(ctx).WithArguments(p.TargetNames().ServerPath(device.Session, p.Path(0))).Should(BeFalse())
		Eventually(p.State).WithContext(ctx).WithArguments(device).Should(Equal("closed"))
	})
})
