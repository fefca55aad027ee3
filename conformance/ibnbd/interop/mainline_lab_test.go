// SPDX-License-Identifier: Apache-2.0

//go:build lab

package interop_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/reference/backend"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/vm/agent"
)

const (
	mebi    = 1 << 20
	sizeMiB = 4
)

// blockSizes are those that data is moved in, each in its part of a disk: a block, a page, a request of many packets, and
// what is cut into several requests.
var blockSizes = []int{512, 4096, 65536, mebi}

// newSession is a name of a session that mainline has not had: it lets go of one only some time after it is over.
func newSession() string {
	sessions++
	return fmt.Sprintf("interop-%d", sessions)
}

var sessions int

// part is the length in bytes of the part of a disk that each size has.
const part = sizeMiB * mebi / 4

// data is n random bytes, the same ones for a seed.
func data(seed byte, n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{seed}).Read(b) // never fails
	return b
}

// conditions are the key modes of the server, by both IP versions.
func conditions(more ...TableEntry) []TableEntry {
	return append([]TableEntry{
		Entry("with a key for each request, IPv4", subject.KeysRefreshed, ipv4, whole, specTime),
		Entry("with a key for each request, IPv6", subject.KeysRefreshed, ipv6, whole, specTime),
		Entry("with one key for all requests, IPv4", subject.KeysKept, ipv4, whole, specTime),
		Entry("with one key for all requests, IPv6", subject.KeysKept, ipv6, whole, specTime),
		Entry("with a key for each request, with twin packets", subject.KeysRefreshed, ipv6, twin, specTime),
	}, more...)
}

var _ = DescribeTable("the reference's client uses a disk of mainline's server",
	func(ctx context.Context, keys subject.KeyMode, f family, w wire) {
		export := serveMainline(ctx, keys)
		dev := onRail(f)
		w.spoil()
		cfg := ibnbd.DefaultClientConfig()
		cfg.Log, cfg.Transport.Log = log("client"), log("client")
		cfg.Transport.Name = newSession()
		cfg.Transport.AckTimeout = ackTimeout
		cfg.Transport.Paths = []ibtrs.PathConfig{{
			Device: dev, Server: netip.AddrPortFrom(f.guest.Addr(), ibtrs.DefaultPort),
		}}
		client, err := ibnbd.Connect(ctx, cfg)
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(client.Close)
		disk, err := client.Map(ctx, export.Path, ibnbd.ReadWrite, ibnbd.BlockIO)
		Expect(err).NotTo(HaveOccurred())
		Expect(disk.Size()).To(BeEquivalentTo(sizeMiB * mebi))
		Expect(target.Sessions(ctx)).To(ConsistOf(cfg.Transport.Name))

		written := write(ctx, disk)
		got := make([]byte, len(written))
		_, err = disk.ReadAtContext(ctx, got, 0)
		Expect(err).NotTo(HaveOccurred())
		expectSame(got, written, "read back")
		Expect(disk.Flush(ctx)).To(Succeed())
		expectSame(readDisk(ctx, "/dev/"+export.Disk, mebi, 0, len(written)), written, "on the server's disk")
		Expect(disk.Discard(ctx, 0, mebi)).To(Succeed())
		_, err = disk.ReadAtContext(ctx, got[:mebi], 0)
		Expect(err).NotTo(HaveOccurred())
		expectSame(got[:mebi], make([]byte, mebi), "discarded")

		_, err = disk.WriteAtContext(ctx, got[:512], disk.Size(), 0)
		Expect(err).To(HaveOccurred(), "a write behind the end")
		Expect(disk.Unmap(ctx, false)).To(Succeed())
		Expect(client.Close()).To(Succeed())
	}, conditions(
		// Not with a key for each request: mainline's server then registers memory among what it sends, and soft-RoCE of Linux
		// 6.12 does not survive to send that again.
		Entry("with one key for all requests, losing packets", subject.KeysKept, ipv4, losing, specTime),
	))

// ackTimeout is the code of the time after which a packet is taken for lost, 34 ms: so that losing one costs no second.
const ackTimeout = 13

// serveMainline starts mainline's server and gives it a disk.
func serveMainline(ctx context.Context, keys subject.KeyMode) subject.Export {
	GinkgoHelper()
	export, err := target.Provide(ctx, subject.ExportSpec{Name: "disk", SizeMiB: sizeMiB, Cache: true, Discard: true})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func(ctx context.Context) { Expect(target.Withdraw(ctx, export)).To(Succeed()) }, specTime)
	Expect(target.Start(ctx, subject.TargetOptions{Keys: keys})).To(Succeed())
	DeferCleanup(func(ctx context.Context) { Expect(target.Stop(ctx)).To(Succeed()) }, specTime)
	return export
}

// write fills a disk, each part of it in blocks of another size, and gives what it must hold.
func write(ctx context.Context, disk *ibnbd.Device) []byte {
	GinkgoHelper()
	all := data(1, int(disk.Size()))
	for i, size := range blockSizes {
		for at := i * part; at < (i+1)*part; at += size {
			_, err := disk.WriteAtContext(ctx, all[at:at+size], int64(at), 0)
			Expect(err).NotTo(HaveOccurred())
		}
	}
	return all
}

var _ = DescribeTable("mainline's client uses a disk of the reference's server",
	func(ctx context.Context, keys subject.KeyMode, f family, w wire) {
		memory, err := backend.NewMemory(sizeMiB*mebi, 512)
		Expect(err).NotTo(HaveOccurred())
		cfg := ibnbd.DefaultServerConfig()
		cfg.Log, cfg.Transport.Log = log("server"), log("server")
		cfg.Transport.Devices = append(cfg.Transport.Devices, onRail(f))
		cfg.Transport.KeyRefresh = bool(keys)
		cfg.Exports = []ibnbd.Export{{Path: "ram0", Backend: memory}}
		server, err := ibnbd.Listen(cfg)
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(server.Close)
		w.spoil()

		request := subject.MapRequest{
			Session: newSession(), Paths: []subject.PathAddr{{Source: f.guest.Addr(), Destination: f.own.Addr()}}, Device: "ram0",
		}
		disk, err := initiator.Map(ctx, request)
		Expect(err).NotTo(HaveOccurred())
		Expect(initiator.State(ctx, disk)).To(Equal("open"))
		_, err = initiator.Map(ctx, request)
		Expect(err).To(MatchError(syscall.EEXIST), "mapping it again")

		held := make([]byte, sizeMiB*mebi)
		for i, size := range blockSizes {
			at, written := i*part, data(byte(i), part)
			writeDisk(ctx, disk.Node, size, at, written)
			Expect(memory.ReadAt(held, 0)).To(Succeed())
			expectSame(held[at:at+part], written, fmt.Sprintf("written in blocks of %d bytes", size))
			expectSame(readDisk(ctx, disk.Node, size, at, part), written, fmt.Sprintf("read in blocks of %d bytes", size))
		}
		expectSame(readDisk(ctx, disk.Node, mebi, 0, len(held)), held, "read whole")
		_, err = guest.Agent().Output(ctx, "blkdiscard", disk.Node)
		Expect(err).NotTo(HaveOccurred())
		expectSame(readDisk(ctx, disk.Node, mebi, 0, len(held)), make([]byte, len(held)), "discarded")
		Expect(initiator.Unmap(ctx, disk, subject.UnmapNormal)).To(Succeed())
		Expect(server.Devices()).To(BeEmpty())
	}, conditions()) // No lost packets, as above: mainline's client registers memory for each read.

// writeDisk writes to a disk of the guest from an offset on, past its page cache.
func writeDisk(ctx context.Context, node string, block, at int, content []byte) {
	GinkgoHelper()
	dd(ctx, agent.Command{
		Args: []string{
			"of=" + node, fmt.Sprintf("bs=%d", block), fmt.Sprintf("seek=%d", at), "iflag=fullblock", "oflag=direct,seek_bytes",
			"conv=fsync",
		},
		Stdin: bytes.NewReader(content),
	})
}

// readDisk reads a disk of the guest, past its page cache.
func readDisk(ctx context.Context, node string, block, at, length int) []byte {
	GinkgoHelper()
	return dd(ctx, agent.Command{Args: []string{
		"if=" + node, fmt.Sprintf("bs=%d", block), fmt.Sprintf("skip=%d", at), fmt.Sprintf("count=%d", length),
		"iflag=direct,skip_bytes,count_bytes",
	}})
}

func dd(ctx context.Context, c agent.Command) []byte {
	GinkgoHelper()
	c.Path = "dd"
	result, err := guest.Agent().Run(ctx, c)
	Expect(err).NotTo(HaveOccurred())
	Expect(result.Err()).To(Succeed())
	return result.Stdout
}

// expectSame compares without printing megabytes.
func expectSame(got, want []byte, what string) {
	GinkgoHelper()
	Expect(got).To(HaveLen(len(want)), what)
	for i := range want {
		if got[i] != want[i] {
			Fail(fmt.Sprintf("%s: byte %d is %#x, must be %#x", what, i, got[i], want[i]))
		}
	}
}
