// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"context"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"

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
func (t *Testbed) WriteStamped(ctx context.Context, d BlockDevice, offset int64, size int) {
	ginkgo.GinkgoHelper()
	t.writeStamped(d, offset, size, func(buf []byte) error { return t.WriteAt(ctx, d, buf, offset) })
}

// WriteStampedDurably is WriteStamped with O_DSYNC.
func (t *Testbed) WriteStampedDurably(ctx context.Context, d BlockDevice, offset int64, size int) {
	ginkgo.GinkgoHelper()
	t.writeStamped(d, offset, size, func(buf []byte) error { return t.WriteDurably(ctx, d, buf, offset) })
}

func (t *Testbed) writeStamped(d BlockDevice, offset int64, size int, write func(buf []byte) error) {
	ginkgo.GinkgoHelper()
	t.sequence++
	s := stamp.Stamp{Writer: uint64(ginkgo.GinkgoParallelProcess()), Sequence: t.sequence, Time: time.Now().UnixNano()}
	buf := make([]byte, size)
	stamp.Fill(buf, uint64(offset)/stamp.Sector, s)
	gomega.Expect(write(buf)).To(gomega.Succeed(), "write %d bytes at %d", size, offset)
	t.forget(d.NodePath(), offset, size)
	t.written = append(t.written, written{d.NodePath(), offset, size, s})
}

// forget drops what a new write covers; a write that it only touches would be half right, so specs do not do that.
func (t *Testbed) forget(node string, offset int64, size int) {
	kept := t.written[:0]
	for _, w := range t.written {
		if w.node != node || w.offset+int64(w.size) <= offset || offset+int64(size) <= w.offset {
			kept = append(kept, w)
		}
	}
	t.written = kept
}

// VerifyStamped reads everything that was written to a device through WriteStamped, through that device.
func (t *Testbed) VerifyStamped(ctx context.Context, d BlockDevice) {
	ginkgo.GinkgoHelper()
	t.VerifyStampedVia(ctx, d, d)
}

// VerifyStampedVia reads what was written to one device through another that maps the same export.
func (t *Testbed) VerifyStampedVia(ctx context.Context, writer, reader BlockDevice) {
	ginkgo.GinkgoHelper()
	t.VerifyStampedBy(writer, func(buf []byte, offset int64) error { return t.ReadAt(ctx, reader, buf, offset) })
}

// VerifyStampedBy does so by a function that fills a buffer from a byte offset.
func (t *Testbed) VerifyStampedBy(d BlockDevice, read func(buf []byte, offset int64) error) {
	ginkgo.GinkgoHelper()
	checked := 0
	for _, w := range t.written {
		if w.node != d.NodePath() {
			continue
		}
		buf := make([]byte, w.size)
		gomega.Expect(read(buf, w.offset)).To(gomega.Succeed(), "read %d bytes at %d", w.size, w.offset)
		gomega.Expect(stamp.Check(buf, uint64(w.offset)/stamp.Sector, w.stamp)).To(gomega.Succeed())
		checked++
	}
	gomega.Expect(checked).NotTo(gomega.BeZero(), "stamped writes to %s", d.NodePath())
}
