// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/conformance/clauses/claim"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/pair"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/conformance/kit"
)

var _ = Describe("an idle path", func() {
	It("is given up by both sides when the peer falls silent", kit.Takes(50),
		claim.Clauses("IBTRS-HB-004", "IBTRS-HB-009", "IBTRS-PATH-016"), func(ctx SpecContext) {
			p := pair.Current()
			device := p.Map(ctx, p.Request(p.Export(ctx, subject.ExportSpec{})))
			timers := p.Initiator.Timers()
			watch := p.Watch(ctx, device)

			silent := p.Mark("both directions fall silent")
			heal := p.Lose(0, kit.BothWays)
			var client, server time.Duration
			patience := max(timers.Patience().Limit, p.Target.Timers().Patience().Limit)
			p.Until(ctx, "both sides have given up", patience+30*time.Second, func() bool {
				asked := time.Since(silent) // a program in userspace takes its time to answer
				if server == 0 && !p.TargetHasPath(ctx, device.Session, p.Path(0)) {
					server = asked
				}
				if client == 0 && !watch.Connected(p.Path(0)) {
					client = time.Since(silent)
				}
				return client != 0 && server != 0
			})
			p.Until(ctx, "the device is closed", kit.AtOnce, func() bool { return watch.State() == "closed" })
			heal(ctx)
			p.Measure("client gives up", client, timers.Patience())
			p.Measure("server gives up", server, p.Target.Timers().Patience())
			Eventually(p.State).WithContext(ctx).WithTimeout(timers.Reconnect().Limit).WithArguments(device).Should(Equal("open"))
		})
})
