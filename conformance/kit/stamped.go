// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"context"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/conformance/stamp"
)

// written remembers a stamped write, so that it can be looked for later.
type written struct {
	node   string // of the device on the initiator
	offset int64
	size   int
	stamp  stamp.Stamp
}

// WriteStamped writes stamped blocks to a byte range of a device. What it overwrites is no longer looked for.
func (p *Pair) WriteStamped(ctx context.Context, d subject.Device, offset int64, size int) {
	ginkgo.GinkgoHelper()
	p.writeStamped(d, offset, size, func(buf []byte) error { return p.WriteAt(ctx, d, buf, offset) })
}

// WriteStampedDurably is WriteStamped with O_DSYNC.
func (p *Pair) WriteStampedDurably(ctx context.Context, d subject.Device, offset int64, size int) {
	ginkgo.GinkgoHelper()
	p.writeStamped(d, offset, size, func(buf []byte) error { return p.WriteDurably(ctx, d, buf, offset) })
}

func (p *Pair) writeStamped(d subject.Device, offset int64, size int, write func(buf []byte) error) {
	ginkgo.GinkgoHelper()
	p.sequence++
	s := stamp.Stamp{Writer: uint64(ginkgo.GinkgoParallelProcess()), Sequence: p.sequence, Time: time.Now().UnixNano()}
	buf := make([]byte, size)
	stamp.Fill(buf, uint64(offset)/stamp.Sector, s)
	gomega.Expect(write(buf)).To(gomega.Succeed(), "write %d bytes at %d", size, offset)
	p.forget(d.Node, offset, size)
	p.written = append(p.written, written{d.Node, offset, size, s})
}

// forget drops what a new write covers; a write that it only touches would be half right, so specs do not do that.
func (p *Pair) forget(node string, offset int64, size int) {
	kept := p.written[:0]
	for _, w := range p.written {
		if w.node != node || w.offset+int64(w.size) <= offset || offset+int64(size) <= w.offset {
			kept = append(kept, w)
		}
	}
	p.written = kept
}

// VerifyStamped reads everything that was written to a device through WriteStamped, through that device.
func (p *Pair) VerifyStamped(ctx context.Context, d subject.Device) {
	ginkgo.GinkgoHelper()
	p.VerifyStampedVia(ctx, d, d)
}

// VerifyStampedVia reads what was written to one device through another that maps the same export.
func (p *Pair) VerifyStampedVia(ctx context.Context, writer, reader subject.Device) {
	ginkgo.GinkgoHelper()
	p.verify(writer, func(buf []byte, offset int64) error { return p.ReadAt(ctx, reader, buf, offset) })
}

// VerifyStampedOnExport reads what was written to the one device of an export on the target itself, past all caches.
func (p *Pair) VerifyStampedOnExport(ctx context.Context, e subject.Export) {
	ginkgo.GinkgoHelper()
	p.verify(p.Mapped(ctx, e), func(buf []byte, offset int64) error {
		return p.readFrom(ctx, p.TargetHost, "/dev/"+e.Disk, buf, offset)
	})
}

func (p *Pair) verify(d subject.Device, read func(buf []byte, offset int64) error) {
	ginkgo.GinkgoHelper()
	checked := 0
	for _, w := range p.written {
		if w.node != d.Node {
			continue
		}
		buf := make([]byte, w.size)
		gomega.Expect(read(buf, w.offset)).To(gomega.Succeed(), "read %d bytes at %d", w.size, w.offset)
		gomega.Expect(stamp.Check(buf, uint64(w.offset)/stamp.Sector, w.stamp)).To(gomega.Succeed())
		checked++
	}
	gomega.Expect(checked).NotTo(gomega.BeZero(), "stamped writes to %s", d.Node)
}
