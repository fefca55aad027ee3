// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"context"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/conformance/clauses/claim"
	"github.com/ibnbd/ibnbd/conformance/kit"
	"github.com/ibnbd/ibnbd/conformance/srp/pair"
	"github.com/ibnbd/ibnbd/conformance/srp/subject"
	"github.com/ibnbd/ibnbd/vm"
	"github.com/ibnbd/ibnbd/vm/agent"
	"github.com/ibnbd/ibnbd/vm/fabric"
)

// soon has attempts follow each other quickly, and I/O wait for them.
var soon = subject.Timers{FastIOFail: 60 * time.Second, DevLoss: subject.Off, ReconnectDelay: time.Second}

// killAll kills every process but init, the agent, which is the parent, and the shell itself. What has no command line is the kernel's.
const killAll = `for d in /proc/[0-9]*; do p=${d#/proc/}
[ "$p" = 1 ] || [ "$p" = "$PPID" ] || [ "$p" = "$$" ] || [ -z "$(tr -d '\0' 2>/dev/null < "$d/cmdline")" ] || kill -9 "$p"
done`

var _ = Describe("a lost port is reconnected", pair.OfInitiator, func() {
	var p *pair.Pair

	BeforeEach(func() { p = pair.Current() })

	It("when every user process has been killed", kit.Takes(8), claim.Clauses("SRP-RECON-003"), func(ctx SpecContext) {
		port := p.Connect(ctx, 0, "")
		p.Timers(ctx, port, soon)
		watch := p.Watch(ctx, port)
		bystander, err := p.InitiatorHost.Agent().Start(ctx, agent.Command{Path: "sleep", Args: []string{"1000"}})
		Expect(err).NotTo(HaveOccurred())
		lost := p.Mark("the target disconnects")
		enable := disable(ctx, p)
		p.Until(ctx, "the loss is seen", kit.AtOnce, func() bool { return watch.PortAfter(lost, subject.Blocked).After(lost) })
		p.Mark("all processes are killed")
		_, err = p.InitiatorHost.Agent().Output(ctx, "sh", "-c", killAll)
		Expect(err).NotTo(HaveOccurred())
		end, err := bystander.Wait()
		Expect(err).NotTo(HaveOccurred())
		Expect(end.Signal).To(Equal(syscall.SIGKILL), "how a process that has nothing to do with it has ended")
		enable(ctx)
		p.Until(ctx, "port and disks run again", slack, func() bool { return watch.Is(subject.Running, subject.Running) })
	})

	It("when the target's address has moved to another MAC address", kit.Takes(20), claim.Clauses("SRP-RECON-017"), func(ctx SpecContext) {
		port := p.Connect(ctx, 0, pair.Breaks)
		p.Timers(ctx, port, soon)
		watch := p.Watch(ctx, port)
		nic := p.TargetHost.NIC(0)
		move := func(ctx context.Context, mac string) {
			GinkgoHelper()
			_, err := p.TargetHost.Agent().Output(ctx, "ip", "link", "set", "dev", nic.Interface, "address", mac)
			Expect(err).NotTo(HaveOccurred())
		}
		lost := p.Mark("the target's address moves")
		DeferCleanup(move, nic.MAC.String())
		move(ctx, movedMAC)
		read := p.StartReads(ctx, port.Disks[0], 1, 4096)
		p.Until(ctx, "the loss is seen", p.Detection().Limit+kit.AtOnce, func() bool { return watch.PortAfter(lost, subject.Blocked).After(lost) })
		p.Until(ctx, "port and disks run again", slack, func() bool { return watch.Is(subject.Running, subject.Running) })
		Expect(read.Wait(ctx)).To(HaveEach(Succeed()))
		// Nothing of this connection must be left that would have to find the old address again.
		Expect(p.Initiator.Delete(ctx, port)).To(Succeed())
		p.Until(ctx, "the port is gone", kit.AtOnce, func() bool { return p.GoneWith(ctx, port) })
		move(ctx, nic.MAC.String())
		Expect(p.Target.Stop(ctx)).To(Succeed())
		Expect(p.Target.Start(ctx)).To(Succeed())
	})

	It("as soon as the initiator's carrier has come back", kit.Takes(25), claim.Clauses("SRP-RECON-026"), func(ctx SpecContext) {
		port := p.Connect(ctx, 0, pair.Breaks)
		p.Timers(ctx, port, subject.Timers{FastIOFail: 300 * time.Second, DevLoss: subject.Off, ReconnectDelay: 120 * time.Second})
		watch := p.Watch(ctx, port)
		requests := p.CountConnectRequestsOn(0)
		p.Mark("loss: the carrier")
		heal := p.LoseCarrier(0)
		p.StartReads(ctx, port.Disks[0], 1, 4096)
		p.Until(ctx, "the port is blocked", p.Detection().Limit+kit.AtOnce, func() bool { return watch.Now().Port == subject.Blocked })
		p.Mark("heal")
		heal(ctx)
		again := within(ctx, 2*kit.AtOnce, func() bool { return requests() > 0 })
		p.Timers(ctx, port, soon)
		p.Until(ctx, "port and disks run again", 2*slack, func() bool { return watch.Is(subject.Running, subject.Running) })
		p.Expect("SRP-RECON-026", again, "no attempt was made %s after the carrier had come back; reconnect_delay is 120 s", 2*kit.AtOnce)
	})

	It("100 times, and nothing is left over and no write is lost", kit.Takes(260), kit.Extended, claim.Clauses(
		"SRP-RECON-020", "SRP-RECON-021", "SRP-RECON-022", "SRP-STATE-006", "SRP-ROB-004"), func(ctx SpecContext) {
		const cycles = 100
		port := p.Connect(ctx, 0, "")
		p.Timers(ctx, port, soon)
		watch := p.Watch(ctx, port)
		probe := p.Probe(ctx, port.Disks[0], kit.ProbeOptions{Write: true})
		cycle := func() {
			lost := time.Now()
			enable := disable(ctx, p)
			p.Until(ctx, "the loss is seen", kit.AtOnce, func() bool { return watch.PortAfter(lost, subject.Blocked).After(lost) })
			enable(ctx)
			p.Until(ctx, "port and disks run again", slack, func() bool { return watch.Is(subject.Running, subject.Running) })
			probe.AwaitSuccess(ctx, 1)
		}
		cycle() // what is made once, and kept, is there from here on
		held := p.Held(ctx)
		for range cycles {
			cycle()
		}
		ios := probe.Stop(ctx)
		Expect(ios.Errors()).To(BeEmpty())
		Expect(p.Initiator.Ports(ctx)).To(Equal([]subject.Port{port}), "names, numbers and disks after %d losses", cycles)
		Eventually(p.Held).WithContext(ctx).Should(Equal(held), "RDMA objects and threads of the kernel, after %d losses", cycles)
		p.VerifyWrites(ctx, ios, port.Disks[0])
	})

	It("and the log tells one reason of an attempt that has failed", kit.Takes(15), claim.Clauses("SRP-RECON-024"), func(ctx SpecContext) {
		port := p.Connect(ctx, 0, pair.Breaks)
		p.Timers(ctx, port, soon)
		watch := p.Watch(ctx, port)

		begin := p.LogMark(ctx)
		enable := disable(ctx, p)
		p.Until(ctx, "an attempt has failed", slack, func() bool { return p.FailedReconnects(ctx, port) > 0 })
		refused := failures(p.LogSince(ctx, begin))
		enable(ctx)
		p.Until(ctx, "port and disks run again", slack, func() bool { return watch.Is(subject.Running, subject.Running) })

		begin = p.LogMark(ctx)
		heal := p.Lose(0, kit.BothWays)
		p.StartReads(ctx, port.Disks[0], 1, 4096)
		lost := time.Now()
		p.Until(ctx, "the loss is seen", p.Detection().Limit+kit.AtOnce, func() bool { return watch.PortAfter(lost, subject.Blocked).After(lost) })
		_, err := p.InitiatorHost.Agent().Output(ctx, "ip", "neigh", "flush", "dev", p.InitiatorHost.NIC(0).Interface)
		Expect(err).NotTo(HaveOccurred())
		p.Until(ctx, "an attempt has failed", 2*slack, func() bool { return p.FailedReconnects(ctx, port) > 0 })
		silent := failures(p.LogSince(ctx, begin))
		heal(ctx)
		p.Until(ctx, "port and disks run again", 2*slack, func() bool { return watch.Is(subject.Running, subject.Running) })

		p.Expect("SRP-RECON-024", len(refused) > 0 && containsOnly(refused, refusals), "what the log says of attempts that were rejected: %v, not one of %v", refused, refusals)
		p.Expect("SRP-RECON-024", len(silent) > 0 && containsOnly(silent, silences), "what the log says of attempts without an address: %v, not one of %v", silent, silences)
	})
})

// movedMAC is an address that no machine of a lab has.
const movedMAC = "02:00:00:00:4d:01"

// What a log may say of an attempt: an errno, or the reason of the reject.
var (
	refusals = []int{int(syscall.ECONNRESET), int(syscall.ECONNREFUSED), 0x00010001}
	silences = []int{int(syscall.ENXIO), int(syscall.EHOSTUNREACH), int(syscall.ENETUNREACH), int(syscall.ETIMEDOUT), int(syscall.EHOSTDOWN), int(syscall.EADDRNOTAVAIL)}
)

// attemptFailed finds the number in a record of an attempt to reconnect that has failed.
var attemptFailed = regexp.MustCompile(`(?i)reconnect.*fail\D*-?(0x[0-9a-f]+|\d+)\D*$`)

// failures are the numbers by which a log gives the reasons of failed attempts.
func failures(records []vm.LogRecord) (all []int) {
	for _, r := range records {
		found := attemptFailed.FindStringSubmatch(strings.TrimSpace(r.Text))
		if found == nil {
			continue
		}
		n, err := strconv.ParseInt(found[1], 0, 64)
		Expect(err).NotTo(HaveOccurred(), "%s", r.Text)
		all = append(all, int(n))
	}
	return all
}

func containsOnly(found, allowed []int) bool {
	return !slices.ContainsFunc(found, func(n int) bool { return !slices.Contains(allowed, n) })
}

var _ = Describe("a connection is kept when one packet is lost", pair.OfInitiator, func() {
	for _, io := range []struct {
		name  string
		start func(*kit.Testbed, context.Context, kit.BlockDevice, int, int) *kit.Started
	}{{"of 16 writes", (*kit.Testbed).StartWrites}, {"of 16 reads", (*kit.Testbed).StartReads}} {
		It(io.name, kit.Takes(10), claim.Clauses("SRP-DATA-009"), func(ctx SpecContext) {
			p := pair.Current()
			port := p.Connect(ctx, 0, pair.Breaks+",ch_count=1")
			p.Timers(ctx, port, soon)
			requests := p.CountConnectRequestsOn(0)
			struck := p.Break(0, fabric.Fault{
				Match: fabric.And(fabric.FromPort(p.InitiatorHost.Name()), toTarget), Pick: fabric.Nth{4}, Action: fabric.Drop{},
			})
			errs := io.start(p.Testbed, ctx, port.Disks[0], 16, 4096).Wait(ctx)
			struck(ctx)
			Expect(errs).To(HaveEach(Succeed()))
			p.Expect("SRP-DATA-009", requests() == 0, "the initiator has reconnected because of one packet")
		})
	}
})
