// SPDX-License-Identifier: Apache-2.0

package pair

import (
	"context"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/conformance/kit"
)

// flushesField is the place of the number of flushes in the stat file of a block device.
const flushesField = 15

// Flushes is how many flushes an export's disk has completed, those included that the kernel makes of FUA writes.
func (p *Pair) Flushes(ctx context.Context, e subject.Export) uint64 {
	ginkgo.GinkgoHelper()
	fields := strings.Fields(p.Server.Word(ctx, path.Join("/sys/block", e.Disk, "stat")))
	gomega.Expect(len(fields)).To(gomega.BeNumerically(">", flushesField), "fields of the stat file of %s", e.Disk)
	n, err := strconv.ParseUint(fields[flushesField], 10, 64)
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	return n
}

// AwaitInFlight waits until so many requests are with an export's disk.
func (p *Pair) AwaitInFlight(ctx context.Context, e subject.Export, want int) {
	ginkgo.GinkgoHelper()
	gomega.Eventually(func() (sum int) {
		for _, word := range strings.Fields(p.Server.Word(ctx, path.Join("/sys/block", e.Disk, "inflight"))) { // reads and writes
			n, err := strconv.Atoi(word)
			gomega.Expect(err).NotTo(gomega.HaveOccurred())
			sum += n
		}
		return sum
	}).WithContext(ctx).WithTimeout(kit.AtOnce).WithPolling(10*time.Millisecond).Should(gomega.Equal(want), "requests with %s", e.Disk)
}

// Resize changes the size of an export that was asked for as resizable.
func (p *Pair) Resize(ctx context.Context, e subject.Export, sizeMiB int) {
	ginkgo.GinkgoHelper()
	gomega.Expect(p.Target.Resize(ctx, e, sizeMiB)).To(gomega.Succeed())
}

// WriteBeside writes zeros to an export's disk on the target's own machine, past the target and past the page cache, and flushes nothing.
func (p *Pair) WriteBeside(ctx context.Context, e subject.Export, offset, size int64) {
	ginkgo.GinkgoHelper()
	_, err := p.TargetHost.Agent().Output(ctx, "dd", "if=/dev/zero", "of=/dev/"+e.Disk, "oflag=direct", "conv=notrunc",
		"bs="+strconv.FormatInt(size, 10), "seek="+strconv.FormatInt(offset/size, 10), "count=1")
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
}

// SetReadOnly makes an export's disk refuse writes on the target.
func (p *Pair) SetReadOnly(ctx context.Context, e subject.Export) {
	ginkgo.GinkgoHelper()
	_, err := p.TargetHost.Agent().Output(ctx, "blockdev", "--setro", "/dev/"+e.Disk)
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
}

// ExportQueue gives a property of the export's request queue on the target.
func (p *Pair) ExportQueue(ctx context.Context, e subject.Export, name string) string {
	ginkgo.GinkgoHelper()
	return p.Server.Word(ctx, path.Join("/sys/block", e.Disk, "queue", name))
}

// VerifyStampedOnExport reads what was written to the one device of an export on the target itself, past all caches.
func (p *Pair) VerifyStampedOnExport(ctx context.Context, e subject.Export) {
	ginkgo.GinkgoHelper()
	p.VerifyStampedBy(p.Mapped(ctx, e), func(buf []byte, offset int64) error {
		return p.ReadFrom(ctx, p.TargetHost, "/dev/"+e.Disk, buf, offset)
	})
}

// DurableExport is the export of a disk that outlives the target's machine. It has a volatile write cache, and when
// [kit.Testbed.PowerLoss] takes the power away it forgets all that was not flushed, or written with FUA. What earlier specs wrote
// is still on it.
func (p *Pair) DurableExport() subject.Export {
	return subject.Export{Path: "dev/" + kit.DurableDisk, Disk: kit.DurableDisk}
}
