// SPDX-License-Identifier: Apache-2.0

package block

import (
	"bytes"
	"fmt"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/clauses/claim"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/pair"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/conformance/kit"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
)

const deviceMiB = 16

var _ = Describe("I/O on a mapped device", func() {
	var (
		p      *pair.Pair
		export subject.Export
		device subject.Device
	)

	BeforeEach(func(ctx SpecContext) {
		p = pair.Current()
		export = p.Export(ctx, subject.ExportSpec{SizeMiB: deviceMiB, Discard: true, Cache: true})
		device = p.Map(ctx, p.Request(export))
	})

	const end = deviceMiB << 20

	DescribeTable("brings back what was written", claim.Clauses("IBNBD-IO-001"),
		func(ctx SpecContext, offset int64, size int) {
			p.WriteStamped(ctx, device, offset, size)
			p.VerifyStamped(ctx, device)
			p.VerifyStampedOnExport(ctx, export)
		},
		Entry("one sector at the beginning", kit.Smoke, int64(0), 512),
		Entry("one sector in the middle", int64(5*512), 512),
		Entry("one sector at the end", int64(end-512), 512),
		Entry("one page", int64(4096), 4096),
		Entry("three sectors across a page", int64(4096-512), 3*512),
		Entry("the largest request that is not split", int64(1<<20), 124*1024),
		Entry("one sector less than that", int64(1<<20), 124*1024-512),
		Entry("128 KiB, which is split", kit.Smoke, int64(131072), 128*1024),
		Entry("1 MiB at an odd sector", int64(3*512), 1<<20),
		Entry("the last MiB", int64(end-1<<20), 1<<20),
	)

	It("keeps writes of every size from one sector to 64 apart", claim.Clauses("IBNBD-IO-001"), func(ctx SpecContext) {
		offset := int64(0)
		for sectors := 1; sectors <= 64; sectors++ {
			p.WriteStamped(ctx, device, offset, sectors*512)
			offset += int64(sectors+1) * 512
		}
		p.VerifyStamped(ctx, device)
		p.VerifyStampedOnExport(ctx, export)
	})

	It("carries the largest I/O that the session has", claim.Clauses("IBTRS-IO-027"), func(ctx SpecContext) {
		p.WriteStamped(ctx, device, 0, p.MaxIO(ctx, device))
		p.VerifyStamped(ctx, device)
		p.VerifyStampedOnExport(ctx, export)
	})

	It("lets a later write win over an earlier one", claim.Clauses("IBNBD-IO-001"), func(ctx SpecContext) {
		for range 20 {
			p.WriteStamped(ctx, device, 8192, 16*1024)
		}
		p.VerifyStamped(ctx, device)
		p.VerifyStampedOnExport(ctx, export)
	})

	It("keeps deep queues waiting and loses none of them", claim.Clauses("IBTRS-IO-020"), func(ctx SpecContext) {
		reads := p.StartReads(ctx, device, 600, 4096)
		Expect(reads.Wait(ctx)).To(HaveEach(BeNil()))
	})

	It("flushes", kit.Smoke, claim.Clauses("IBNBD-IO-004"), func(ctx SpecContext) {
		p.WriteStamped(ctx, device, 0, 4096)
		Expect(p.Flush(ctx, device)).To(Succeed())
		p.VerifyStampedOnExport(ctx, export)
	})

	It("discards a range and nothing else", claim.Clauses("IBNBD-IO-006"), func(ctx SpecContext) {
		p.WriteStamped(ctx, device, 1<<20-4096, 4096)
		p.WriteStamped(ctx, device, 1<<20+65536, 4096)
		Expect(p.Discard(ctx, device, 1<<20, 65536)).To(Succeed())
		p.VerifyStamped(ctx, device)
		p.VerifyStampedOnExport(ctx, export)
	})

	It("zeroes a range and nothing else", claim.Clauses("IBNBD-IO-007"), func(ctx SpecContext) {
		p.WriteStamped(ctx, device, 1<<20-4096, 4096)
		p.Fill(ctx, device, 1<<20, 65536, 0xa5)
		p.WriteStamped(ctx, device, 1<<20+65536, 4096)
		Expect(p.ZeroOut(ctx, device, 1<<20, 65536)).To(Succeed())
		zeroed := make([]byte, 65536)
		Expect(p.ReadAt(ctx, device, zeroed, 1<<20)).To(Succeed())
		Expect(bytes.Count(zeroed, []byte{0})).To(Equal(len(zeroed)), "zero bytes in the range")
		p.VerifyStamped(ctx, device)
	})

	DescribeTable("fails beyond the end", claim.Clauses("IBNBD-IO-016"),
		func(ctx SpecContext, offset int64, size int) {
			p.WriteStamped(ctx, device, end-4096, 4096)
			Expect(p.WriteAt(ctx, device, make([]byte, size), offset)).NotTo(Succeed(), "write of %d bytes at %d", size, offset)
			p.VerifyStampedOnExport(ctx, export)
		},
		Entry("right behind it", int64(end), 512),
		Entry("far behind it", int64(end)*4, 4096),
	)

	It("fails beyond the end of an export that is smaller than the disk", claim.Clauses("IBNBD-IO-016"), func(ctx SpecContext) {
		p.NeedSysfs(clauses.Initiator)
		file := p.Names().DiskFile(device.Disk, "resize")
		Expect(p.Client.Write(ctx, file, fmt.Sprint(2*end/512))).To(Succeed())
		Expect(p.ReadAt(ctx, device, make([]byte, 4096), end+4096)).To(MatchError(syscall.EIO))
		Expect(p.WriteAt(ctx, device, make([]byte, 4096), end+4096)).To(MatchError(syscall.EIO))
		p.WriteStamped(ctx, device, 0, 4096)
		p.VerifyStampedOnExport(ctx, export)
	})

	It("passes fio's verification of random writes", kit.Takes(20), claim.Clauses("IBNBD-IO-001"), func(ctx SpecContext) {
		p.Fio(ctx, device, "--rw=randwrite", "--bsrange=512-131072", "--bs_unaligned=0", "--blockalign=512", "--iodepth=16",
			"--size=8M", "--verify=crc32c", "--do_verify=1", "--verify_fatal=1")
	})

	It("passes fio's verification of mixed I/O with flushes", kit.Takes(20), claim.Clauses("IBNBD-IO-001", "IBNBD-IO-004"), func(ctx SpecContext) {
		p.Fio(ctx, device, "--rw=randrw", "--bs=4k", "--iodepth=16", "--size=8M", "--fsync=16",
			"--verify=crc32c", "--do_verify=1", "--verify_fatal=1")
	})

	It("lets reads and writes of both sides of a session see each other", claim.Clauses("IBNBD-IO-001"), func(ctx SpecContext) {
		r := p.Request(export)
		r.Access = ibnbd.ReadOnly.String()
		reader := p.Map(ctx, r)
		p.WriteStamped(ctx, device, 65536, 8192)
		p.VerifyStampedVia(ctx, device, reader)
	})
})
