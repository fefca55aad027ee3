// SPDX-License-Identifier: Apache-2.0

// Package sysfs has the specs of what an administrator of an initiator in the kernel sees and writes: login strings, and the files of ports,
// SCSI hosts and disks.
package sysfs

import (
	"fmt"
	"net/netip"
	"path"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/conformance/clauses/claim"
	"github.com/ibnbd/ibnbd/conformance/kit"
	"github.com/ibnbd/ibnbd/conformance/srp/pair"
	"github.com/ibnbd/ibnbd/conformance/srp/subject"
	"github.com/ibnbd/ibnbd/conformance/stamp"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/reference/srp"
)

// good are values of parameters that must be taken, at both ends of what is allowed.
var good = []string{
	"max_sect=8", "max_sect=2048", "max_cmd_per_lun=1", "target_can_queue=1", "queue_size=1", "queue_size=128",
	"initiator_ext=00000000000000ff", "cmd_sg_entries=1", "cmd_sg_entries=255", "allow_ext_sg=0", "allow_ext_sg=1",
	"allow_ext_sg=1,sg_tablesize=2048", "sg_tablesize=1", "comp_vector=0", "comp_vector=5", "tl_retry_count=2", "tl_retry_count=7",
	"max_it_iu_size=0", "max_it_iu_size=1024", "ch_count=1", "ch_count=2",
}

// bad are options that must be refused, and for what.
var bad = []struct{ options, why string }{
	{"max_cmd_per_lun=0", "below 1"}, {"target_can_queue=0", "below 1"}, {"queue_size=0", "below 1"}, {"io_class=0200", "neither 0x0100 nor 0xff00"},
	{"cmd_sg_entries=0", "below 1"}, {"cmd_sg_entries=256", "above 255"}, {"allow_ext_sg=x", "no number"}, {"sg_tablesize=0", "below 1"},
	{"sg_tablesize=2049", "above 2048"}, {"tl_retry_count=1", "below 2"}, {"tl_retry_count=8", "above 7"}, {"max_it_iu_size=-1", "negative"},
	{"ch_count=0", "below 1"}, {"queue_size=many", "no number"},
}

var _ = Describe("a login string", pair.OfInitiator, func() {
	var p *pair.Pair

	BeforeEach(func() { p = pair.Current() })

	written := uint64(0) // writes so far: each has contents of its own, for the target's disk keeps them

	// expectWhole expects a port with both disks, which can be written and read.
	expectWhole := func(ctx SpecContext, port subject.Port) {
		GinkgoHelper()
		Expect(port.Disks).To(HaveLen(subject.Units), "disks of %s", port.Name)
		Expect(p.Look(ctx, port)).To(Equal(subject.Look{Port: subject.Running, Disks: p.AllDisks(port, subject.Running)}))
		const size = 4096
		written++
		text := make([]byte, size)
		stamp.Fill(text, 0, stamp.Stamp{Writer: uint64(GinkgoRandomSeed()), Sequence: written})
		Expect(p.WriteAt(ctx, port.Disks[0], text, 0)).To(Succeed())
		back := make([]byte, size)
		Expect(p.ReadAt(ctx, port.Disks[0], back, 0)).To(Succeed())
		Expect(back).To(Equal(text))
	}

	It("connects a target port in one write", kit.Smoke, claim.Clauses("SRP-SYSFS-001", "SRP-SYSFS-002", "SRP-ROB-006"), func(ctx SpecContext) {
		expectWhole(ctx, p.Connect(ctx, 0, ""))
	})

	It("may name the source address", claim.Clauses("SRP-SYSFS-002"), func(ctx SpecContext) {
		expectWhole(ctx, p.Connect(ctx, 1, "src="+p.InitiatorHost.NIC(1).IPv4.Addr().String()))
	})

	It("may have an IPv6 address", claim.Clauses("SRP-SYSFS-002"), func(ctx SpecContext) {
		l := p.Login(0, "")
		l.Dest = netip.AddrPortFrom(p.TargetHost.NIC(0).IPv6.Addr(), srp.DefaultTargetPort)
		port, err := p.Initiator.Connect(ctx, l)
		Expect(err).NotTo(HaveOccurred())
		expectWhole(ctx, port)
	})

	for _, options := range good {
		It("may have "+options, claim.Clauses("SRP-SYSFS-003", "SRP-ROB-006"), func(ctx SpecContext) { expectWhole(ctx, p.Connect(ctx, 0, options)) })
	}

	// refused expects a login string to be refused with an errno, at once, and nothing to be left.
	refused := func(ctx SpecContext, line string, errno syscall.Errno) {
		GinkgoHelper()
		before := p.Left(ctx)
		var err error
		p.WithinTime(ctx, "the write", kit.AtOnce, func() { err = p.Client.Write(ctx, subject.AddTarget(p.InitiatorHost, 0), line) })
		Expect(err).To(MatchError(errno), "add_target <- %q", line)
		Eventually(p.Left).WithContext(ctx).WithTimeout(kit.AtOnce).Should(Equal(before), "what a failed add_target has left")
	}

	for _, b := range bad {
		It("is refused with "+b.options+", "+b.why, claim.Clauses("SRP-SYSFS-003", "SRP-SYSFS-010"),
			func(ctx SpecContext) { refused(ctx, p.Login(0, b.options).Line(), syscall.EINVAL) })
	}

	for _, word := range []string{"speed=1", "queue_size", "queue_size="} {
		It(fmt.Sprintf("is refused with %q", word), claim.Clauses("SRP-SYSFS-004", "SRP-SYSFS-010"),
			func(ctx SpecContext) { refused(ctx, p.Login(0, word).Line(), syscall.EINVAL) })
	}

	It("is refused without a port", claim.Clauses("SRP-SYSFS-006", "SRP-SYSFS-010"), func(ctx SpecContext) {
		refused(ctx, fmt.Sprintf("%s,dest=%s", p.Identity(), p.TargetAddr(0)), syscall.EINVAL)
	})

	It("is refused that lacks a required parameter", claim.Clauses("SRP-SYSFS-005"), func(ctx SpecContext) {
		refused(ctx, p.Identity(), syscall.EINVAL)
	})

	It("is refused a second time", claim.Clauses("SRP-SYSFS-007", "SRP-SYSFS-010"), func(ctx SpecContext) {
		port := p.Connect(ctx, 0, "")
		refused(ctx, p.Login(0, "").Line(), syscall.EEXIST)
		expectWhole(ctx, port)
	})

	It("with another initiator_ext connects the same target port again", claim.Clauses("SRP-SYSFS-007"), func(ctx SpecContext) {
		first := p.Connect(ctx, 0, "")
		expectWhole(ctx, p.Connect(ctx, 0, "initiator_ext=0000000000000002"))
		expectWhole(ctx, first)
	})

	It("in the form of InfiniBand fails cleanly on RoCE", claim.Clauses("SRP-SYSFS-008", "SRP-SYSFS-010"), func(ctx SpecContext) {
		const form = ",dgid=fe800000000000005054000000000001,pkey=ffff,service_id=0000000000000001"
		refused(ctx, p.Identity()+form, syscall.ENODEV)
	})

	It("of a target port that is not there fails cleanly", claim.Clauses("SRP-SYSFS-010"), func(ctx SpecContext) {
		l := p.Login(0, "")
		l.Port = srp.NewPortID(0xdead, 0xbeef, srp.IOClassRev16a)
		refused(ctx, l.Line(), syscall.ECONNRESET)
	})

	It("of an address where nothing listens fails cleanly", claim.Clauses("SRP-SYSFS-010"), func(ctx SpecContext) {
		l := p.Login(0, "")
		l.Dest = netip.AddrPortFrom(l.Dest.Addr(), srp.DefaultTargetPort+1)
		refused(ctx, l.Line(), syscall.ECONNRESET)
	})

	It("of an address that nobody has fails cleanly", claim.Clauses("SRP-SYSFS-010"), func(ctx SpecContext) {
		l := p.Login(0, "")
		l.Dest = netip.AddrPortFrom(p.UnusedAddr(0), srp.DefaultTargetPort)
		refused(ctx, l.Line(), syscall.ENXIO)
	})

	It("of a silent target ends within the limit of an attempt", kit.Takes(80), kit.Extended, claim.Clauses("SRP-SYSFS-009"), func(ctx SpecContext) {
		before := p.Left(ctx)
		p.LoseRDMA(0)
		begin := time.Now()
		Expect(p.Client.Write(ctx, subject.AddTarget(p.InitiatorHost, 0), p.Login(0, "").Line())).NotTo(Succeed())
		p.Measure("add_target to a silent target", time.Since(begin), attemptBound)
		Eventually(p.Left).WithContext(ctx).WithTimeout(kit.AtOnce).Should(Equal(before), "what a failed add_target has left")
	})
})

// longestAttempt is more than an attempt of mainline takes that is not answered: 16 connection requests, 4.86 s apart.
const longestAttempt = 100 * time.Second

// attemptBound is the limit of an attempt that this project has.
var attemptBound = verdict.Bound{Limit: 5*time.Second + kit.AtOnce, Formula: "the limit of an attempt, 5 s, and the time of a LUN scan, less than any timer"}

var _ = Describe("the files of a port", pair.OfInitiator, func() {
	var p *pair.Pair

	BeforeEach(func() { p = pair.Current() })

	It("say what it is", kit.Smoke, claim.Clauses("SRP-SYSFS-011", "SRP-STATE-016"), func(ctx SpecContext) {
		port := p.Connect(ctx, 0, "")
		word := func(file string) string { GinkgoHelper(); return p.Client.Word(ctx, path.Join(port.Dir(), file)) }
		var id string
		for i, b := range subject.TargetPort {
			if i > 0 {
				id += ":"
			}
			id += fmt.Sprintf("%02x", b)
		}
		Expect(word("port_id")).To(Equal(id))
		Expect(word("roles")).To(Equal("SRP Target"))
		Expect(word("state")).To(Equal(subject.Running))
		Expect(word("failed_reconnects")).To(Equal("0"))
		for _, file := range []string{"fast_io_fail_tmo", "dev_loss_tmo", "reconnect_delay"} {
			Expect(word(file)).To(MatchRegexp(`^([0-9]+|off)$`), file)
			Expect(p.Client.Mode(ctx, path.Join(port.Dir(), file))).To(Equal("0644"), file)
		}
		Expect(p.Client.Mode(ctx, path.Join(port.Dir(), "delete"))).To(Equal("0200"))
	})

	It("of a SCSI host say how it is connected", claim.Clauses("SRP-SYSFS-014", "SRP-SYSFS-015"), func(ctx SpecContext) {
		port := p.Connect(ctx, 0, "tl_retry_count=3,cmd_sg_entries=17,ch_count=1,allow_ext_sg=1")
		word := func(file string) string { GinkgoHelper(); return p.Client.Word(ctx, path.Join(port.HostDir(), file)) }
		extension, guid := subject.TargetPort.Split(srp.IOClassRev16a)
		for file, want := range map[string]string{
			"id_ext": fmt.Sprintf("0x%016x", extension), "ioc_guid": fmt.Sprintf("0x%016x", guid),
			"local_ib_device": p.ClientRDMADevice(0), "local_ib_port": "1", "ch_count": "1", "tl_retry_count": "3", "cmd_sg_entries": "17",
			"allow_ext_sg": "true", "zero_req_lim": "0",
		} {
			Expect(word(file)).To(Equal(want), file)
		}
		Expect(word("sgid")).To(MatchRegexp(`^([0-9a-f]{4}:){7}[0-9a-f]{4}$`))
		Expect(word("comp_vector")).To(MatchRegexp(`^[0-9]+$`))
		Expect(word("req_lim")).To(MatchRegexp(`^[1-9][0-9]*$`))
		for _, file := range []string{"service_id", "pkey", "dgid", "orig_dgid"} {
			_, err := p.InitiatorHost.Agent().ReadFile(ctx, path.Join(port.HostDir(), file))
			Expect(err).To(MatchError(syscall.ENOENT), file)
		}
	})

	It("remove its disks at once when delete is written", kit.Smoke, claim.Clauses("SRP-SYSFS-012", "SRP-SYSFS-023"), func(ctx SpecContext) {
		port := p.Connect(ctx, 0, "")
		begin := time.Now()
		Expect(p.Initiator.Delete(ctx, port)).To(Succeed())
		p.Measure("the write to delete", time.Since(begin), verdict.Bound{Limit: time.Second, Formula: "the project's own limit"})
		p.Until(ctx, "port and disks are gone", kit.AtOnce, func() bool { return p.GoneWith(ctx, port) })
		p.Measure("delete to no disks", time.Since(begin), verdict.Bound{Limit: 2 * time.Second, Formula: "the project's own limit"})
	})

	It("remove its disks at once also while the link is down and an attempt runs", kit.Takes(95), kit.Extended, claim.Clauses("SRP-SYSFS-012"), func(ctx SpecContext) {
		port := p.Connect(ctx, 0, pair.Breaks)
		p.Timers(ctx, port, subject.Timers{FastIOFail: subject.Off, DevLoss: subject.Off, ReconnectDelay: time.Second})
		requests := p.CountConnectRequestsOn(0)
		heal := p.LoseRDMA(0)
		p.StartReads(ctx, port.Disks[0], 1, 4096)
		p.Until(ctx, "an attempt runs", p.Detection().Limit+kit.AtOnce, func() bool { return requests() > 0 })
		begin := time.Now()
		Expect(p.Initiator.Delete(ctx, port)).To(Succeed())
		p.Until(ctx, "the disks are gone", longestAttempt, func() bool { return len(p.Look(ctx, port).Disks) == 0 })
		p.Measure("delete to no disks", time.Since(begin), verdict.Bound{Limit: kit.AtOnce, Formula: "less than any timer"})
		heal(ctx)
		p.Until(ctx, "the port is gone", longestAttempt, func() bool { return p.GoneWith(ctx, port) })
		// The target has the old channel still, of whose end it cannot know.
		Expect(p.Target.Stop(ctx)).To(Succeed())
		Expect(p.Target.Start(ctx)).To(Succeed())
	})

	It("may all be there when the initiator is unloaded", kit.Takes(8), claim.Clauses("SRP-SYSFS-021"), func(ctx SpecContext) {
		p.Connect(ctx, 0, "")
		p.Connect(ctx, 1, "")
		// The kernel may have disks open still that it has just found, to look for partitions.
		Eventually(func() string { return p.Client.Word(ctx, "/sys/module/ib_srp/refcnt") }).WithContext(ctx).Should(Equal("0"), "users of the module")
		begin := time.Now()
		Expect(p.Initiator.Stop(ctx)).To(Succeed())
		p.Measure("unload with two connected ports", time.Since(begin), verdict.Bound{Limit: 5 * time.Second, Formula: "how the clause is decided"})
		Expect(p.Initiator.Start(ctx)).To(Succeed())
		Expect(p.Left(ctx)).To(BeEmpty(), "ports and disks after the load")
	})
})
