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
func (t *Testbed) Lose(rail int, d Direction) (heal func(context.Context)) {
	ginkgo.GinkgoHelper()
	match := map[Direction]fabric.Predicate{
		BothWays:    fabric.Any(),
		ToTarget:    fabric.ToPort(t.TargetHost.Name()),
		ToInitiator: fabric.ToPort(t.InitiatorHost.Name()),
	}[d]
	return t.Inject(rail, fabric.Fault{Match: match, Action: fabric.Drop{}})
}

// Inject puts a fault on a rail until heal is called, or the spec ends.
func (t *Testbed) Inject(rail int, f fabric.Fault) (heal func(context.Context)) {
	ginkgo.GinkgoHelper()
	t.disturbed = true
	handle, err := t.Lab.Rails()[rail].Inject(f)
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	return func(context.Context) {
		ginkgo.GinkgoHelper()
		gomega.Expect(handle.Remove()).To(gomega.Succeed())
	}
}

// LoseCarrier takes the carrier of a rail away at both ends, until heal is called.
func (t *Testbed) LoseCarrier(rail int) (heal func(context.Context)) {
	ginkgo.GinkgoHelper()
	return t.Inject(rail, fabric.Fault{Action: fabric.CarrierLoss{}})
}

// PowerLoss ends the target's machine as a power failure does, and its disk forgets what is not durable: so many bytes.
func (t *Testbed) PowerLoss(_ context.Context) (forgotten int64) {
	t.disturbed = true
	t.TargetHost.PowerLoss()
	return env.durable.PowerLoss()
}

// InitiatorPowerLoss ends the initiator's machine as a power failure does. What the spec has mapped is forgotten.
func (t *Testbed) InitiatorPowerLoss() {
	t.disturbed = true
	t.InitiatorHost.PowerLoss()
}

// RemoveRDMADevice takes the initiator's RDMA device of a rail out of its machine, until it is put back.
func (t *Testbed) RemoveRDMADevice(ctx context.Context, rail int) (putBack func(context.Context)) {
	ginkgo.GinkgoHelper()
	t.disturbed = true
	nic, machine := t.InitiatorHost.NIC(rail), t.InitiatorHost.Agent()
	_, err := machine.Output(ctx, "rdma", "link", "delete", nic.RDMA)
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	return func(ctx context.Context) {
		ginkgo.GinkgoHelper()
		_, err := machine.Output(ctx, "rdma", "link", "add", nic.RDMA, "type", "rxe", "netdev", nic.Interface)
		gomega.Expect(err).NotTo(gomega.HaveOccurred())
	}
}

// Hang stops the target's machine in its tracks; its memory stays as it is.
func (t *Testbed) Hang(ctx context.Context) {
	ginkgo.GinkgoHelper()
	t.disturbed = true
	gomega.Expect(t.TargetHost.Hang(ctx)).To(gomega.Succeed())
}

// Resume lets a hung machine go on.
func (t *Testbed) Resume(ctx context.Context) {
	ginkgo.GinkgoHelper()
	gomega.Expect(t.TargetHost.Resume(ctx)).To(gomega.Succeed())
}

// Break puts a fault on a rail and gives a function that waits until it has hit a frame, and takes it away. A spec whose fault
// hits nothing fails.
func (t *Testbed) Break(rail int, f fabric.Fault) (struck func(context.Context)) {
	ginkgo.GinkgoHelper()
	t.disturbed = true
	handle, err := t.Lab.Rails()[rail].Inject(f)
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	return func(ctx context.Context) {
		ginkgo.GinkgoHelper()
		gomega.Expect(handle.WaitApplied(ctx, 1)).To(gomega.Succeed(), "%s", f)
		gomega.Expect(handle.Remove()).To(gomega.Succeed())
	}
}
