// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"context"
	"path"
	"strconv"
	"strings"
	"syscall"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/vm/agent"
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

// SetReadOnly makes an export's disk refuse writes on the target.
func (p *Pair) SetReadOnly(ctx context.Context, e subject.Export) {
	ginkgo.GinkgoHelper()
	_, err := p.TargetHost.Agent().Output(ctx, "blockdev", "--setro", "/dev/"+e.Disk)
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
}

// WriteDurably writes buf at a byte offset of the device and returns when the device says that it is durable: O_DSYNC.
func (p *Pair) WriteDurably(ctx context.Context, d subject.Device, buf []byte, offset int64) error {
	flags := syscall.O_RDWR | syscall.O_DIRECT | syscall.O_DSYNC
	return p.use(ctx, p.InitiatorHost, d.Node, flags, func(f *agent.File) error {
		n, err := f.WriteAt(ctx, buf, offset)
		return wholly("write", n, len(buf), err)
	})
}
