// SPDX-License-Identifier: Apache-2.0

//go:build lab

package vm_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ibnbd/ibnbd/vm"
	"github.com/ibnbd/ibnbd/vm/fio"
	"github.com/ibnbd/ibnbd/vm/image"
)

// storageModules are the block storage that a lab is usually made for. The lab knows nothing of it; the benchmarks do.
var storageModules = []string{"rnbd_server", "rnbd_client"}

// BenchmarkBoot measures how long it takes until two hosts are ready, RDMA devices active and storage modules loaded, from
// a warm cache: on the usual two rails, on four, and on as many as there can be.
func BenchmarkBoot(b *testing.B) {
	img := buildImage(b.Context(), b)
	for _, rails := range []int{2, 4, vm.MaxRails} {
		b.Run(fmt.Sprintf("rails=%d", rails), func(b *testing.B) {
			for b.Loop() {
				l, err := vm.Start(b.Context(), vm.Config{Image: img, Modules: storageModules, Rails: rails})
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				if err := l.Close(); err != nil {
					b.Error(err)
				}
				b.StartTimer()
			}
		})
	}
}

// BenchmarkWire measures what fio gets from a block device over one rail: on a wire of QEMU's own sockets, through the
// fabric, and through the fabric while it records. All three labs exist at the same time, all but one of them stopped, and
// take turns, so that a change of the machine's load meets them alike. It reports the median over all
// turns of a wire's speed as a share of the direct wire's in the same turn; the log has the fastest turns too.
func BenchmarkWire(b *testing.B) {
	img := buildImage(b.Context(), b)
	for b.Loop() {
		wires := []*wire{newWire(b, img, "direct"), newWire(b, img, "fabric"), newWire(b, img, "recording")}
		for round := range rounds {
			for i := range wires {
				wires[(round+i)%len(wires)].measure(b)
			}
		}
		table := []string{""}
		for _, load := range loads {
			for _, w := range wires {
				table = append(table, w.compare(load, wires[0]))
				b.ReportMetric(w.share(load, wires[0]), load.Name+"-"+w.name)
			}
		}
		b.Log(strings.Join(table, "\n"))
	}
}

var loads = []fio.Load{
	{Name: "read4k-qd1", Options: []string{"--rw=randread", "--bs=4k", "--iodepth=1"}},
	{Name: "read4k-qd16", Options: []string{"--rw=randread", "--bs=4k", "--iodepth=16"}},
	{Name: "read128k-qd4", Options: []string{"--rw=read", "--bs=128k", "--iodepth=4"}},
	{Name: "write128k-qd4", Options: []string{"--rw=write", "--bs=128k", "--iodepth=4"}},
}

// How often every wire is measured, and how long each time.
const (
	rounds  = 9
	seconds = 1
)

// A wire is a lab whose second host has mapped a RAM disk of the first.
type wire struct {
	name    string
	lab     *vm.Lab
	results map[string][]int64 // bytes a second, by load
}

func newWire(b *testing.B, img *image.Image, name string) *wire {
	b.Helper()
	l, err := vm.Start(b.Context(), vm.Config{
		Image: img, Direct: name == "direct", MTU: vm.LargeMTU, Rails: 1, Modules: storageModules,
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := l.Close(); err != nil {
			b.Error(err)
		}
	})
	w := &wire{name: name, lab: l, results: map[string][]int64{}}
	begin := time.Now()
	if err := l.Hosts()[1].Unpack(b.Context(), "fio"); err != nil {
		b.Fatal(err)
	}
	b.Logf("fio unpacked in %v", time.Since(begin))
	if err := w.mapDisk(b.Context()); err != nil {
		b.Fatal(err)
	}
	w.each(b, (*vm.Host).Hang)
	return w
}

// mapDisk has the first host export a RAM disk and the second map it.
func (w *wire) mapDisk(ctx context.Context) error {
	server, client := w.lab.Hosts()[0], w.lab.Hosts()[1]
	if err := server.Agent().LoadModule(ctx, "brd", "rd_nr=1", "rd_size=131072"); err != nil {
		return err
	}
	request := fmt.Sprintf("sessname=bench path=ip:%s device_path=dev/ram0", server.NIC(0).IPv4.Addr())
	return client.Agent().WriteFile(ctx, "/sys/devices/virtual/rnbd-client/ctl/map_device", []byte(request))
}

// each does something to both hosts.
func (w *wire) each(b *testing.B, do func(*vm.Host, context.Context) error) {
	b.Helper()
	for _, h := range w.lab.Hosts() {
		if err := do(h, b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// measure wakes the lab, runs all loads once, and stops it again.
func (w *wire) measure(b *testing.B) {
	b.Helper()
	w.each(b, (*vm.Host).Resume)
	if w.name == "recording" {
		recording, err := w.lab.Record(b.TempDir(), b.Name())
		if err != nil {
			b.Fatal(err)
		}
		defer func() {
			if err := recording.Close(); err != nil {
				b.Error(err)
			}
		}()
	}
	for _, load := range loads {
		speed, err := fio.Speed(b.Context(), w.lab.Hosts()[1].Agent(), "/dev/rnbd0", load, seconds)
		if err != nil {
			b.Fatalf("on the wire %s: %v\n%s", w.name, err, w.kernelLogs())
		}
		w.results[load.Name] = append(w.results[load.Name], speed)
	}
	for _, r := range w.lab.Rails() {
		if lost := r.Stats().Overflow; lost > 0 {
			b.Errorf("%s lost %d frames by itself", r.Name(), lost)
		}
	}
	w.each(b, (*vm.Host).Hang)
}

// kernelLogs returns the end of both hosts' kernel logs.
func (w *wire) kernelLogs() string {
	const lines = 20
	var text strings.Builder
	for _, h := range w.lab.Hosts() {
		records, _ := h.KernelLog().Since(0)
		for _, r := range records[max(0, len(records)-lines):] {
			fmt.Fprintln(&text, h.Name(), r)
		}
	}
	return text.String()
}

// compare says how a wire did under a load, beside the direct one.
func (w *wire) compare(l fio.Load, direct *wire) string {
	best := float64(slices.Max(w.results[l.Name]))
	return fmt.Sprintf("%-12s %-10s %.3f of direct by turns; best turn %6.2f MB/s, %.3f of the best direct one", l.Name, w.name,
		w.share(l, direct), best/1e6, best/float64(slices.Max(direct.results[l.Name])))
}

func (w *wire) share(l fio.Load, direct *wire) float64 {
	return fio.Share(w.results[l.Name], direct.results[l.Name])
}
