// SPDX-License-Identifier: Apache-2.0

package target

import (
	"net/netip"
	"time"

	. "github.com/onsi/ginkgo/v2"

	"github.com/ibnbd/ibnbd/conformance/clauses/claim"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/attacks"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/pair"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/conformance/kit"
	"github.com/ibnbd/ibnbd/conformance/verdict/specreport"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// What a target says of its disk: when an operation has ended, and how.

var _ = Describe("a target answers with what its disk has done", func() {
	// reachOf gives the tester's place for one export.
	reachOf := func(p *pair.Pair, e subject.Export) tester.Target {
		return tester.Target{
			Rails:   []tester.Rail{{Device: p.Station(0), Addr: netip.AddrPortFrom(p.TargetAddr(0), ibtrs.DefaultPort)}},
			Exports: [2]string{e.Path, e.Path}, Patience: patience,
		}
	}

	slow := attacks.SlowDisk{Latency: 200 * time.Millisecond}
	It("and when it is done, for each operation", kit.Takes(3), claim.Clauses(slow.Clauses()...), func(ctx SpecContext) {
		p := pair.Current()
		e := p.Export(ctx, subject.ExportSpec{SizeMiB: 1, Cache: true, Discard: true, Latency: slow.Latency})
		specreport.Conclude(slow.Run(ctx, reachOf(p, e)), "")
	})

	failing := attacks.FailingDisk{
		{Name: "write to the first zone", Op: ibnbd.OpWrite, Sector: 0},
		{Name: "read of a bad block", Op: ibnbd.OpRead, Sector: subject.BadSector, Errno: ibtrs.EIO},
		{Name: "write to one zone more than may be active", Op: ibnbd.OpWrite, Sector: subject.ZoneSectors, Errno: ibtrs.EOVERFLOW},
		{Name: "write to the first zone, once more", Op: ibnbd.OpWrite, Sector: 8},
	}
	It("and with the error number that it failed with", kit.Takes(1), claim.Clauses(failing.Clauses()...), func(ctx SpecContext) {
		p := pair.Current()
		e := p.Export(ctx, subject.ExportSpec{SizeMiB: 4, Failing: true})
		specreport.Conclude(failing.Run(ctx, reachOf(p, e)), "")
	})
})
