// SPDX-License-Identifier: Apache-2.0

package sysfs

import (
	"context"
	"path"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/conformance/clauses/claim"
	"github.com/ibnbd/ibnbd/conformance/kit"
	"github.com/ibnbd/ibnbd/conformance/srp/attacks"
	"github.com/ibnbd/ibnbd/conformance/srp/pair"
	"github.com/ibnbd/ibnbd/conformance/srp/subject"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/specreport"
)

var _ = Describe("the units of a target", pair.OfInitiator, func() {
	var (
		p       *pair.Pair
		changer subject.UnitChanger
	)

	BeforeEach(func() {
		p = pair.Current()
		var can bool
		if changer, can = p.Target.(subject.UnitChanger); !can {
			specreport.Skip(verdict.NoHook, "the units of this target cannot be changed while it serves")
		}
	})

	It("may be added and removed, and others are not touched", kit.Takes(12), claim.Clauses("SRP-STATE-017"), func(ctx SpecContext) {
		port := p.Connect(ctx, 0, "")
		probe := p.Probe(ctx, port.Disks[0], kit.ProbeOptions{Write: true})
		probe.Await(ctx, 5)
		p.Mark("a unit is added")
		Expect(changer.AddUnit(ctx, subject.Units, subject.UnitSize)).To(Succeed())
		DeferCleanup(changer.RemoveUnit, subject.Units)
		p.Scan(ctx, port)
		var more []subject.Disk
		p.Until(ctx, "the new unit is a disk", kit.AtOnce, func() bool { more = disks(ctx, p); return len(more) == subject.Units+1 })
		Expect(more[:subject.Units]).To(Equal(port.Disks), "the disks of before")
		added := more[subject.Units]
		Expect(p.ReadAt(ctx, added, make([]byte, 4096), 0)).To(Succeed())
		probe.AwaitSuccess(ctx, 5)

		p.Mark("a unit is removed")
		Expect(changer.RemoveUnit(ctx, subject.Units)).To(Succeed())
		Expect(p.Client.Write(ctx, path.Join(added.DeviceDir(), "delete"), "1")).To(Succeed())
		p.Until(ctx, "its disk is gone", kit.AtOnce, func() bool { return len(disks(ctx, p)) == subject.Units })
		probe.AwaitSuccess(ctx, 5)
		ios := probe.Stop(ctx)
		Expect(ios.Errors()).To(BeEmpty(), "I/O of another unit")
		Expect(p.Initiator.Ports(ctx)).To(Equal([]subject.Port{port}))
		p.VerifyWrites(ctx, ios, port.Disks[0])
	})

	It("may have another size after an outage", kit.Takes(12), claim.Clauses("SRP-STATE-018"), func(ctx SpecContext) {
		const unit, size = 1, 2 * subject.UnitSize
		port := p.Connect(ctx, 0, "")
		p.Timers(ctx, port, subject.Timers{FastIOFail: 60 * time.Second, DevLoss: subject.Off, ReconnectDelay: time.Second})
		watch := p.Watch(ctx, port)
		resize := func(ctx context.Context, size int64) {
			GinkgoHelper()
			Expect(changer.RemoveUnit(ctx, unit)).To(Succeed())
			Expect(changer.AddUnit(ctx, unit, size)).To(Succeed())
		}
		lost := p.Mark("the target disconnects")
		Expect(p.Target.Control(ctx, attacks.Disable)).To(Succeed())
		p.Until(ctx, "the loss is seen", kit.AtOnce, func() bool { return watch.PortAfter(lost, subject.Blocked).After(lost) })
		DeferCleanup(resize, int64(subject.UnitSize))
		resize(ctx, size)
		Expect(p.Target.Control(ctx, attacks.Enable)).To(Succeed())
		p.Until(ctx, "port and disks run again", 90*time.Second, func() bool { return watch.Is(subject.Running, subject.Running) })
		Expect(p.Client.Write(ctx, path.Join(port.Disks[unit].DeviceDir(), "rescan"), "1")).To(Succeed())
		p.Until(ctx, "the disk has its new size", kit.AtOnce, func() bool { return p.Size(ctx, port.Disks[unit]) == size })
		Expect(p.Size(ctx, port.Disks[0])).To(BeEquivalentTo(subject.UnitSize), "the size of the other disk")
		Expect(p.ReadAt(ctx, port.Disks[unit], make([]byte, 4096), size-4096)).To(Succeed(), "a read behind the old end")
	})
})

// disks are those of the only port.
func disks(ctx context.Context, p *pair.Pair) []subject.Disk {
	GinkgoHelper()
	ports, err := p.Initiator.Ports(ctx)
	Expect(err).NotTo(HaveOccurred())
	Expect(ports).To(HaveLen(1))
	return ports[0].Disks
}
