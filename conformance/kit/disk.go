// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"bytes"
	"context"
	"fmt"
	"path"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/vm"
	"github.com/ibnbd/ibnbd/vm/agent"
)

// Disk is a mapped device that a spec has open, past the page cache (O_DIRECT). It is closed after the spec at the latest.
type Disk struct {
	file   *agent.File
	closed bool
}

// Open opens a device for reading and writing.
func (p *Pair) Open(ctx context.Context, d subject.Device) *Disk {
	ginkgo.GinkgoHelper()
	disk, err := p.open(ctx, p.InitiatorHost, d.Node, syscall.O_RDWR|syscall.O_DIRECT)
	gomega.Expect(err).NotTo(gomega.HaveOccurred(), "open %s", d.Node)
	return disk
}

func (p *Pair) open(ctx context.Context, host *vm.Host, node string, flags int) (*Disk, error) {
	file, err := host.Agent().Open(ctx, node, flags)
	if err != nil {
		return nil, err
	}
	disk := &Disk{file: file}
	p.disks = append(p.disks, disk)
	return disk, nil
}

// Close closes the disk; closing it twice is no error.
func (d *Disk) Close(ctx context.Context) error {
	if d.closed {
		return nil
	}
	d.closed = true
	return d.file.Close(ctx)
}

// use opens a device, does something with it and closes it. The error is that of the first thing that failed.
func (p *Pair) use(ctx context.Context, host *vm.Host, node string, flags int, do func(*agent.File) error) error {
	file, err := host.Agent().Open(ctx, node, flags)
	if err != nil {
		return err
	}
	err = do(file)
	if closeErr := file.Close(ctx); err == nil {
		err = closeErr
	}
	return err
}

// ReadAt fills buf from a byte offset of the device.
func (p *Pair) ReadAt(ctx context.Context, d subject.Device, buf []byte, offset int64) error {
	return p.readFrom(ctx, p.InitiatorHost, d.Node, buf, offset)
}

func (p *Pair) readFrom(ctx context.Context, host *vm.Host, node string, buf []byte, offset int64) error {
	return p.use(ctx, host, node, syscall.O_RDONLY|syscall.O_DIRECT, func(f *agent.File) error {
		n, err := f.ReadAt(ctx, buf, offset)
		return wholly("read", n, len(buf), err)
	})
}

// WriteAt writes buf at a byte offset of the device.
func (p *Pair) WriteAt(ctx context.Context, d subject.Device, buf []byte, offset int64) error {
	return p.use(ctx, p.InitiatorHost, d.Node, syscall.O_RDWR|syscall.O_DIRECT, func(f *agent.File) error {
		n, err := f.WriteAt(ctx, buf, offset)
		return wholly("write", n, len(buf), err)
	})
}

func wholly(what string, n, want int, err error) error {
	if err == nil && n != want {
		return fmt.Errorf("%s of %d bytes: only %d done", what, want, n)
	}
	return err
}

// Flush makes the device's volatile cache durable.
func (p *Pair) Flush(ctx context.Context, d subject.Device) error {
	return p.use(ctx, p.InitiatorHost, d.Node, syscall.O_RDWR, func(f *agent.File) error { return f.Sync(ctx) })
}

// Discard discards a range in bytes.
func (p *Pair) Discard(ctx context.Context, d subject.Device, offset, length int64) error {
	return p.use(ctx, p.InitiatorHost, d.Node, syscall.O_RDWR, func(f *agent.File) error { return f.Discard(ctx, offset, length) })
}

// ZeroOut zeroes a range in bytes.
func (p *Pair) ZeroOut(ctx context.Context, d subject.Device, offset, length int64) error {
	return p.use(ctx, p.InitiatorHost, d.Node, syscall.O_RDWR, func(f *agent.File) error { return f.ZeroOut(ctx, offset, length) })
}

// Fill writes one byte value over a range.
func (p *Pair) Fill(ctx context.Context, d subject.Device, offset int64, length int, value byte) {
	ginkgo.GinkgoHelper()
	gomega.Expect(p.WriteAt(ctx, d, bytes.Repeat([]byte{value}, length), offset)).To(gomega.Succeed())
}

// Size gives the size of a device in bytes.
func (p *Pair) Size(ctx context.Context, d subject.Device) int64 {
	ginkgo.GinkgoHelper()
	sectors, err := strconv.ParseInt(p.Client.Word(ctx, path.Join("/sys/block", d.Disk, "size")), 10, 64)
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	return sectors * 512
}

// Queue gives a property of the device's request queue.
func (p *Pair) Queue(ctx context.Context, d subject.Device, name string) string {
	ginkgo.GinkgoHelper()
	return p.Client.Word(ctx, path.Join("/sys/block", d.Disk, "queue", name))
}

// ExportQueue gives a property of the export's request queue on the target.
func (p *Pair) ExportQueue(ctx context.Context, e subject.Export, name string) string {
	ginkgo.GinkgoHelper()
	return p.Server.Word(ctx, path.Join("/sys/block", e.Disk, "queue", name))
}

// MaxIO is the largest request in bytes that the device takes without splitting it.
func (p *Pair) MaxIO(ctx context.Context, d subject.Device) int {
	ginkgo.GinkgoHelper()
	kib, err := strconv.Atoi(p.Queue(ctx, d, "max_sectors_kb"))
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	return kib << 10
}

// DiskThere says whether the disk of a device is there. One of NBD's, of which there is a fixed number, is there as long as it
// can be read.
func (p *Pair) DiskThere(ctx context.Context, d subject.Device) bool {
	ginkgo.GinkgoHelper()
	const block = 4096
	if p.Initiator.Info().Userland {
		return p.ReadAt(ctx, d, make([]byte, block), 0) == nil
	}
	return p.Client.Exists(ctx, path.Join("/sys/block", d.Disk))
}

// Reads are reads that were started together.
type Reads struct {
	done sync.WaitGroup
	errs []error
}

// StartReads starts count reads of size bytes, side by side, and returns when all of them are submitted.
func (p *Pair) StartReads(ctx context.Context, d subject.Device, count, size int) *Reads {
	ginkgo.GinkgoHelper()
	disk := p.Open(ctx, d)
	blocks := int(p.Size(ctx, d)) / size
	r := &Reads{errs: make([]error, count)}
	var submitted sync.WaitGroup
	for i := range count {
		r.done.Add(1)
		submitted.Add(1)
		go func() {
			defer r.done.Done()
			buf := make([]byte, size)
			submitted.Done()
			n, err := disk.file.ReadAt(ctx, buf, int64(i%blocks*size))
			r.errs[i] = wholly("read", n, size, err)
		}()
	}
	submitted.Wait()
	return r
}

// Wait waits for all reads and gives their errors.
func (r *Reads) Wait(ctx context.Context) []error {
	ginkgo.GinkgoHelper()
	finished := make(chan struct{})
	go func() { r.done.Wait(); close(finished) }()
	select {
	case <-finished:
	case <-ctx.Done():
		ginkgo.Fail("reads did not end: " + ctx.Err().Error())
	}
	return r.errs
}

// Fio runs fio on a device, with direct I/O and the given options, and expects it to succeed.
func (p *Pair) Fio(ctx context.Context, d subject.Device, options ...string) {
	ginkgo.GinkgoHelper()
	p.unpack(ctx, p.InitiatorHost, "fio")
	args := append([]string{"--name=spec", "--filename=" + d.Node, "--direct=1", "--ioengine=libaio", "--thread"}, options...)
	result, err := p.InitiatorHost.Agent().Run(ctx, agent.Command{Path: "fio", Args: args})
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	gomega.Expect(result.Err()).NotTo(gomega.HaveOccurred(), "fio %s\n%s", strings.Join(options, " "), result.Stdout)
}
