// SPDX-License-Identifier: Apache-2.0

package target

import (
	"context"
	"net/netip"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/pair"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// newTester makes a tester of the target over rail 0, for one export. It is closed after the spec.
func newTester(p *pair.Pair, e subject.Export) *tester.Tester {
	GinkgoHelper()
	return newTesterOver(e, tester.Rail{Device: p.Station(0), Addr: netip.AddrPortFrom(p.TargetAddr(0), ibtrs.DefaultPort)})
}

// patience outlasts the slow disk of these specs, on a busy machine.
const patience = 10 * time.Second

// newTesterOver is newTester, over any rails.
func newTesterOver(e subject.Export, rails ...tester.Rail) *tester.Tester {
	t := tester.New(tester.Target{Rails: rails, Exports: [2]string{e.Path, e.Path}, Patience: patience})
	DeferCleanup(t.Close)
	return t
}

// ready connects a session with one path and opens the export for writing.
func ready(ctx context.Context, t *tester.Tester) (*tester.Path, uint32) {
	GinkgoHelper()
	p, opened, err := t.Ready(ctx)
	Expect(err).NotTo(HaveOccurred())
	return p, opened.DeviceID
}

// writeOf is the request that writes stamped blocks to sector 0, through a chunk.
func writeOf(p *tester.Path, device, chunk uint32, sequence uint64) tester.Request {
	const size = 4096
	message := tester.Marshal(ibnbd.NewIORequest(ibnbd.OpWrite, 0, device, 0, size))
	return p.ToChunk(p.Write(message, tester.Stamped(0, size, sequence)), chunk)
}
