// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"context"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/pair"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/conformance/kit"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/specreport"
)

// someIOs are enough to show that I/O goes on over each of two paths.
const someIOs = 20

// application is a workload at work on a device.
type application struct {
	pair   *pair.Pair
	device subject.Device
	probes []*kit.Probe
	writes []bool // of the probes: whether it writes
	ios    []kit.IOs
}

// start starts a workload and waits until it is well under way.
func start(ctx context.Context, p *pair.Pair, d subject.Device, w workload) *application {
	GinkgoHelper()
	app := &application{pair: p, device: d}
	for _, o := range w.probes {
		app.probes = append(app.probes, p.Probe(ctx, d, o))
		app.writes = append(app.writes, o.Write)
	}
	app.goesOn(ctx)
	return app
}

// goesOn waits for some more I/Os of each probe.
func (a *application) goesOn(ctx context.Context) {
	GinkgoHelper()
	for _, probe := range a.probes {
		probe.Await(ctx, someIOs)
	}
}

// stop ends the workload and gives what each probe has done. The rate of the first is put on record.
func (a *application) stop(ctx context.Context) []kit.IOs {
	GinkgoHelper()
	for _, probe := range a.probes {
		a.ios = append(a.ios, probe.Stop(ctx))
	}
	if len(a.ios) > 0 {
		a.pair.Plot(a.ios[0])
	}
	return a.ios
}

// writesKept is the clause that an acknowledged write breaks which is not there. Whoever expects a workload to be whole claims it.
const writesKept = "IBNBD-FAIL-027"

// expectWhole expects that no I/O of a stopped workload has failed, and that what was written is there.
func (a *application) expectWhole(ctx context.Context) {
	GinkgoHelper()
	for i, ios := range a.ios {
		Expect(ios.Errors()).To(BeEmpty(), "I/O errors although a path was whole")
		if !a.writes[i] {
			continue
		}
		if lost := a.pair.LostWrites(ctx, ios, a.device); len(lost) > 0 {
			specreport.BrokeClause(writesKept, verdict.AssertionFailed, "blocks of acknowledged writes: %s", strings.Join(lost, "; "))
		}
	}
}
