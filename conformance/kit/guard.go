// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"strings"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/specreport"
	"github.com/ibnbd/ibnbd/vm"
	"github.com/ibnbd/ibnbd/vm/agent"
)

// alarming matches what no kernel log of a machine under test may say: warnings, bugs, and the reports of sanitizers, lockdep
// and watchdogs.
var alarming = regexp.MustCompile(`WARNING: |BUG: |kernel BUG at|Oops|general protection fault|Unable to handle kernel|` +
	`KASAN|KCSAN|UBSAN|KMSAN|possible circular locking|possible recursive locking|inconsistent lock state|` +
	`suspicious RCU usage|blocked for more than|rcu.*(detected stalls|self-detected stall)|soft lockup|hard LOCKUP|` +
	`refcount_t:|ODEBUG: |list_(add|del) corruption|DMAR: (\[DMA|DRHD: handling fault)|scheduling while atomic|sleeping function called from invalid context|kmemleak: .*suspected memory leak`)

// checkKernelLog fails the spec for an alarming record, or a gap, in what a host's kernel said during the spec.
func checkKernelLog(ctx context.Context, host *vm.Host, from vm.Mark) {
	to, err := host.KernelLog().Mark(ctx, "end of spec")
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	records, err := host.KernelLog().Between(from, to)
	if err != nil {
		specreport.Broke(verdict.KernelLogReport, "%s: the kernel log is not whole: %v", host.Name(), err)
	}
	for _, record := range records {
		if record.Lost > 0 {
			specreport.Broke(verdict.KernelLogReport, "%s: %d records of the kernel log are missing", host.Name(), record.Lost)
		}
		if alarming.MatchString(record.Text) {
			env.caught = true
			specreport.Broke(verdict.KernelLogReport, "%s: kernel log: %s", host.Name(), record)
		}
	}
}

// resources are the RDMA objects of one host that a subject can leak, counted for each device: "rxe0 qp" and so on.
type resources map[string]uint64

// rdmaResources asks the kernel for the counts.
func rdmaResources(ctx context.Context, host *vm.Host) (resources, error) {
	held, err := host.Agent().RDMAResources(ctx)
	if err != nil {
		return nil, fmt.Errorf("count RDMA resources of %s: %w", host.Name(), err)
	}
	return leakable(held), nil
}

// pooled are objects that the kernel keeps for the next user when their last one has gone: completion queues stay in the
// pool of their device.
var pooled = map[string]bool{"cq": true}

// leakable are the objects that must go when their user goes.
func leakable(held agent.RDMAResources) resources {
	found := make(resources)
	for device, kinds := range held {
		for kind, count := range kinds {
			if !pooled[kind] {
				found[device+" "+kind] = count
			}
		}
	}
	return found
}

// differences lists what is not as in the baseline, as "rxe0 qp: 3 instead of 1".
func (r resources) differences(baseline resources) []string {
	var list []string
	for name, want := range baseline {
		if got := r[name]; got != want {
			list = append(list, fmt.Sprintf("%s: %d instead of %d", name, got, want))
		}
	}
	return list
}

// leakTime is how long resources may take to go back: the longest teardown of a path whose peer does not answer.
const leakTime = 40 * time.Second

// awaitBaseline waits until a host's RDMA resources are back at its baseline, and fails the spec when they are not in time.
func awaitBaseline(ctx context.Context, host *vm.Host, baseline resources) {
	deadline := time.NewTimer(leakTime)
	defer deadline.Stop()
	sample := time.NewTicker(SamplePeriod)
	defer sample.Stop()
	for {
		now, err := rdmaResources(ctx, host)
		gomega.Expect(err).NotTo(gomega.HaveOccurred())
		if maps.Equal(now, baseline) {
			return
		}
		select {
		case <-sample.C:
		case <-deadline.C:
			specreport.Broke(verdict.LeftBehind, "%s: %s after %s", host.Name(), strings.Join(now.differences(baseline), ", "), leakTime)
		case <-ctx.Done():
			ginkgo.Fail("RDMA resources: " + context.Cause(ctx).Error())
		}
	}
}
