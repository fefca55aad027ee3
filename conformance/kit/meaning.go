// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"context"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/conformance/audit/live"
	"github.com/ibnbd/ibnbd/vm/fabric"
)

// WatchPackets follows all rails until the spec ends, so that faults can be chosen by what a frame means to storage. What was
// connected before is not known to it.
func (p *Pair) WatchPackets() *live.Watcher {
	w := live.NewWatcher(audit.Options{})
	for _, rail := range p.Lab.Rails() {
		p.atEnd(w.Attach(rail))
	}
	return w
}

// Break puts a fault on a rail and gives a function that waits until it has hit a frame, and takes it away. A spec whose fault
// hits nothing fails.
func (p *Pair) Break(rail int, f fabric.Fault) (struck func(context.Context)) {
	ginkgo.GinkgoHelper()
	p.disturbed = true
	handle, err := p.Lab.Rails()[rail].Inject(f)
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	return func(ctx context.Context) {
		ginkgo.GinkgoHelper()
		gomega.Expect(handle.WaitApplied(ctx, 1)).To(gomega.Succeed(), "%s", f)
		gomega.Expect(handle.Remove()).To(gomega.Succeed())
	}
}
