// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/conformance/clauses/claim"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/pair"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/conformance/kit"
)

// patience is how long a session of an odd depth may take for a handful of requests.
const patience = 30 * time.Second

var _ = Describe("a target with a queue depth", func() {
	DescribeTable("serves a session", kit.Takes(6), func(ctx SpecContext, depth, requests int, keys subject.KeyMode) {
		p := pair.Current()
		opts := p.TargetOptions()
		opts.QueueDepth, opts.Keys = depth, keys
		p.RestartTarget(ctx, opts)
		bounded, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		device := p.Map(bounded, p.Request(p.Export(bounded, subject.ExportSpec{})))
		Expect(p.StartReads(bounded, device, requests, 4096).Wait(bounded)).To(HaveEach(BeNil()))
		p.WriteStamped(bounded, device, 4096, 128<<10)
		p.VerifyStamped(bounded, device)
	},
		Entry("of 1", kit.Takes(70), claim.Clauses("IBTRS-IMM-012", "IBTRS-IO-032"), 1, 16, subject.KeysRefreshed),
		Entry("of 2", claim.Clauses("IBNBD-LIM-001", "IBTRS-IO-032"), 2, 16, subject.KeysRefreshed),
		Entry("of 3", claim.Clauses("IBNBD-LIM-001", "IBTRS-IO-032"), 3, 16, subject.KeysRefreshed),
		Entry("of 512", claim.Clauses("IBNBD-LIM-001"), 512, 600, subject.KeysRefreshed),
		Entry("of 2048", claim.Clauses("IBTRS-INFO-023"), 2048, 600, subject.KeysRefreshed),
		Entry("of 2048 and keeps its keys", claim.Clauses("IBNBD-LIM-001"), 2048, 600, subject.KeysKept),
	)
})

var _ = Describe("a session", func() {
	It("has room for 128 devices", kit.Takes(30), claim.Clauses("IBNBD-LIM-005"), func(ctx SpecContext) {
		p := pair.Current()
		r := p.Request(subject.Export{})
		for range 128 {
			r.Device = p.Export(ctx, subject.ExportSpec{SizeMiB: 1}).Path
			p.WriteStamped(ctx, p.Map(ctx, r), 0, 4096)
		}
		devices := p.Devices(ctx)
		Expect(devices).To(HaveLen(128))
		for _, d := range devices {
			p.VerifyStamped(ctx, d)
		}
	})
})
