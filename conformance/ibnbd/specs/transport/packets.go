// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/conformance/audit/live"
	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/clauses/claim"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/judge"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/pair"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/conformance/kit"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/roce"
	"github.com/ibnbd/ibnbd/vm/fabric"
)

// Single packets, chosen by what they mean to storage, are lost, doubled, overtaken or damaged under an application that
// must not notice.

// blow is what happens to one packet of an exchange.
type blow struct {
	what string
	// match chooses the packets, pick which of them.
	match func(w *live.Watcher, p *pair.Pair) fabric.Predicate
	pick  fabric.Pick
	do    fabric.Action
}

// meaning chooses the frame that completes an event.
func meaning(name string, filters ...live.Filter) func(*live.Watcher, *pair.Pair) fabric.Predicate {
	return func(w *live.Watcher, _ *pair.Pair) fabric.Predicate { return w.On(name, filters...) }
}

// sentBy chooses packets of a host by their opcode. Once a device is mapped, the target's RDMA WRITEs without immediate are
// the data of reads, and the initiator's are the front parts of writes.
func sentBy(role clauses.Role, opcodes ...roce.OpCode) func(*live.Watcher, *pair.Pair) fabric.Predicate {
	return func(_ *live.Watcher, p *pair.Pair) fabric.Predicate {
		host := p.InitiatorHost
		if role == clauses.Target {
			host = p.TargetHost
		}
		return fabric.And(fabric.FromPort(host.Name()), fabric.Opcode(opcodes...))
	}
}

var (
	writes  = []live.Filter{judge.Requests(), judge.WithOp(ibnbd.OpWrite)}
	reads   = []live.Filter{judge.Requests(), judge.WithOp(ibnbd.OpRead)}
	written = []live.Filter{judge.Answers(), judge.WithOp(ibnbd.OpWrite)}
	read    = []live.Filter{judge.Answers(), judge.WithOp(ibnbd.OpRead)}
)

// badBit damages what the ICRC covers, so that the receiver drops the packet.
var badBit = fabric.Corrupt{Region: fabric.InPayload, Offset: 0}

var clientBlows = []blow{
	{"the third write request is lost", meaning("write request", writes...), fabric.Nth{3}, fabric.Drop{}},
	{"a read request is lost", meaning("read request", reads...), fabric.Nth{2}, fabric.Drop{}},
	{"the first packet of a write's data is lost", sentBy(clauses.Initiator, roce.RCWriteFirst), fabric.Nth{2}, fabric.Drop{}},
	{"a middle packet of a write's data is lost", sentBy(clauses.Initiator, roce.RCWriteMiddle), fabric.Nth{9}, fabric.Drop{}},
	{"a write request is doubled", meaning("write request", writes...), fabric.Nth{2}, fabric.Duplicate{Copies: 1}},
	{"a read request is doubled", meaning("read request", reads...), fabric.Nth{2}, fabric.Duplicate{Copies: 2}},
	{"a packet of a write is overtaken", sentBy(clauses.Initiator, roce.RCWriteMiddle), fabric.Nth{5}, fabric.Reorder{Behind: 2}},
	{"a write request is damaged", meaning("write request", writes...), fabric.Nth{2}, badBit},
}

var serverBlows = []blow{
	{"the response to a write is lost", meaning("response to a write", written...), fabric.Nth{2}, fabric.Drop{}},
	{"the response to a read is lost", meaning("response to a read", read...), fabric.Nth{2}, fabric.Drop{}},
	{"the response to a read is doubled", meaning("response to a read", read...), fabric.Nth{2}, fabric.Duplicate{Copies: 1}},
}

// dataBlows hit the data of reads. With key refresh the registration of a new key stands behind the data in the target's send
// queue, which is a case of its own.
var dataBlows = []blow{
	{"the first packet of a read's data is lost", sentBy(clauses.Target, roce.RCWriteFirst), fabric.Nth{2}, fabric.Drop{}},
	{"a middle packet of a read's data is lost", sentBy(clauses.Target, roce.RCWriteMiddle), fabric.Nth{9}, fabric.Drop{}},
	{"the last packet of a read's data is lost", sentBy(clauses.Target, roce.RCWriteLast), fabric.Nth{2}, fabric.Drop{}},
	{"a packet of a read's data is overtaken", sentBy(clauses.Target, roce.RCWriteMiddle), fabric.Nth{5}, fabric.Reorder{Behind: 2}},
	{"a packet of a read's data is damaged", sentBy(clauses.Target, roce.RCWriteMiddle), fabric.Nth{3}, badBit},
}

var _ = Describe("a reliable connection", kit.Takes(8), func() {
	for _, b := range clientBlows {
		It("repairs it when "+b.what, claim.Clauses("IBTRS-IO-035", "IBTRS-IO-030"), func(ctx SpecContext) { endure(ctx, b) })
	}
	for _, b := range serverBlows {
		It("repairs it when "+b.what, claim.Clauses("IBTRS-IO-036"), func(ctx SpecContext) { endure(ctx, b) })
	}
	for _, b := range dataBlows {
		It("repairs it when "+b.what, claim.Clauses("IBTRS-IO-037", "IBTRS-INV-016"), func(ctx SpecContext) { endure(ctx, b) })
	}

	It("repairs it when the third write request on the second path is lost", claim.Clauses("IBTRS-IO-035", "IBTRS-IO-030"), func(ctx SpecContext) {
		p := pair.Current()
		packets := p.WatchPackets()
		export := p.Export(ctx, subject.ExportSpec{})
		request := p.Request(export)
		request.Paths = []subject.PathAddr{p.Path(0), p.Path(1)}
		device := p.Map(ctx, request)
		Expect(p.Initiator.SetPolicy(ctx, device.Session, "rr")).To(Succeed())
		struck := p.Break(1, fabric.Fault{
			Match: packets.On("write request on the second path", append(writes, judge.OnPath(2))...), Pick: fabric.Nth{3}, Action: fabric.Drop{},
		})
		useAndVerify(ctx, p, export, device, struck)
		Expect(p.ConnectedPaths(ctx, device.Session)).To(ConsistOf(p.Path(0), p.Path(1)))
	})
})

// endure maps a device, lets the blow fall under writes and reads, and looks whether anybody noticed.
func endure(ctx SpecContext, b blow) {
	p := pair.Current()
	packets := p.WatchPackets()
	export := p.Export(ctx, subject.ExportSpec{})
	device := p.Map(ctx, p.Request(export))
	attempts := p.CountConnectRequests()
	struck := p.Break(0, fabric.Fault{Match: b.match(packets, p), Pick: b.pick, Action: b.do})
	useAndVerify(ctx, p, export, device, struck)
	Expect(attempts()).To(BeZero(), "connection requests: the path did not survive")
	Expect(p.ConnectedPaths(ctx, device.Session)).To(ConsistOf(p.Path(0)))
}

// useAndVerify writes and reads back stamped blocks of 16 KiB, which take several packets each, and compares what is on the export.
func useAndVerify(ctx SpecContext, p *pair.Pair, export subject.Export, device subject.Device, struck func(context.Context)) {
	GinkgoHelper()
	const blocks, size = 8, 16 << 10
	for i := range blocks {
		p.WriteStamped(ctx, device, int64(i)*size, size)
	}
	p.VerifyStamped(ctx, device)
	struck(ctx)
	p.VerifyStampedOnExport(ctx, export)
}

var _ = Describe("the opening of a session", kit.Takes(15), func() {
	lost := func(kind audit.Kind) func(ctx SpecContext) {
		return func(ctx SpecContext) {
			p := pair.Current()
			packets := p.WatchPackets()
			export := p.Export(ctx, subject.ExportSpec{})
			struck := p.Break(0, fabric.Fault{Match: packets.On(kind.String(), live.OfKind(kind)), Pick: fabric.Nth{1}, Action: fabric.Drop{}})
			device := p.Map(ctx, p.Request(export))
			useAndVerify(ctx, p, export, device, struck)
		}
	}
	It("succeeds when its first connection request is lost", claim.Clauses("IBTRS-CONN-054"), lost(audit.ConnectionRequest))
	It("succeeds when the reply to it is lost", claim.Clauses("IBTRS-CONN-054"), lost(audit.ConnectionReply))
	It("succeeds when the confirmation of the reply (RTU) is lost", claim.Clauses("IBTRS-CONN-054"), lost(audit.ConnectionEstablished))
	It("succeeds when the INFO response is lost", claim.Clauses("IBTRS-INFO-024"), lost(judge.InfoResponse))
})
