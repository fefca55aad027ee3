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
	"github.com/ibnbd/ibnbd/conformance/ibnbd/pair"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/conformance/kit"
)

var _ = Describe("a session on the client", pair.Sysfs(clauses.Initiator), func() {
	var (
		p      *pair.Pair
		device subject.Device
	)

	BeforeEach(func(ctx SpecContext) {
		p = pair.Current()
		device = p.Map(ctx, p.Request(p.Export(ctx, subject.ExportSpec{})))
	})

	session := func(file string) string { return path.Join(p.Names().ClientSession(device.Session), file) }
	pathFile := func(file string) string {
		return path.Join(p.Names().ClientPath(device.Session, p.Path(0)), file)
	}

	It("has a directory named after it", kit.Smoke, claim.Clauses("IBTRS-SYSFS-001"), func(ctx SpecContext) {
		Expect(p.Client.Exists(ctx, p.Names().ClientSession(device.Session))).To(BeTrue())
	})

	It("names the directories of its paths source@destination", claim.Clauses("IBTRS-SYSFS-008"), func(ctx SpecContext) {
		Expect(p.Client.Names(ctx, session("paths"))).To(ConsistOf(path.Base(p.Names().ClientPath(device.Session, p.Path(0)))))
	})

	Describe("max_reconnect_attempts", claim.Clauses("IBTRS-SYSFS-002"), func() {
		DescribeTable("accepts", func(ctx SpecContext, value string) {
			Expect(p.Client.Write(ctx, session("max_reconnect_attempts"), value)).To(Succeed())
			Expect(p.Client.Word(ctx, session("max_reconnect_attempts"))).To(Equal(value))
		},
			Entry("forever", "-1"), Entry("never", "0"), Entry("once", "1"), Entry("the largest number", "9999"),
		)
		DescribeTable("refuses with EINVAL", func(ctx SpecContext, value string) {
			before := p.Client.Word(ctx, session("max_reconnect_attempts"))
			Expect(p.Client.Write(ctx, session("max_reconnect_attempts"), value)).To(MatchError(syscall.EINVAL))
			Expect(p.Client.Word(ctx, session("max_reconnect_attempts"))).To(Equal(before))
		},
			Entry("a number below -1", "-2"), Entry("a number above 9999", "10000"), Entry("text", "many"), Entry("nothing", "\n"),
		)
	})

	Describe("mpath_policy", func() {
		DescribeTable("accepts a policy by its names, ignoring case, and shows it", claim.Clauses("IBTRS-SYSFS-003", "IBTRS-SYSFS-004"),
			func(ctx SpecContext, written, shown string) {
				Expect(p.Client.Write(ctx, session("mpath_policy"), written)).To(Succeed())
				Expect(p.Client.Word(ctx, session("mpath_policy"))).To(Equal(shown))
			},
			Entry("0", "0", "round-robin (RR: 0)"),
			Entry("rr", "rr", "round-robin (RR: 0)"),
			Entry("RR", "RR", "round-robin (RR: 0)"),
			Entry("Round-Robin", "Round-Robin", "round-robin (RR: 0)"),
			Entry("1", "1", "min-inflight (MI: 1)"),
			Entry("mi", "mi", "min-inflight (MI: 1)"),
			Entry("min-inflight", "min-inflight", "min-inflight (MI: 1)"),
			Entry("with a newline", "rr\n", "round-robin (RR: 0)"),
		)
		DescribeTable("refuses other text with EINVAL and keeps its value", claim.Clauses("IBTRS-SYSFS-005"),
			func(ctx SpecContext, text string) {
				before := p.Client.Word(ctx, session("mpath_policy"))
				Expect(p.Client.Write(ctx, session("mpath_policy"), text)).To(MatchError(syscall.EINVAL))
				Expect(p.Client.Word(ctx, session("mpath_policy"))).To(Equal(before))
			},
			Entry("a number that is no policy", "7"), Entry("a word", "fastest"), Entry("a negative number", "-1"),
		)
	})

	Describe("add_path", func() {
		It("shows its usage when read", claim.Clauses("IBTRS-SYSFS-006"), func(ctx SpecContext) {
			Expect(p.Client.Read(ctx, session("add_path"))).To(HavePrefix("Usage:"))
		})
		DescribeTable("refuses a malformed address with EINVAL", claim.Clauses("IBTRS-SYSFS-006"),
			func(ctx SpecContext, text string) {
				Expect(p.Client.Write(ctx, session("add_path"), text)).To(MatchError(syscall.EINVAL))
				Expect(p.Initiator.Paths(ctx, device.Session)).To(HaveLen(1))
			},
			Entry("no prefix", "10.0.1.1"), Entry("half an address", "ip:10.0.1"), Entry("an empty address", "ip:"), Entry("garbage", "here"),
		)
		It("gives EEXIST for a pair of addresses that is there", claim.Clauses("IBTRS-SYSFS-007"), func(ctx SpecContext) {
			Expect(p.Initiator.AddPath(ctx, device.Session, p.Path(0))).To(MatchError(syscall.EEXIST))
		})
	})

	Describe("a path", func() {
		It("shows the state connected", kit.Smoke, claim.Clauses("IBTRS-SYSFS-009"), func(ctx SpecContext) {
			Expect(p.Client.Word(ctx, pathFile("state"))).To(Equal("connected"))
		})

		It("shows the state disconnected after disconnect", claim.Clauses("IBTRS-SYSFS-009"), func(ctx SpecContext) {
			Expect(p.Client.Write(ctx, pathFile("disconnect"), "1")).To(Succeed())
			Expect(p.Client.Word(ctx, pathFile("state"))).To(Equal("disconnected"))
		})

		DescribeTable("takes nothing but 1 in", claim.Clauses("IBTRS-SYSFS-010"),
			func(ctx SpecContext, file string) {
				Expect(p.Client.Read(ctx, pathFile(file))).To(HavePrefix("Usage:"))
				for _, text := range []string{"0", "2", "yes", "-1"} {
					Expect(p.Client.Write(ctx, pathFile(file), text)).To(MatchError(syscall.EINVAL), "%s <- %q", file, text)
				}
				Expect(p.Client.Word(ctx, pathFile("state"))).To(Equal("connected"))
			},
			Entry("reconnect", "reconnect"), Entry("disconnect", "disconnect"), Entry("remove_path", "remove_path"),
		)

		It("is gone when remove_path returns", claim.Clauses("IBTRS-SYSFS-012"), func(ctx SpecContext) {
			Expect(p.Initiator.AddPath(ctx, device.Session, p.Path(1))).To(Succeed())
			Expect(p.Initiator.RemovePath(ctx, device.Session, p.Path(1))).To(Succeed())
			Expect(p.Client.Exists(ctx, p.Names().ClientPath(device.Session, p.Path(1)))).To(BeFalse())
		})

		It("shows its device and port", claim.Clauses("IBTRS-SYSFS-018"), func(ctx SpecContext) {
			Expect(p.Client.Word(ctx, pathFile("hca_name"))).To(Equal(p.ClientRDMADevice(0)))
			Expect(p.Client.Word(ctx, pathFile("hca_port"))).To(Equal("1"))
		})

		It("shows its addresses", claim.Clauses("IBTRS-SYSFS-008"), func(ctx SpecContext) {
			Expect(p.Client.Word(ctx, pathFile("src_addr"))).To(Equal("ip:" + p.Path(0).Source.String()))
			Expect(p.Client.Word(ctx, pathFile("dst_addr"))).To(Equal("ip:" + p.Path(0).Destination.String()))
		})

		It("counts no reconnects after the first connect", claim.Clauses("IBTRS-SYSFS-013"), func(ctx SpecContext) {
			Expect(p.Client.Word(ctx, pathFile("stats/reconnects"))).To(Equal("0 0"))
		})

		It("counts in stats/reconnects each time that it is connected again", claim.Clauses("IBTRS-SYSFS-022"), func(ctx SpecContext) {
			for again := range 2 {
				Expect(p.Initiator.DisconnectPath(ctx, device.Session, p.Path(0))).To(Succeed())
				Expect(p.Initiator.ReconnectPath(ctx, device.Session, p.Path(0))).To(Succeed())
				Expect(p.Client.Word(ctx, pathFile("stats/reconnects"))).To(Equal(fmt.Sprint(again+1, " 0")))
			}
		})

		It("counts in stats/reconnects each attempt that failed, by itself", claim.Clauses("IBTRS-SYSFS-023"), func(ctx SpecContext) {
			Expect(p.Initiator.DisconnectPath(ctx, device.Session, p.Path(0))).To(Succeed())
			p.StopTarget(ctx)
			DeferCleanup(p.StartTarget)
			for failed := range 2 {
				Expect(p.Initiator.ReconnectPath(ctx, device.Session, p.Path(0))).NotTo(Succeed())
				Expect(p.Client.Word(ctx, pathFile("stats/reconnects"))).To(Equal(fmt.Sprint("0 ", failed+1)))
				Expect(p.Initiator.DisconnectPath(ctx, device.Session, p.Path(0))).To(Succeed())
			}
		})

		It("has six numbers in stats/rdma, which count the I/O", claim.Clauses("IBTRS-SYSFS-014"), func(ctx SpecContext) {
			before := p.RDMAStats(ctx, device.Session, p.Path(0))
			Expect(before).To(HaveLen(6))
			Expect(p.ReadAt(ctx, device, make([]byte, 4096), 0)).To(Succeed())
			after := p.RDMAStats(ctx, device.Session, p.Path(0))
			Expect(after[0]-before[0]).To(BeNumerically(">=", 1), "reads")
			Expect(after[1]-before[1]).To(BeNumerically(">=", 4096), "bytes read")
		})

		DescribeTable("resets a statistics file when 1 is written", claim.Clauses("IBTRS-SYSFS-015"),
			func(ctx SpecContext, file string, want string) {
				Expect(p.ReadAt(ctx, device, make([]byte, 4096), 0)).To(Succeed())
				Expect(p.Client.Write(ctx, pathFile(file), "1")).To(Succeed())
				if want != "" {
					Expect(strings.TrimSpace(p.Client.Word(ctx, pathFile(file)))).To(Equal(want))
				}
				Expect(p.Client.Write(ctx, pathFile(file), "x")).To(MatchError(syscall.EINVAL))
			},
			Entry("rdma", "stats/rdma", "0 0 0 0 0 0"),
			Entry("reconnects", "stats/reconnects", "0 0"),
			Entry("everything", "stats/reset_all", ""),
		)
	})
})
