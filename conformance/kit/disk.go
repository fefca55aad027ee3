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

	"github.com/ibnbd/ibnbd/vm"
	"github.com/ibnbd/ibnbd/vm/agent"
)

// BlockDevice is a block device of the initiator's machine: what a subject has mapped.
type BlockDevice interface {
	// NodePath is where its node is, such as /dev/sda.
	NodePath() string
}

// diskName is the kernel's name of a block device.
func diskName(d BlockDevice) string { return path.Base(d.NodePath()) }

// Disk is a mapped device that a spec has open, past the page cache (O_DIRECT). It is closed after the spec at the latest.
type Disk struct {
	file   *agent.File
	closed bool
}

// Open opens a device for reading and writing.
func (t *Testbed) Open(ctx context.Context, d BlockDevice) *Disk {
	ginkgo.GinkgoHelper()
	disk, err := t.open(ctx, t.InitiatorHost, d.NodePath(), syscall.O_RDWR|syscall.O_DIRECT)
	gomega.Expect(err).NotTo(gomega.HaveOccurred(), "open %s", d.NodePath())
	return disk
}

func (t *Testbed) open(ctx context.Context, host *vm.Host, node string, flags int) (*Disk, error) {
	file, err := host.Agent().Open(ctx, node, flags)
	if err != nil {
		return nil, err
	}
	disk := &Disk{file: file}
	t.disks = append(t.disks, disk)
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

// use opens a device, does something with it and closes it. The error is that of the first thing that failed. When ctx has ended
// the I/O may still be in the kernel: the device is closed when it returns, which is not waited for.
func (t *Testbed) use(ctx context.Context, host *vm.Host, node string, flags int, do func(*agent.File) error) error {
	file, err := host.Agent().Open(ctx, node, flags)
	if err != nil {
		return err
	}
	err = do(file)
	if ctx.Err() != nil {
		go func() { _ = file.Close(context.WithoutCancel(ctx)) }() // a machine that is gone has nothing open
		return err
	}
	if closeErr := file.Close(ctx); err == nil {
		err = closeErr
	}
	return err
}

// ReadAt fills buf from a byte offset of the device.
func (t *Testbed) ReadAt(ctx context.Context, d BlockDevice, buf []byte, offset int64) error {
	return t.ReadFrom(ctx, t.InitiatorHost, d.NodePath(), buf, offset)
}

// ReadFrom fills buf from a byte offset of a block device of either host, past all caches.
func (t *Testbed) ReadFrom(ctx context.Context, host *vm.Host, node string, buf []byte, offset int64) error {
	return t.use(ctx, host, node, syscall.O_RDONLY|syscall.O_DIRECT, func(f *agent.File) error {
		n, err := f.ReadAt(ctx, buf, offset)
		return wholly("read", n, len(buf), err)
	})
}

// WriteAt writes buf at a byte offset of the device.
func (t *Testbed) WriteAt(ctx context.Context, d BlockDevice, buf []byte, offset int64) error {
	return t.use(ctx, t.InitiatorHost, d.NodePath(), syscall.O_RDWR|syscall.O_DIRECT, func(f *agent.File) error {
		n, err := f.WriteAt(ctx, buf, offset)
		return wholly("write", n, len(buf), err)
	})
}

// WriteDurably writes buf at a byte offset of the device and returns when the device says that it is durable: O_DSYNC.
func (t *Testbed) WriteDurably(ctx context.Context, d BlockDevice, buf []byte, offset int64) error {
	flags := syscall.O_RDWR | syscall.O_DIRECT | syscall.O_DSYNC
	return t.use(ctx, t.InitiatorHost, d.NodePath(), flags, func(f *agent.File) error {
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
func (t *Testbed) Flush(ctx context.Context, d BlockDevice) error {
	return t.use(ctx, t.InitiatorHost, d.NodePath(), syscall.O_RDWR, func(f *agent.File) error { return f.Sync(ctx) })
}

// Discard discards a range in bytes.
func (t *Testbed) Discard(ctx context.Context, d BlockDevice, offset, length int64) error {
	return t.use(ctx, t.InitiatorHost, d.NodePath(), syscall.O_RDWR, func(f *agent.File) error { return f.Discard(ctx, offset, length) })
}

// ZeroOut zeroes a range in bytes.
func (t *Testbed) ZeroOut(ctx context.Context, d BlockDevice, offset, length int64) error {
	return t.use(ctx, t.InitiatorHost, d.NodePath(), syscall.O_RDWR, func(f *agent.File) error { return f.ZeroOut(ctx, offset, length) })
}

// Fill writes one byte value over a range.
func (t *Testbed) Fill(ctx context.Context, d BlockDevice, offset int64, length int, value byte) {
	ginkgo.GinkgoHelper()
	gomega.Expect(t.WriteAt(ctx, d, bytes.Repeat([]byte{value}, length), offset)).To(gomega.Succeed())
}

// Size gives the size of a device in bytes.
func (t *Testbed) Size(ctx context.Context, d BlockDevice) int64 {
	ginkgo.GinkgoHelper()
	sectors, err := strconv.ParseInt(t.Client.Word(ctx, path.Join("/sys/block", diskName(d), "size")), 10, 64)
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	return sectors * 512
}

// Queue gives a property of the device's request queue.
func (t *Testbed) Queue(ctx context.Context, d BlockDevice, name string) string {
	ginkgo.GinkgoHelper()
	return t.Client.Word(ctx, path.Join("/sys/block", diskName(d), "queue", name))
}

// MaxIO is the largest request in bytes that the device takes without splitting it.
func (t *Testbed) MaxIO(ctx context.Context, d BlockDevice) int {
	ginkgo.GinkgoHelper()
	kib, err := strconv.Atoi(t.Queue(ctx, d, "max_sectors_kb"))
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	return kib << 10
}

// Started are reads or writes that were started together.
type Started struct {
	done sync.WaitGroup
	errs []error
}

// StartReads starts count reads of size bytes, side by side, and returns when all of them are submitted. No two of them touch, or the
// kernel might make one request of two.
func (t *Testbed) StartReads(ctx context.Context, d BlockDevice, count, size int) *Started {
	ginkgo.GinkgoHelper()
	return t.start(ctx, d, count, size, "read", (*agent.File).ReadAt)
}

// StartWrites does so with writes, of zeros.
func (t *Testbed) StartWrites(ctx context.Context, d BlockDevice, count, size int) *Started {
	ginkgo.GinkgoHelper()
	return t.start(ctx, d, count, size, "write", (*agent.File).WriteAt)
}

func (t *Testbed) start(ctx context.Context, d BlockDevice, count, size int, what string,
	do func(*agent.File, context.Context, []byte, int64) (int, error)) *Started {
	ginkgo.GinkgoHelper()
	disk := t.Open(ctx, d)
	blocks := int(t.Size(ctx, d)) / size
	s := &Started{errs: make([]error, count)}
	var submitted sync.WaitGroup
	for i := range count {
		s.done.Add(1)
		submitted.Add(1)
		go func() {
			defer s.done.Done()
			buf := make([]byte, size)
			submitted.Done()
			n, err := do(disk.file, ctx, buf, int64(2*i%blocks*size))
			s.errs[i] = wholly(what, n, size, err)
		}()
	}
	submitted.Wait()
	return s
}

// Wait waits for all of them and gives their errors.
func (s *Started) Wait(ctx context.Context) []error {
	ginkgo.GinkgoHelper()
	finished := make(chan struct{})
	go func() { s.done.Wait(); close(finished) }()
	select {
	case <-finished:
	case <-ctx.Done():
		ginkgo.Fail("I/Os did not end: " + ctx.Err().Error())
	}
	return s.errs
}

// Fio runs fio on a device, with direct I/O and the given options, and expects it to succeed.
func (t *Testbed) Fio(ctx context.Context, d BlockDevice, options ...string) {
	ginkgo.GinkgoHelper()
	t.unpack(ctx, t.InitiatorHost, "fio")
	args := append([]string{"--name=spec", "--filename=" + d.NodePath(), "--direct=1", "--ioengine=libaio", "--thread"}, options...)
	result, err := t.InitiatorHost.Agent().Run(ctx, agent.Command{Path: "fio", Args: args})
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	gomega.Expect(result.Err()).NotTo(gomega.HaveOccurred(), "fio %s\n%s", strings.Join(options, " "), result.Stdout)
}
