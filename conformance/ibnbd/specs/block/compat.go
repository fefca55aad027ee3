// SPDX-License-Identifier: Apache-2.0

package block

import (
	"strings"

	. "github.com/onsi/ginkgo/v2"

	"github.com/ibnbd/ibnbd/conformance/clauses/claim"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/pair"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/specreport"
)

// This project's implementations beside mainline's.

var _ = Describe("a disk between this project and mainline", func() {
	mixed := func(own, other subject.Info) {
		if !own.Own || other.Own {
			specreport.Skip(verdict.NotSelected, "the %s is %s and the %s is %s", own.Role, own.Name, other.Role, other.Name)
		}
	}
	inBothModes := func(ctx SpecContext, p *pair.Pair) {
		GinkgoHelper()
		for _, keys := range []subject.KeyMode{subject.KeysKept, subject.KeysRefreshed} {
			opts := p.TargetOptions()
			opts.Keys = keys
			p.RestartTarget(ctx, opts)
			device := p.Map(ctx, p.Request(p.Export(ctx, subject.ExportSpec{})))
			p.WriteStamped(ctx, device, 0, 64<<10)
			p.VerifyStamped(ctx, device)
			p.Unmap(ctx, device, subject.UnmapNormal)
		}
	}

	It("is mapped by this project's client from mainline's server in both key modes", claim.Clauses("IBNBD-COMPAT-001"), func(ctx SpecContext) {
		p := pair.Current()
		mixed(p.Initiator.Info(), p.Target.Info())
		inBothModes(ctx, p)
	})

	It("is mapped by mainline's client from this project's server in both key modes", claim.Clauses("IBNBD-COMPAT-002"), func(ctx SpecContext) {
		p := pair.Current()
		mixed(p.Target.Info(), p.Initiator.Info())
		inBothModes(ctx, p)
	})
})

var _ = Describe("a search path", func() {
	It("that makes a device's full path too long lets nothing be mapped", claim.Clauses("IBNBD-OPEN-006"), func(ctx SpecContext) {
		const longest = 4096 // of a path on Linux, its end included
		p := pair.Current()
		opts := p.TargetOptions()
		opts.SearchPath = "/" + strings.Repeat(strings.Repeat("s", 99)+"/", longest/100-1)
		p.RestartTarget(ctx, opts)
		p.RefusesMap(ctx, p.Request(subject.Export{Path: p.LongName(250)}))
	})
})
