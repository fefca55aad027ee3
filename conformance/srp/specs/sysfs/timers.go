// SPDX-License-Identifier: Apache-2.0

package sysfs

import (
	"path"
	"strings"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/conformance/clauses/claim"
	"github.com/ibnbd/ibnbd/conformance/srp/pair"
	"github.com/ibnbd/ibnbd/conformance/srp/subject"
)

// timerWrite is a write to a timer: its file, the value, and whether that is taken.
type timerWrite struct {
	file, value string
	taken       bool
}

const (
	fastFail  = "fast_io_fail_tmo"
	devLoss   = "dev_loss_tmo"
	reconnect = "reconnect_delay"
)

// combinations are writes one after the other, from the values 15, 600 and 10.
var combinations = []struct {
	name   string
	writes []timerWrite
}{
	{"fast_io_fail_tmo stays below dev_loss_tmo", []timerWrite{
		{fastFail, "600", false}, {fastFail, "599", true}, {devLoss, "599", false}, {devLoss, "601", true}, {fastFail, "600", true},
		{devLoss, "600", false}, {fastFail, "0", true}, {devLoss, "0", false}, {devLoss, "1", true}, {fastFail, "1", false},
	}},
	{"fast_io_fail_tmo is at most 600", []timerWrite{{devLoss, "off", true}, {fastFail, "601", false}, {fastFail, "600", true}}},
	{"dev_loss_tmo is at most 600 while fast_io_fail_tmo is off", []timerWrite{
		{devLoss, "601", true}, {fastFail, "off", false}, {devLoss, "600", true}, {fastFail, "off", true}, {devLoss, "601", false},
	}},
	{"reconnect_delay is not 0", []timerWrite{{reconnect, "0", false}, {reconnect, "1", true}}},
	{"not all are off", []timerWrite{
		{devLoss, "off", true}, {reconnect, "off", true}, {fastFail, "off", false}, {reconnect, "1", true}, {fastFail, "off", true}, {reconnect, "off", false},
	}},
	{"any negative number is off", []timerWrite{{devLoss, "-1", true}, {reconnect, "-7", true}, {fastFail, "-1", false}}},
	{"they are numbers", []timerWrite{{fastFail, "soon", false}, {devLoss, "never", false}, {reconnect, "10s", false}}},
}

var _ = Describe("the timers of a port", pair.OfInitiator, func() {
	var p *pair.Pair

	BeforeEach(func() { p = pair.Current() })

	for _, c := range combinations {
		It("are written so that "+c.name, claim.Clauses("SRP-TMO-001", "SRP-TMO-002", "SRP-ROB-006"), func(ctx SpecContext) {
			port := p.Connect(ctx, 0, "")
			p.Timers(ctx, port, subject.MainlineTimers)
			for _, w := range c.writes {
				write(ctx, p, port, w)
			}
		})
	}

	It("have defaults for new ports", claim.Clauses("SRP-TMO-003"), func(ctx SpecContext) {
		const parameters = "/sys/module/ib_srp/parameters"
		for _, d := range []timerWrite{{devLoss, "33", true}, {fastFail, "7", true}, {reconnect, "3", true}} {
			file := path.Join(parameters, d.file)
			before := p.Client.Word(ctx, file)
			Expect(p.Client.Write(ctx, file, d.value)).To(Succeed(), "%s <- %s", file, d.value)
			DeferCleanup(func(ctx SpecContext) { Expect(p.Client.Write(ctx, file, before)).To(Succeed()) })
		}
		port := p.Connect(ctx, 0, "")
		for file, want := range map[string]string{devLoss: "33", fastFail: "7", reconnect: "3"} {
			Expect(p.Client.Word(ctx, path.Join(port.Dir(), file))).To(Equal(want), file)
		}
	})

	It("have a port reconnected by default", claim.Clauses("SRP-RECON-031"), func(ctx SpecContext) {
		port := p.Connect(ctx, 0, "")
		Expect(p.Client.Word(ctx, path.Join(port.Dir(), reconnect))).NotTo(Equal("off"))
	})

	It("never have a port removed by default", claim.Clauses("SRP-STATE-010"), func(ctx SpecContext) {
		port := p.Connect(ctx, 0, "")
		Expect(p.Client.Word(ctx, path.Join(port.Dir(), devLoss))).To(Equal("off"))
	})

	It("leave a command of a disk time beyond the detection of a loss", claim.Clauses("SRP-TMO-015"), func(ctx SpecContext) {
		port := p.Connect(ctx, 0, pair.Breaks)
		Expect(p.CommandTimers(ctx, port)).To(HaveEach(BeNumerically(">=", p.Detection().Limit+time.Second)))
	})
})

// write writes a timer. What is refused with EINVAL leaves the value as it was.
func write(ctx SpecContext, p *pair.Pair, port subject.Port, w timerWrite) {
	GinkgoHelper()
	file := path.Join(port.Dir(), w.file)
	before := p.Client.Word(ctx, file)
	err := p.Client.Write(ctx, file, w.value)
	if !w.taken {
		Expect(err).To(MatchError(syscall.EINVAL), "%s <- %s", w.file, w.value)
		Expect(p.Client.Word(ctx, file)).To(Equal(before), "%s after %s was refused", w.file, w.value)
		return
	}
	want := w.value
	if strings.HasPrefix(want, "-") {
		want = "off"
	}
	Expect(err).NotTo(HaveOccurred(), "%s <- %s", w.file, w.value)
	Expect(p.Client.Word(ctx, file)).To(Equal(want), "%s after %s was written", w.file, w.value)
}
