// SPDX-License-Identifier: Apache-2.0

package target

import (
	"time"

	. "github.com/onsi/ginkgo/v2"

	"github.com/ibnbd/ibnbd/conformance/clauses/claim"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/attacks"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/pair"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/conformance/kit"
	"github.com/ibnbd/ibnbd/conformance/verdict/specreport"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// What a target says of its disk: when an operation has ended, and how.

var _ = Describe("a target", func() {
	slow := attacks.SlowDisk{Latency: 200 * time.Millisecond}
	It("answers each operation when its disk has done it", kit.Takes(3), claim.Clauses(slow.Clauses()...), func(ctx SpecContext) {
		p := pair.Current()
		e := p.Export(ctx, subject.ExportSpec{SizeMiB: 1, Cache: true, Discard: true, Latency: slow.Latency})
		specreport.Conclude(slow.Run(ctx, newTester(p, e)), "")
	})

	failing := attacks.FailingDisk{
		{Name: "write to the first zone", Op: ibnbd.OpWrite, Sector: 0, Size: 4096},
		{Name: "read of a bad block", Op: ibnbd.OpRead, Sector: subject.BadSector, Size: 4096, Errno: ibtrs.EIO},
		{Name: "read that ends with a bad block", Op: ibnbd.OpRead, Sector: subject.BadSector - 8, Size: 8192, Errno: ibtrs.EIO},
		{Name: "write to one zone more than may be active", Op: ibnbd.OpWrite, Sector: subject.ZoneSectors, Size: 4096, Errno: ibtrs.EOVERFLOW},
		{Name: "write to the first zone, once more", Op: ibnbd.OpWrite, Sector: 8, Size: 4096},
	}
	It("answers with the error number of its disk", kit.Takes(1), claim.Clauses(failing.Clauses()...), func(ctx SpecContext) {
		p := pair.Current()
		e := p.Export(ctx, subject.ExportSpec{SizeMiB: 4, Failing: true})
		specreport.Conclude(failing.Run(ctx, newTester(p, e)), "")
	})
})
