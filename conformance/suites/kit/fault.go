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

// PowerLoss ends the target's machine as a power failure does.
func (p *Pair) PowerLoss(_ context.Context) {
	p.disturbed = true
	p.TargetHost.PowerLoss()
}

// PowerBack boots the target's machine again, with the exports that it had (empty, as they lay in memory), and serves.
func (p *Pair) PowerBack(ctx context.Context) {
	ginkgo.GinkgoHelper()
	gomega.Expect(p.Lab.Replace(ctx, p.TargetHost)).To(gomega.Succeed())
	for i, e := range p.exports {
		again, err := p.Target.Provide(ctx, e.ExportSpec)
		gomega.Expect(err).NotTo(gomega.HaveOccurred())
		p.exports[i] = again
	}
	gomega.Expect(p.Target.Start(ctx, p.targetOptions)).To(gomega.Succeed())
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
