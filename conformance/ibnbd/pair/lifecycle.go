// SPDX-License-Identifier: Apache-2.0

package pair

import (
	"context"
	"errors"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
)

// PowerBack boots the target's machine again, with the exports that it had (empty, as they lay in memory), and serves.
func (p *Pair) PowerBack(ctx context.Context) {
	ginkgo.GinkgoHelper()
	gomega.Expect(p.Replace(ctx, p.TargetHost)).To(gomega.Succeed())
	for i, e := range p.exports {
		again, err := p.Target.Provide(ctx, e.ExportSpec)
		gomega.Expect(err).NotTo(gomega.HaveOccurred())
		p.exports[i] = again
	}
	gomega.Expect(p.Target.Start(ctx, p.targetOptions)).To(gomega.Succeed())
}

// InitiatorPowerBack boots the initiator's machine again, and makes it ready to map.
func (p *Pair) InitiatorPowerBack(ctx context.Context) {
	ginkgo.GinkgoHelper()
	gomega.Expect(p.Replace(ctx, p.InitiatorHost)).To(gomega.Succeed())
	gomega.Expect(p.Lab.ResolveNeighbours(ctx)).To(gomega.Succeed())
	gomega.Expect(p.Initiator.Start(ctx)).To(gomega.Succeed())
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

// RestartTarget makes the target serve with other options, until the spec ends.
func (p *Pair) RestartTarget(ctx context.Context, opts subject.TargetOptions) {
	ginkgo.GinkgoHelper()
	gomega.Expect(p.TryTarget(ctx, opts)).To(gomega.Succeed())
}

// TryTarget makes the target serve with other options, until the spec ends, and gives the error of that.
func (p *Pair) TryTarget(ctx context.Context, opts subject.TargetOptions) error {
	ginkgo.GinkgoHelper()
	gomega.Expect(p.Target.Stop(ctx)).To(gomega.Succeed())
	before := p.targetOptions
	p.targetOptions = opts
	ginkgo.DeferCleanup(func(ctx context.Context) error {
		p.targetOptions = before
		return errors.Join(p.unmapAll(ctx), p.Target.Stop(ctx), p.Target.Start(ctx, before))
	})
	return p.Target.Start(ctx, opts)
}

// RestartInitiator takes the initiator down with everything that it has mapped, and makes it ready again.
func (p *Pair) RestartInitiator(ctx context.Context) {
	ginkgo.GinkgoHelper()
	gomega.Expect(p.Initiator.Stop(ctx)).To(gomega.Succeed())
	gomega.Expect(p.Initiator.Start(ctx)).To(gomega.Succeed())
}
