// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/conformance/clauses/claim"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/judge"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/pair"
	"github.com/ibnbd/ibnbd/conformance/kit"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/vm/fabric"
)

// A path can be lost in part: one of its connections carries nothing any more, and the heartbeats on another come through.

var _ = Describe("failover on silent loss of one connection", kit.Takes(secondsPerFault), claim.Clauses("IBNBD-FAIL-028"), func() {
	It("with one path: I/O fails within the bound", func(ctx SpecContext) {
		Expect(writeStuck(ctx, 1)).To(HaveEach(MatchError(syscall.EIO)))
	})
	It("with two paths: no I/O fails, and none stalls beyond the bound", func(ctx SpecContext) {
		Expect(writeStuck(ctx, 2)).To(HaveEach(BeNil()))
	})
})

// writeStuck writes while the connection that the first request goes over carries nothing to the target, and gives the errors.
// Each path gets one, behind one that was acknowledged. Reads would tell less, and so would writes behind them: with a key to
// register or to take back in its send queue, soft-RoCE fails a connection that it should repeat something on.
func writeStuck(ctx SpecContext, paths int) []error {
	GinkgoHelper()
	const size, late = 4096, 5 * time.Second // what waits for longer than the bound would wait until the wire is whole again
	p := pair.Current()
	packets := p.WatchPackets()
	device := mapOver(ctx, p, paths)
	for i := range paths {
		p.WriteStamped(ctx, device, int64(i)*size, size)
	}
	bound := p.Initiator.Timers().StallWithPath()
	if paths == 1 {
		bound = p.Initiator.Timers().ErrorWithoutPath()
	}

	request := packets.On("write request on the first path", judge.Requests(), judge.WithOp(ibnbd.OpWrite), judge.OnPath(1))
	struck := p.Break(0, fabric.Fault{Match: fabric.ConnectionOf(request), Action: fabric.Drop{}})
	begin, errs, done := time.Now(), make([]error, paths), make(chan struct{}, paths)
	for i := range paths {
		go func() {
			errs[i] = p.WriteAt(ctx, device, make([]byte, size), int64(i)*size)
			done <- struct{}{}
		}()
	}
	heal := time.NewTimer(bound.Limit + late)
	defer heal.Stop()
	for left := paths; left > 0; {
		select {
		case <-done:
			left--
		case <-heal.C:
			struck(ctx)
		}
	}
	p.Measure("write over a connection that carries nothing", time.Since(begin), bound)
	if heal.Stop() {
		struck(ctx)
	}
	return errs
}
