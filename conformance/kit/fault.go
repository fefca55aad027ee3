// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"context"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/vm/fabric"
)

// Direction says which frames of a rail a fault takes.
type Direction int

// The directions.
const (
	BothWays Direction = iota
	ToTarget
	ToInitiator
)

// Lose drops every frame of a rail in a direction, without a sound, until heal is called.
func (p *Pair) Lose(rail int, d Direction) (heal func(context.Context)) {
	ginkgo.GinkgoHelper()
	match := map[Direction]fabric.Predicate{
		BothWays:    fabric.Any(),
		ToTarget:    fabric.ToPort(p.TargetHost.Name()),
		ToInitiator: fabric.ToPort(p.InitiatorHost.Name()),
	}[d]
	return p.Inject(rail, fabric.Fault{Match: match, Action: fabric.Drop{}})
}

// Inject puts a fault on a rail until heal is called, or the spec ends.
func (p *Pair) Inject(rail int, f fabric.Fault) (heal func(context.Context)) {
	ginkgo.GinkgoHelper()
	p.disturbed = true
	handle, err := p.Lab.Rails()[rail].Inject(f)
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	return func(context.Context) {
		ginkgo.GinkgoHelper()
		gomega.Expect(handle.Remove()).To(gomega.Succeed())
	}
}

// LoseCarrier takes the carrier of a rail away at both ends, until heal is called.
func (p *Pair) LoseCarrier(rail int) (heal func(context.Context)) {
	ginkgo.GinkgoHelper()
	return p.Inject(rail, fabric.Fault{Action: fabric.CarrierLoss{}})
}

// PowerLoss ends the target's machine as a power failure does, and its disk forgets what is not durable.
func (p *Pair) PowerLoss(_ context.Context) {
	p.disturbed = true
	p.TargetHost.PowerLoss()
	env.durable.PowerLoss()
}

// PowerBack boots the target's machine again, with the exports that it had (empty, as they lay in memory), and serves.
func (p *Pair) PowerBack(ctx context.Context) {
	ginkgo.GinkgoHelper()
	gomega.Expect(p.Lab.Replace(ctx, p.TargetHost)).To(gomega.Succeed())
	p.putHops(p.TargetHost)
	for i, e := range p.exports {
		again, err := p.Target.Provide(ctx, e.ExportSpec)
		gomega.Expect(err).NotTo(gomega.HaveOccurred())
		p.exports[i] = again
	}
	gomega.Expect(p.Target.Start(ctx, p.targetOptions)).To(gomega.Succeed())
}

// InitiatorPowerLoss ends the initiator's machine as a power failure does. What the spec has mapped is forgotten.
func (p *Pair) InitiatorPowerLoss() {
	p.disturbed = true
	p.InitiatorHost.PowerLoss()
}

// InitiatorPowerBack boots the initiator's machine again, and makes it ready to map.
func (p *Pair) InitiatorPowerBack(ctx context.Context) {
	ginkgo.GinkgoHelper()
	gomega.Expect(p.Lab.Replace(ctx, p.InitiatorHost)).To(gomega.Succeed())
	p.putHops(p.InitiatorHost)
	gomega.Expect(p.Lab.Acquaint(ctx)).To(gomega.Succeed())
	gomega.Expect(p.Initiator.Start(ctx)).To(gomega.Succeed())
}

// RemoveRDMADevice takes the initiator's RDMA device of a rail out of its machine, until it is put back.
func (p *Pair) RemoveRDMADevice(ctx context.Context, rail int) (putBack func(context.Context)) {
	ginkgo.GinkgoHelper()
	p.disturbed = true
	nic, machine := p.InitiatorHost.NIC(rail), p.InitiatorHost.Agent()
	_, err := machine.Output(ctx, "rdma", "link", "delete", nic.RDMA)
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	return func(ctx context.Context) {
		ginkgo.GinkgoHelper()
		_, err := machine.Output(ctx, "rdma", "link", "add", nic.RDMA, "type", "rxe", "netdev", nic.Interface)
		gomega.Expect(err).NotTo(gomega.HaveOccurred())
	}
}

// Hang stops the target's machine in its tracks; its memory stays as it is.
func (p *Pair) Hang(ctx context.Context) {
	ginkgo.GinkgoHelper()
	p.disturbed = true
	gomega.Expect(p.TargetHost.Hang(ctx)).To(gomega.Succeed())
}

// Unhang lets a hung machine go on.
func (p *Pair) Unhang(ctx context.Context) {
	ginkgo.GinkgoHelper()
	gomega.Expect(p.TargetHost.Resume(ctx)).To(gomega.Succeed())
}

// StopTarget takes the target down in good order; its exports stay.
func (p *Pair) StopTarget(ctx context.Context) {
	ginkgo.GinkgoHelper()
	gomega.Expect(p.Target.Stop(ctx)).To(gomega.Succeed())
}

// StartTarget makes a stopped target serve again, with the options that it had.
func (p *Pair) StartTarget(ctx context.Context) {
	ginkgo.GinkgoHelper()
	gomega.Expect(p.Target.Start(ctx, p.targetOptions)).To(gomega.Succeed())
}
