// SPDX-License-Identifier: Apache-2.0

//go:build lab

package judge

import (
	"bytes"
	"compress/gzip"
	"context"
	"flag"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/reference/roce"
	"github.com/ibnbd/ibnbd/vm"
	"github.com/ibnbd/ibnbd/vm/agent"
	"github.com/ibnbd/ibnbd/vm/fabric"
	"github.com/ibnbd/ibnbd/vm/image"
)

// Captures of testdata are made by
//
//	go test -tags lab ./conformance/ibnbd/judge -run TestMakeRecordings -args -update
//
// and without -update the same is recorded, examined and thrown away.
var update = flag.Bool("update", false, "put the recordings into testdata")

// rig is mainline RNBD on two hosts.
type rig struct {
	testing.TB
	lab       *vm.Lab
	target    *subject.MainlineTarget
	initiator *subject.MainlineInitiator
	export    subject.Export
	device    subject.Device
}

func newRig(tb testing.TB, mtu int) *rig {
	tb.Helper()
	img, err := image.Build(tb.Context(), image.Config{Modules: []string{"rnbd"}}, func(step string) { tb.Log(step) })
	if err != nil {
		tb.Fatal(err)
	}
	lab, err := vm.Start(tb.Context(), vm.Config{Hosts: []string{"server", "client"}, Image: img, MTU: mtu})
	if err != nil {
		tb.Fatal(err)
	}
	r := &rig{TB: tb, lab: lab}
	tb.Cleanup(func() { r.must(lab.Close()) })
	r.target = subject.NewMainlineTarget(lab.Host("server"), img.Manifest.Release)
	r.initiator = subject.NewMainlineInitiator(lab.Host("client"), img.Manifest.Release)
	r.must(r.initiator.Start(tb.Context()))
	return r
}

func (r *rig) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

// serve makes the target serve one export until end is called, and lets the initiator map it.
func (r *rig) serve(keys subject.KeyMode, export subject.ExportSpec) (end func()) {
	r.Helper()
	ctx := r.Context()
	r.must(r.target.Start(ctx, subject.TargetOptions{Keys: keys}))
	export.Name, export.SizeMiB = "lab", 16
	var err error
	r.export, err = r.target.Provide(ctx, export)
	r.must(err)
	return func() {
		r.Helper()
		r.must(r.target.Stop(ctx))
		r.must(r.target.Withdraw(ctx, r.export))
	}
}

func (r *rig) mapOver(session string, paths ...subject.PathAddr) {
	r.Helper()
	var err error
	r.device, err = r.initiator.Map(r.Context(), subject.MapRequest{Session: session, Paths: paths, Device: r.export.Path})
	r.must(err)
}

func (r *rig) unmap() {
	r.Helper()
	r.must(r.initiator.Unmap(r.Context(), r.device, subject.UnmapNormal))
}

func (r *rig) path(rail int) subject.PathAddr {
	return subject.PathAddr{Source: r.lab.Hosts()[1].NIC(rail).IPv4.Addr(), Destination: r.lab.Hosts()[0].NIC(rail).IPv4.Addr()}
}

func (r *rig) path6(rail int) subject.PathAddr {
	return subject.PathAddr{Source: r.lab.Hosts()[1].NIC(rail).IPv6.Addr(), Destination: r.lab.Hosts()[0].NIC(rail).IPv6.Addr()}
}

// disk opens the device past the page cache.
func (r *rig) disk() *agent.File {
	r.Helper()
	file, err := r.lab.Hosts()[1].Agent().Open(r.Context(), r.device.Node, syscall.O_RDWR|syscall.O_DIRECT)
	r.must(err)
	return file
}

// write fills a range with bytes that tell where they belong; read expects to find them.
func (r *rig) write(d *agent.File, offset int64, size int) {
	r.Helper()
	_, err := d.WriteAt(r.Context(), pattern(offset, size), offset)
	r.must(err)
}

func (r *rig) read(d *agent.File, offset int64, size int) {
	r.Helper()
	got := make([]byte, size)
	_, err := d.ReadAt(r.Context(), got, offset)
	r.must(err)
	if !bytes.Equal(got, pattern(offset, size)) {
		r.Fatalf("%d bytes at %d are not what was written", size, offset)
	}
}

func pattern(offset int64, size int) []byte {
	return bytes.Repeat([]byte{byte(offset>>12) ^ 0x5A}, size)
}

// script is what is done while a recording runs.
type script func(r *rig)

var scripts = map[string]script{
	"static-keys":  recordStaticKeys,
	"ipv6":         recordIPv6,
	"failover":     recordFailover,
	"return":       recordReturn,
	"losses":       recordLosses,
	"round-robin":  func(r *rig) { recordPolicy(r, "turns", "rr", true) },
	"min-inflight": func(r *rig) { recordPolicy(r, "idlest", "mi", false) },
}

func TestMakeRecordings(t *testing.T) {
	r := newRig(t, vm.DefaultMTU)
	for _, recording := range recordings {
		t.Run(recording.name, func(t *testing.T) {
			run := *r
			run.TB = t
			dir := t.TempDir()
			wire, err := r.lab.Record(dir, recording.name)
			run.must(err)
			scripts[recording.name](&run)
			run.must(wire.Close())
			recording.examine(t, tests.Load(t, recording.fresh(dir)...))
			if *update && !t.Failed() {
				for i, path := range recording.files("testdata", ".pcapng.gz") {
					run.must(compress(path, recording.fresh(dir)[i]))
				}
			}
		})
	}
}

// fresh are the files that the rails have written.
func (r recording) fresh(dir string) []string {
	var paths []string
	for _, rail := range r.rails {
		paths = append(paths, filepath.Join(dir, rail+".pcapng"))
	}
	return paths
}

func compress(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := io.Copy(w, in); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return os.WriteFile(to, packed.Bytes(), 0o644)
}

func recordStaticKeys(r *rig) {
	end := r.serve(subject.KeysKept, subject.ExportSpec{Cache: true, Discard: true})
	ctx := r.Context()
	const bad = "+4096-4103" // sectors that cannot be read nor written
	r.must(r.lab.Hosts()[0].Agent().WriteFile(ctx, "/sys/kernel/config/nullb/lab/badblocks", []byte(bad)))
	r.mapOver("static", r.path(0))
	d := r.disk()
	r.write(d, 0, 4096)
	r.write(d, 65536, 65536)
	r.read(d, 0, 4096)
	r.read(d, 65536, 65536)
	r.must(d.Sync(ctx))
	r.must(d.Discard(ctx, 1<<20, 65536))
	if _, err := d.ReadAt(ctx, make([]byte, 4096), 4096*512); err == nil {
		r.Error("a bad block is read")
	}
	if _, err := d.WriteAt(ctx, make([]byte, 4096), 4096*512); err == nil {
		r.Error("a bad block is written")
	}
	_, err := d.ReadAt(ctx, make([]byte, 4096), 512*512)
	r.must(err)
	r.must(d.Close(ctx))
	r.unmap()
	end()
}

func recordIPv6(r *rig) {
	end := r.serve(subject.KeysRefreshed, subject.ExportSpec{})
	r.mapOver("six", r.path6(0), r.path6(1))
	d := r.disk()
	r.write(d, 4096, 8192)
	r.read(d, 4096, 8192)
	r.must(d.Close(r.Context()))
	r.unmap()
	end()
}

// recordFailover closes a path while requests are under way on both, and changes paths in every way there is.
func recordFailover(r *rig) {
	end := r.serve(subject.KeysRefreshed, subject.ExportSpec{Latency: 300 * time.Millisecond})
	ctx := r.Context()
	r.mapOver("over", r.path(0), r.path(1))
	r.must(r.initiator.SetPolicy(ctx, "over", "rr"))
	d := r.disk()
	both := r.under(d, 0, 8, 0, 1)
	r.must(r.initiator.DisconnectPath(ctx, "over", r.path(0)))
	both()
	r.must(r.initiator.ReconnectPath(ctx, "over", r.path(0)))
	r.under(d, 8, 4, 0, 1)()
	r.must(r.initiator.RemovePath(ctx, "over", r.path(1)))
	r.under(d, 12, 2, 0)()
	r.must(r.initiator.AddPath(ctx, "over", r.path(1)))
	r.under(d, 14, 4, 0, 1)()
	r.must(d.Close(ctx))
	r.unmap()
	end()
}

// under starts count writes of 4 KiB side by side from a block on, and returns when each of the rails has carried one. The
// function that it returns waits for the writes.
func (r *rig) under(d *agent.File, block, count int, rails ...int) (wait func()) {
	r.Helper()
	var handles []*fabric.Handle
	for _, rail := range rails {
		// A copy that is no copy: a delay of nothing marks the frame and leaves it as it is.
		h, err := r.lab.Rails()[rail].Inject(fabric.Fault{
			Match: fabric.And(fabric.FromPort("client"), fabric.Opcode(roce.RCWriteLastImm)), Action: fabric.Delay{Base: time.Nanosecond},
		})
		r.must(err)
		handles = append(handles, h)
	}
	var writes sync.WaitGroup
	for i := range count {
		writes.Go(func() {
			offset := int64(block+i) * 4096
			if _, err := d.WriteAt(context.WithoutCancel(r.Context()), pattern(offset, 4096), offset); err != nil {
				r.Error(err)
			}
		})
	}
	for _, h := range handles {
		r.must(h.WaitApplied(r.Context(), 1))
		r.must(h.Remove())
	}
	return writes.Wait
}

// recordReturn loses the only path of a session and gets it back.
func recordReturn(r *rig) {
	end := r.serve(subject.KeysRefreshed, subject.ExportSpec{})
	ctx := r.Context()
	r.mapOver("back", r.path(0))
	r.must(r.initiator.DisconnectPath(ctx, "back", r.path(0)))
	r.must(r.initiator.ReconnectPath(ctx, "back", r.path(0)))
	r.until("the device is open again", func() bool {
		state, err := r.initiator.State(ctx, r.device)
		r.must(err)
		return state == "open"
	})
	d := r.disk()
	_, err := d.ReadAt(ctx, make([]byte, 4096), 1<<20)
	r.must(err)
	r.must(d.Close(ctx))
	r.unmap()
	end()
}

// until waits for what nothing announces.
func (r *rig) until(what string, so func() bool) {
	r.Helper()
	deadline := time.Now().Add(time.Minute)
	for !so() {
		if time.Now().After(deadline) {
			r.Fatalf("it does not happen that %s", what)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// recordPolicy reads over two paths, the first of which is slow, four reads at a time; then it may wait for heartbeats and
// read as much again.
func recordPolicy(r *rig, session, policy string, beats bool) {
	end := r.serve(subject.KeysRefreshed, subject.ExportSpec{})
	ctx := r.Context()
	r.mapOver(session, r.path(0), r.path(1))
	r.must(r.initiator.SetPolicy(ctx, session, policy))
	slow, err := r.lab.Rails()[0].Inject(fabric.Fault{Match: fabric.FromPort("server"), Action: fabric.Delay{Base: 20 * time.Millisecond, InOrder: true}})
	r.must(err)
	d := r.disk()
	if beats {
		r.awaitBeats()
	}
	var readers sync.WaitGroup
	for i := range int64(4) {
		readers.Go(func() {
			for range 80 {
				if _, err := d.ReadAt(ctx, make([]byte, 512), i*512); err != nil {
					r.Error(err)
				}
			}
		})
	}
	readers.Wait()
	r.must(d.Close(ctx))
	r.unmap()
	r.must(slow.Remove())
	end()
}

// awaitBeats waits until a heartbeat was acknowledged on each path.
func (r *rig) awaitBeats() {
	r.Helper()
	for _, rail := range r.lab.Rails() {
		h, err := rail.Inject(fabric.Fault{
			Match:  fabric.And(fabric.FromPort("server"), fabric.Immediate("acknowledgement", func(i uint32) bool { return i>>28 == 9 })),
			Action: fabric.Delay{Base: time.Nanosecond},
		})
		r.must(err)
		r.must(h.WaitApplied(r.Context(), 1))
		r.must(h.Remove())
	}
}

// recordLosses loses packets of all kinds in both directions; reliable connections send them again. The target keeps its
// keys: with key refresh, soft-RoCE of Linux 6.12 does not survive the loss of what a target sends.
func recordLosses(r *rig) {
	end := r.serve(subject.KeysKept, subject.ExportSpec{})
	ctx := r.Context()
	r.mapOver("lossy", r.path(0), r.path(1))
	r.must(r.initiator.SetPolicy(ctx, "lossy", "rr"))
	d := r.disk()
	var handles []*fabric.Handle
	for rail, every := range []fabric.Every{17, 13} {
		h, err := r.lab.Rails()[rail].Inject(fabric.Fault{Match: fabric.IsRoCE(), Pick: every, Action: fabric.Drop{}})
		r.must(err)
		handles = append(handles, h)
	}
	for i := range int64(6) {
		r.write(d, i*16384, 16384)
	}
	for i := range int64(6) {
		r.read(d, i*16384, 16384)
	}
	for _, h := range handles {
		r.must(h.Remove())
	}
	r.must(d.Close(ctx))
	r.unmap()
	end()
}
