// SPDX-License-Identifier: Apache-2.0

package target

import (
	"errors"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/conformance/clauses/claim"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/pair"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/conformance/kit"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/specreport"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/roce"
	"github.com/ibnbd/ibnbd/vm/fabric"
)

// What a client does while the target's disk is at work. The disk is slow, so that there is time for it.

const diskLatency = 2 * time.Second

var _ = Describe("a target whose disk is at work", kit.Takes(8), func() {
	var (
		p      *pair.Pair
		export subject.Export
		client *tester.Tester
	)

	BeforeEach(func(ctx SpecContext) {
		p = pair.Current()
		export = p.Export(ctx, subject.ExportSpec{SizeMiB: 1, Latency: diskLatency})
		client = newTester(p, export)
	})

	It("answers CLOSE when what is in flight has ended", claim.Clauses("IBNBD-OPEN-023"), func(ctx SpecContext) {
		path, device := ready(ctx, client)
		begin := time.Now()
		Expect(path.Post(writeOf(path, device, 0, 1))).To(Succeed())
		p.AwaitInFlight(ctx, export, 1)
		request := path.ToChunk(path.Write(tester.Marshal(ibnbd.CloseRequest{Type: ibnbd.TypeClose, DeviceID: device}), nil), 1)
		request.CID = 0
		_, err := path.Call(ctx, request, 0)
		Expect(err).NotTo(HaveOccurred())
		p.Measure("CLOSE beside a write", time.Since(begin), verdict.Bound{AtLeast: diskLatency, Limit: diskLatency + kit.AtOnce, Formula: "the disk's latency"})
		answer, err := path.Answer(ctx, 1)
		Expect(err).NotTo(HaveOccurred())
		Expect(answer.Errno).To(BeZero(), "the answer to the write")
	})

	It("has taken back the key of the chunk", claim.Clauses("IBNBD-FAIL-016"), func(ctx SpecContext) {
		path, device := ready(ctx, client)
		if !path.KeyRefresh() {
			specreport.Skip(verdict.AbilityMissing, "the target keeps its keys")
		}
		Expect(path.Post(writeOf(path, device, 0, 1))).To(Succeed())
		p.AwaitInFlight(ctx, export, 1)
		_, err := path.Do(ctx, writeOf(path, device, 0, 2))
		var work *rdma.WorkError
		Expect(errors.As(err, &work)).To(BeTrue(), "%s: the chunk could be written while the disk had it", tester.Outcome(err))
		Expect(work.Status).To(Equal(rdma.StatusRemoteAccess))
		p.AwaitInFlight(ctx, export, 0)
		again, opened, err := client.NewSession().Ready(ctx, export.Path, ibnbd.ReadOnly)
		Expect(err).NotTo(HaveOccurred())
		Expect(again.CheckStamped(ctx, opened.DeviceID, 0, 4096, 1)).To(Succeed())
	})

	// closePath has the target close a path on which one write is with the disk and another comes, and gives the chunks that are answered.
	closePath := func(ctx SpecContext) (answered []uint32) {
		GinkgoHelper()
		session := client.NewSession()
		path, opened, err := session.Ready(ctx, export.Path, ibnbd.ReadWrite)
		Expect(err).NotTo(HaveOccurred())
		Expect(path.Post(writeOf(path, opened.DeviceID, 0, 1))).To(Succeed())
		p.AwaitInFlight(ctx, export, 1)

		// The target closes the path until the disk has answered; the client is not to hear of it before it has sent once more.
		closing := disconnectRequest(p)
		heal := p.Inject(0, fabric.Fault{Match: fabric.Not(fabric.FromPort(kit.StationName(0))), Action: fabric.Drop{}})
		over := subject.PathAddr{Source: client.Target().Rails[0].Device.Addr(), Destination: p.TargetAddr(0)}
		disconnected := make(chan error, 1)
		go func() { disconnected <- p.Target.Disconnect(ctx, session.Name, over) }()
		Eventually(closing).WithContext(ctx).WithTimeout(kit.AtOnce).Should(BeClosed(), "the target disconnects")
		Expect(path.Post(writeOf(path, opened.DeviceID, 1, 2))).To(Succeed())
		heal(ctx)
		for {
			answer, err := path.Answer(ctx, 1)
			if err != nil {
				break
			}
			answered = append(answered, answer.Chunk)
		}
		Eventually(disconnected).WithContext(ctx).Should(Receive(BeNil()))
		p.Until(ctx, "the target has let the path go", subject.DefaultTimers.Teardown, func() bool { return !p.TargetKeepsPath(ctx, session.Name, over) })
		return answered
	}

	It("answers nothing that comes while it closes the path", claim.Clauses("IBTRS-PATH-020"), func(ctx SpecContext) {
		Expect(closePath(ctx)).NotTo(ContainElement(BeEquivalentTo(1)), "chunks of answers: that request came while the path was being closed")
	})

	It("does nothing twice when it closes the path", claim.Clauses("IBTRS-PATH-027"), func(ctx SpecContext) {
		before := writesDone(ctx, p, export)
		closePath(ctx)
		Expect(writesDone(ctx, p, export)-before).To(BeNumerically("<=", 2), "writes of the disk, for two requests")
	})
})

// disconnectRequest is closed by the first disconnect request (CM DREQ) on rail 0.
func disconnectRequest(p *pair.Pair) <-chan struct{} {
	seen := make(chan struct{})
	var once sync.Once
	DeferCleanup(p.Lab.Rails()[0].Hook(func(f *fabric.Frame) {
		var packet roce.Packet
		if packet.Decode(f.Data) != nil || !packet.IsMAD() {
			return
		}
		if mad, _, err := roce.DecodeCM(packet.Payload); err == nil && mad.AttributeID == roce.AttrDREQ {
			once.Do(func() { close(seen) })
		}
	}))
	return seen
}

// writesDone is how many writes the disk of an export has completed.
func writesDone(ctx SpecContext, p *pair.Pair, e subject.Export) int {
	GinkgoHelper()
	const writes = 4 // of the fields of the stat file of a block device
	fields := strings.Fields(p.Server.Word(ctx, path.Join("/sys/block", e.Disk, "stat")))
	n, err := strconv.Atoi(fields[writes])
	Expect(err).NotTo(HaveOccurred())
	return n
}
