// SPDX-License-Identifier: Apache-2.0

package pair

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/conformance/kit"
	"github.com/ibnbd/ibnbd/conformance/srp/subject"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/specreport"
	"github.com/ibnbd/ibnbd/reference/srp"
	"github.com/ibnbd/ibnbd/vm"
)

// retries of a queue pair that gives up. With 7, which is usual, soft-RoCE repeats for ever.
const retries = 5

// Breaks is the option by which a queue pair gives up.
var Breaks = Retries(retries)

// Retries is the option by which a queue pair repeats so often.
func Retries(n int) string { return fmt.Sprintf("tl_retry_count=%d", n) }

// ackTimeout is the code of the local ACK timeout that Linux 6.12 uses on RoCE, T_ack its time.
const (
	ackTimeout = 17
	ackTime    = 4096 * time.Nanosecond << ackTimeout
)

// AttemptMax is the longest that an attempt to reconnect takes unless its initiator is told otherwise.
const AttemptMax = 5 * time.Second

// Detection is the longest time from a loss until a queue pair that was connected with [Breaks] gives up, if something is outstanding.
func (p *Pair) Detection() verdict.Bound { return detection(retries) }

// QueuePairTimeout is the interval in which a queue pair with so many retries gives up, behind the first packet that nobody acknowledges.
// States are looked at every sample period.
func (p *Pair) QueuePairTimeout(retries int) verdict.Bound {
	b := detection(retries)
	b.AtLeast = b.Limit/4 - kit.SamplePeriod
	b.Limit += kit.SamplePeriod
	b.Formula = fmt.Sprintf("(R+1) x T_ack to %s, and a look", b.Formula)
	return b
}

func detection(retries int) verdict.Bound {
	return verdict.Bound{
		Limit:   4 * time.Duration(retries+1) * ackTime,
		Formula: fmt.Sprintf("4 x (retries %d + 1) x T_ack %s", retries, ackTime.Round(time.Millisecond)),
	}
}

// FailBound is the longest time from a loss to the failure of I/O that was outstanding then, for a queue pair with so many retries.
func (p *Pair) FailBound(retries int, t subject.Timers) verdict.Bound {
	b := detection(retries)
	late := FastIOFail(t)
	b.Limit += late.Limit
	b.Formula = fmt.Sprintf("detection %s + %s", b.Formula, late.Formula)
	return b
}

// FastIOFail is the longest time that fast_io_fail_tmo takes: a timer may be late by an eighth of its time, as everywhere, and what it
// starts needs a moment on a busy guest.
func FastIOFail(t subject.Timers) verdict.Bound {
	const moment = 500 * time.Millisecond
	late := max(t.FastIOFail/8, moment)
	return verdict.Bound{Limit: t.FastIOFail + late, Formula: fmt.Sprintf("fast_io_fail_tmo %s, late by %s", t.FastIOFail, late)}
}

// Identity is the part of a login string that names the target port.
func (p *Pair) Identity() string {
	extension, guid := subject.TargetPort.Split(srp.IOClassRev16a)
	return fmt.Sprintf("id_ext=%016x,ioc_guid=%016x", extension, guid)
}

// Look gives the states of a port and its disks.
func (p *Pair) Look(ctx context.Context, port subject.Port) subject.Look {
	ginkgo.GinkgoHelper()
	look, err := p.Initiator.Look(ctx, port)
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	return look
}

// AllDisks is every disk of a port, in a state.
func (p *Pair) AllDisks(port subject.Port, state string) map[string]string {
	all := make(map[string]string)
	for _, d := range port.Disks {
		all[d.Name] = state
	}
	return all
}

// GoneWith says whether a port is gone, with its disks.
func (p *Pair) GoneWith(ctx context.Context, port subject.Port) bool {
	ginkgo.GinkgoHelper()
	look := p.Look(ctx, port)
	return look.Port == subject.Gone && len(look.Disks) == 0
}

// Left lists the ports, hosts and disks that the initiator has.
func (p *Pair) Left(ctx context.Context) []string {
	ginkgo.GinkgoHelper()
	var all []string
	for _, dir := range []string{"/sys/class/srp_remote_ports", "/sys/class/srp_host", "/sys/class/scsi_device"} {
		all = append(all, p.Client.Names(ctx, dir)...)
	}
	slices.Sort(all)
	return all
}

// Timers sets those of a port.
func (p *Pair) Timers(ctx context.Context, port subject.Port, t subject.Timers) {
	ginkgo.GinkgoHelper()
	gomega.Expect(p.Initiator.SetTimers(ctx, port, t)).To(gomega.Succeed())
}

// FailedReconnects is how many attempts have failed since the last that did not.
func (p *Pair) FailedReconnects(ctx context.Context, port subject.Port) int {
	ginkgo.GinkgoHelper()
	n, err := strconv.Atoi(p.Client.Word(ctx, path.Join(port.Dir(), "failed_reconnects")))
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	return n
}

// CommandTimers are the times that commands of the disks of a port have.
func (p *Pair) CommandTimers(ctx context.Context, port subject.Port) []time.Duration {
	ginkgo.GinkgoHelper()
	var all []time.Duration
	for _, d := range port.Disks {
		seconds, err := strconv.Atoi(p.Client.Word(ctx, path.Join(d.DeviceDir(), "timeout")))
		gomega.Expect(err).NotTo(gomega.HaveOccurred())
		all = append(all, time.Duration(seconds)*time.Second)
	}
	return all
}

// Scan has the initiator look for units that are new at a port.
func (p *Pair) Scan(ctx context.Context, port subject.Port) {
	ginkgo.GinkgoHelper()
	gomega.Expect(p.Client.Write(ctx, path.Join(port.HostDir(), "scan"), "- - -")).To(gomega.Succeed())
}

// Expect ends the spec, as one that has seen a clause broken, unless something holds. Other clauses that the spec claims stay undecided.
func (p *Pair) Expect(clause string, holds bool, format string, args ...any) {
	ginkgo.GinkgoHelper()
	if !holds {
		specreport.BrokeClause(clause, verdict.AssertionFailed, format, args...)
	}
}

// LogMark is a place in the kernel log of the initiator's machine.
func (p *Pair) LogMark(ctx context.Context) vm.Mark {
	ginkgo.GinkgoHelper()
	mark, err := p.InitiatorHost.KernelLog().Mark(ctx, "a place to read from")
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	return mark
}

// LogSince is what the kernel of the initiator's machine has said behind a place.
func (p *Pair) LogSince(ctx context.Context, from vm.Mark) []vm.LogRecord {
	ginkgo.GinkgoHelper()
	records, err := p.InitiatorHost.KernelLog().Between(from, p.LogMark(ctx))
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	return records
}

// Held are the RDMA objects and the threads of the kernel that the initiator's machine has. Completion queues stay in the pool of their
// device, and workers belong to nobody.
func (p *Pair) Held(ctx context.Context) map[string]uint64 {
	ginkgo.GinkgoHelper()
	devices, err := p.InitiatorHost.Agent().RDMAResources(ctx)
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	held := make(map[string]uint64)
	for device, kinds := range devices {
		for kind, count := range kinds {
			if kind != "cq" {
				held[device+" "+kind] = count
			}
		}
	}
	const threads = `grep -lx "PPid:	2" /proc/[0-9]*/status 2>/dev/null | sed 's/status/comm/' | xargs cat 2>/dev/null | grep -vc "^kworker/"`
	count, err := p.InitiatorHost.Agent().Output(ctx, "sh", "-c", threads)
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	held["threads"], err = strconv.ParseUint(strings.TrimSpace(count), 10, 64)
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	return held
}
