// SPDX-License-Identifier: Apache-2.0

package block

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/conformance/clauses/claim"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/pair"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/conformance/kit"
)

// What is logged of requests that fail, however many.

var _ = Describe("a thousand reads that fail", kit.Takes(6), claim.Clauses("IBNBD-FAIL-031"), func() {
	// failAll reads a thousand times and expects every read to fail and the logs to stay short.
	failAll := func(ctx SpecContext, p *pair.Pair, device subject.Device) {
		GinkgoHelper()
		const rounds, at = 10, 100
		logged := p.CountLogLines(ctx)
		begin := time.Now()
		for range rounds {
			Expect(p.StartReads(ctx, device, at, 4096).Wait(ctx)).NotTo(ContainElement(BeNil()))
		}
		p.ExpectFewLines(logged(ctx), time.Since(begin))
	}

	It("because the disk behind the export has shrunk leave few lines in any log", func(ctx SpecContext) {
		p := pair.Current()
		export := p.Export(ctx, subject.ExportSpec{Resizable: true})
		device := p.Map(ctx, p.Request(export))
		p.Resize(ctx, export, 0)
		failAll(ctx, p, device)
	})

	It("because no path is left leave few lines in any log", func(ctx SpecContext) {
		p := pair.Current()
		device := p.Map(ctx, p.Request(p.Export(ctx, subject.ExportSpec{})))
		Expect(p.Initiator.DisconnectPath(ctx, device.Session, p.Path(0))).To(Succeed())
		failAll(ctx, p, device)
	})
})
