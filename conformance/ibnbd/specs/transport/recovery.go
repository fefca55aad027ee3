// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"path"
	"strconv"
	"strings"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/clauses/claim"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/pair"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/conformance/kit"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/specreport"
	"github.com/ibnbd/ibnbd/vm/fabric"
)

// How paths end and come back, one step at a time.

var _ = Describe("recovery", func() {
	var p *pair.Pair

	BeforeEach(func() { p = pair.Current() })

	mapSlow := func(ctx SpecContext, latency time.Duration, paths ...subject.PathAddr) subject.Device {
		GinkgoHelper()
		r := p.Request(p.Export(ctx, subject.ExportSpec{Latency: latency}))
		r.Paths = paths
		d := p.Map(ctx, r)
		Expect(p.Initiator.SetPolicy(ctx, d.Session, "rr")).To(Succeed())
		return d
	}
	pathFile := func(d subject.Device, rail int, file string) string {
		return path.Join(p.Names().ClientPath(d.Session, p.Path(rail)), file)
	}

	It("closes a device with its last path and opens it with the first", claim.Clauses("IBTRS-PATH-015", "IBTRS-PATH-001"), func(ctx SpecContext) {
		d := mapSlow(ctx, 0, p.Path(0), p.Path(1))
		Expect(p.Initiator.DisconnectPath(ctx, d.Session, p.Path(0))).To(Succeed())
		Expect(p.State(ctx, d)).To(Equal("open"))
		Expect(p.Initiator.DisconnectPath(ctx, d.Session, p.Path(1))).To(Succeed())
		Eventually(p.State).WithContext(ctx).WithTimeout(kit.AtOnce).WithArguments(d).Should(Equal("closed"))
		Expect(p.Initiator.ReconnectPath(ctx, d.Session, p.Path(1))).To(Succeed())
		Eventually(p.State).WithContext(ctx).WithTimeout(kit.AtOnce).WithArguments(d).Should(Equal("open"))
		p.WriteStamped(ctx, d, 0, 4096)
		p.VerifyStamped(ctx, d)
	})

	It("counts the requests that a path took over", pair.Sysfs(clauses.Initiator), claim.Clauses("IBTRS-PATH-014"), func(ctx SpecContext) {
		const failedOver = 5 // of stats/rdma
		const latency = 2 * time.Second
		d := mapSlow(ctx, latency, p.Path(0), p.Path(1))
		before := p.RDMAStats(ctx, d.Session, p.Path(1))
		carried := p.IOCount(ctx, d.Session, p.Path(0)) // of the kernel's own, when it met the disk
		reads := p.StartReads(ctx, d, 8, 4096)
		Eventually(func() uint64 { return p.IOCount(ctx, d.Session, p.Path(0)) }).WithContext(ctx).WithTimeout(latency / 2).
			WithPolling(10 * time.Millisecond).Should(BeNumerically(">=", carried+4))
		Expect(p.Target.Disconnect(ctx, d.Session, p.Path(0))).To(Succeed())
		Expect(reads.Wait(ctx)).To(HaveEach(BeNil()))
		Expect(p.RDMAStats(ctx, d.Session, p.Path(1))[failedOver]).To(BeNumerically(">", before[failedOver]))
	})

	It("waits for the disk before a path ends, and lets the initiator come back meanwhile", kit.Takes(50),
		claim.Clauses("IBTRS-PATH-021", "IBNBD-FAIL-014"), func(ctx SpecContext) {
			const latency = 2 * time.Second
			d := mapSlow(ctx, latency, p.Path(0))
			watch := p.Watch(ctx, d)
			carried := p.IOCount(ctx, d.Session, p.Path(0))
			begin := time.Now()
			reads := p.StartReads(ctx, d, 4, 4096)
			Eventually(func() uint64 { return p.IOCount(ctx, d.Session, p.Path(0)) }).WithContext(ctx).WithTimeout(latency / 2).
				WithPolling(10 * time.Millisecond).Should(BeNumerically(">=", carried+4))
			Expect(p.Target.Disconnect(ctx, d.Session, p.Path(0))).To(Succeed())
			p.Until(ctx, "the target has let the path go", subject.DefaultTimers.Teardown, func() bool { return !p.TargetKeepsPath(ctx, d.Session, p.Path(0)) })
			p.Measure("request to end of path", time.Since(begin), verdict.Bound{AtLeast: latency, Limit: latency + kit.AtOnce, Formula: "the disk's latency"})
			reads.Wait(ctx)
			bound := p.Initiator.Timers().Reconnect()
			p.Until(ctx, "the path is connected again", bound.Limit, watch.AllConnected)
			p.WriteStamped(ctx, d, 0, 4096)
			p.VerifyStamped(ctx, d)
		})

	It("says ENOTCONN when an attempt by hand fails", pair.Sysfs(clauses.Initiator), claim.Clauses("IBTRS-SYSFS-011"), func(ctx SpecContext) {
		d := mapSlow(ctx, 0, p.Path(0))
		Expect(p.Initiator.DisconnectPath(ctx, d.Session, p.Path(0))).To(Succeed())
		p.StopTarget(ctx)
		DeferCleanup(p.StartTarget)
		Expect(p.Initiator.ReconnectPath(ctx, d.Session, p.Path(0))).To(MatchError(syscall.ENOTCONN))
	})

	It("takes a path down at once when its peer confirms, also after it was silent", kit.Takes(75), kit.Extended,
		claim.Clauses("IBTRS-PATH-023"), func(ctx SpecContext) {
			d := mapSlow(ctx, 0, p.Path(0))
			disconnect := func() { Expect(p.Initiator.DisconnectPath(ctx, d.Session, p.Path(0))).To(Succeed()) }
			p.Mark("fault: RDMA is lost both ways")
			heal := p.Inject(0, fabric.Fault{Match: fabric.IsRoCE(), Action: fabric.Drop{}})
			disconnect()
			p.Mark("heal")
			heal(ctx)
			p.Until(ctx, "the target has let the path go", p.Initiator.Timers().Detection().Limit, func() bool { return !p.TargetKeepsPath(ctx, d.Session, p.Path(0)) })
			Expect(p.Initiator.ReconnectPath(ctx, d.Session, p.Path(0))).To(Succeed())
			p.WithinTime(ctx, "end of a path whose peer confirms", kit.AtOnce, disconnect)
		})

	It("makes as many attempts as it was allowed, and no more", pair.Sysfs(clauses.Initiator), kit.Takes(130),
		claim.Clauses("IBTRS-PATH-007", "IBTRS-PATH-008"), func(ctx SpecContext) {
			const allowed = 2
			never, twice := mapSlow(ctx, 0, p.Path(0)), mapSlow(ctx, 0, p.Path(1))
			for d, attempts := range map[subject.Device]int{never: 0, twice: allowed} {
				file := path.Join(p.Names().ClientSession(d.Session), "max_reconnect_attempts")
				Expect(p.Client.Write(ctx, file, strconv.Itoa(attempts))).To(Succeed())
			}
			none, some := p.CountConnectRequestsOn(0), p.CountConnectRequestsOn(1)
			p.Mark("the target stops")
			p.StopTarget(ctx)
			DeferCleanup(p.StartTarget)
			t := p.Initiator.Timers()
			p.Until(ctx, "all attempts were made", allowed*t.Reconnect().Limit, func() bool {
				Expect(none()).To(BeZero(), "attempts of a session that may not make any")
				return some() >= allowed
			})
			// Whoever wanted to try once more would do so within one pause.
			Consistently(some).WithContext(ctx).WithTimeout(t.Pause().Limit).Should(BeEquivalentTo(allowed), "attempts")
			Expect(none()).To(BeZero(), "attempts of a session that may not make any")
			Expect(p.State(ctx, never)).To(Equal("closed"))
			Expect(p.State(ctx, twice)).To(Equal("closed"))
		})

	It("counts its attempts anew when one has succeeded", pair.Sysfs(clauses.Initiator), kit.Takes(75), claim.Clauses("IBTRS-PATH-028"), func(ctx SpecContext) {
		d := mapSlow(ctx, 0, p.Path(0))
		Expect(p.Client.Write(ctx, path.Join(p.Names().ClientSession(d.Session), "max_reconnect_attempts"), "1")).To(Succeed())
		watch := p.Watch(ctx, d)
		for i := range int64(2) {
			p.Mark("the target disconnects the path")
			Expect(p.Target.Disconnect(ctx, d.Session, p.Path(0))).To(Succeed())
			p.Until(ctx, "the path is lost", kit.AtOnce, func() bool { return !watch.Connected(p.Path(0)) })
			p.Until(ctx, "the one attempt has connected it", p.Initiator.Timers().Reconnect().Limit, watch.AllConnected)
			Eventually(p.State).WithContext(ctx).WithTimeout(kit.AtOnce).WithArguments(d).Should(Equal("open"))
			p.WriteStamped(ctx, d, i*4096, 4096)
		}
		p.VerifyStamped(ctx, d)
	})

	It("survives the removal of the RDMA device below a path", kit.Takes(35), claim.Clauses("IBTRS-PATH-022"), func(ctx SpecContext) {
		if p.Initiator.Info().Userland {
			specreport.Skip(verdict.AbilityMissing, "soft-RoCE lets no device go that a program has open")
		}
		d := mapSlow(ctx, 0, p.Path(0), p.Path(1))
		probe := p.Probe(ctx, d, kit.ProbeOptions{Write: true})
		watch := p.Watch(ctx, d)
		putBack := p.RemoveRDMADevice(ctx, 0)
		p.Until(ctx, "the path is seen to be lost", kit.AtOnce, func() bool { return !watch.Connected(p.Path(0)) })
		probe.Await(ctx, 20)
		putBack(ctx)
		ios := probe.Stop(ctx)
		Expect(ios.Errors()).To(BeEmpty())
		p.VerifyWrites(ctx, ios, d)
	})

	It("prefers the path with the shorter way under min-latency", pair.Sysfs(clauses.Initiator), kit.Takes(20),
		claim.Clauses("IBTRS-HB-010", "IBTRS-MP-004"), func(ctx SpecContext) {
			const detour = 200 * time.Millisecond
			d := mapSlow(ctx, 0, p.Path(0), p.Path(1))
			p.Inject(0, fabric.Fault{Match: fabric.ToPort(p.TargetHost.Name()), Action: fabric.Delay{Base: detour, InOrder: true}})
			latency := func(rail int) time.Duration {
				latency, err := time.ParseDuration(strings.ReplaceAll(p.Client.Word(ctx, pathFile(d, rail, "cur_latency")), " ", ""))
				Expect(err).NotTo(HaveOccurred())
				return latency
			}
			p.Until(ctx, "both paths have measured their way", p.Initiator.Timers().Detection().Limit, func() bool {
				return latency(0) >= detour && latency(1) > 0
			})
			Expect(latency(1)).To(BeNumerically("<", latency(0)))
			Expect(p.Initiator.SetPolicy(ctx, d.Session, "ml")).To(Succeed())
			before := p.IOCount(ctx, d.Session, p.Path(0))
			for i := range int64(16) {
				p.WriteStamped(ctx, d, i*4096, 4096)
			}
			p.VerifyStamped(ctx, d)
			Expect(p.IOCount(ctx, d.Session, p.Path(0))).To(Equal(before), "requests on the longer way")
		})
})
