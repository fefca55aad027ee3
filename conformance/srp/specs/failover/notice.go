// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"context"
	"fmt"
	"path"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/conformance/clauses/claim"
	"github.com/ibnbd/ibnbd/conformance/kit"
	"github.com/ibnbd/ibnbd/conformance/srp/pair"
	"github.com/ibnbd/ibnbd/conformance/srp/subject"
	"github.com/ibnbd/ibnbd/reference/roce"
	"github.com/ibnbd/ibnbd/vm/fabric"
)

// toTarget matches requests of the initiator on connections: commands, and what the device adds to them.
var toTarget = fabric.RoCE("requests", func(h *roce.BTH) bool { return h.DestQP > 1 && h.OpCode.IsRequest() })

// firstLost notes when the first request of an initiator was lost on a rail, from now on.
func firstLost(p *pair.Pair, rail int) (at func() time.Time) {
	var mu sync.Mutex
	var first time.Time
	from := p.InitiatorHost.Name()
	p.AtEnd(p.Lab.Rails()[rail].Hook(func(f *fabric.Frame) {
		if f.From != from || !toTarget.Match(f) {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if first.IsZero() {
			first = f.At
		}
	}))
	return func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return first
	}
}

var _ = Describe("a loss is noticed", pair.OfInitiator, func() {
	var p *pair.Pair

	BeforeEach(func() { p = pair.Current() })

	for _, retries := range []int{2, 5} {
		// Writes whose data are in the command need no registration, whose repetition soft-RoCE lets fail.
		It(fmt.Sprintf("when the queue pair has repeated a write %d times", retries), kit.Takes(15), claim.Clauses("SRP-TMO-012"), func(ctx SpecContext) {
			port := p.Connect(ctx, 0, pair.Retries(retries))
			p.Timers(ctx, port, early)
			watch := p.Watch(ctx, port)
			heal := p.Lose(0, kit.BothWays)
			lost := firstLost(p, 0)
			p.Mark("loss: a silent wire")
			p.StartWrites(ctx, port.Disks[0], 1, 4096)
			p.Until(ctx, "the port is blocked", p.QueuePairTimeout(retries).Limit+kit.AtOnce, func() bool {
				return !watch.PortAfter(lost(), subject.Blocked).IsZero()
			})
			Expect(lost()).NotTo(BeZero(), "no request was seen on the wire")
			p.Measure("first lost request to blocked", watch.PortAfter(lost(), subject.Blocked).Sub(lost()), p.QueuePairTimeout(retries))
			heal(ctx)
			p.Until(ctx, "port and disks run again", slack, func() bool { return watch.Is(subject.Running, subject.Running) })
		})
	}

	It("at once when the initiator's carrier goes, without any I/O", kit.Takes(20), claim.Clauses("SRP-TMO-020"), func(ctx SpecContext) {
		port := p.Connect(ctx, 0, pair.Breaks)
		p.Timers(ctx, port, subject.Timers{FastIOFail: 30 * time.Second, DevLoss: subject.Off, ReconnectDelay: time.Second})
		watch := p.Watch(ctx, port)
		lost := p.Mark("loss: the carrier")
		heal := p.LoseCarrier(0)
		noticed := within(ctx, time.Second+2*kit.SamplePeriod, func() bool { return watch.PortAfter(lost, subject.Blocked).After(lost) })
		heal(ctx)
		// It shows that the connection works, or that it was replaced.
		Expect(p.ReadAt(ctx, port.Disks[0], make([]byte, 4096), 0)).To(Succeed())
		p.Expect("SRP-TMO-020", noticed, "the port was not blocked 1 s after the loss of the carrier")
	})

	It("with commands whose time is up, and none is aborted before fast_io_fail_tmo", kit.Takes(25), claim.Clauses("SRP-TMO-016"), func(ctx SpecContext) {
		const retries = 2
		port := p.Connect(ctx, 0, pair.Retries(retries))
		p.Timers(ctx, port, subject.Timers{FastIOFail: 12 * time.Second, DevLoss: subject.Off, ReconnectDelay: subject.Off})
		// It is up when the port is blocked already, and long before that has failed.
		Expect(p.Client.Write(ctx, path.Join(port.Disks[0].DeviceDir(), "timeout"), "6")).To(Succeed())
		watch := p.Watch(ctx, port)
		requests := p.CountConnectRequestsOn(0)
		p.Mark("loss: no packet of RDMA arrives")
		heal := p.LoseRDMA(0)
		p.StartWrites(ctx, port.Disks[0], 4, 4096)
		p.Until(ctx, "the port is blocked", p.QueuePairTimeout(retries).Limit, func() bool { return watch.Now().Port == subject.Blocked })
		p.Until(ctx, "the port has failed, or the initiator begins anew", 12*time.Second+p.Detection().Limit+slack, func() bool {
			return watch.Now().Port == subject.FailFast || requests() > 0
		})
		reset := requests() > 0
		p.Mark("heal")
		heal(ctx)
		p.Timers(ctx, port, subject.Timers{FastIOFail: 12 * time.Second, DevLoss: subject.Off, ReconnectDelay: time.Second})
		p.Until(ctx, "port and disks run again", slack, func() bool { return watch.Is(subject.Running, subject.Running) })
		p.Expect("SRP-TMO-016", !reset, "the initiator has reset its host while the port was blocked: it has asked for a connection, though reconnect_delay is off")
	})
})

// within says whether something becomes so within a time.
func within(ctx context.Context, limit time.Duration, so func() bool) bool {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	look := time.NewTicker(kit.SamplePeriod)
	defer look.Stop()
	for !so() {
		select {
		case <-look.C:
		case <-ctx.Done():
			return so()
		}
	}
	return true
}
