// SPDX-License-Identifier: Apache-2.0

//go:build lab

package subject

import (
	"fmt"
	"io/fs"
	"net/netip"
	"testing"

	"github.com/ibnbd/ibnbd/conformance/kit/machine"
	"github.com/ibnbd/ibnbd/kmod"
	"github.com/ibnbd/ibnbd/vm"
	"github.com/ibnbd/ibnbd/vm/fio"
	"github.com/ibnbd/ibnbd/vm/image"
	"github.com/ibnbd/ibnbd/vm/qemu"
)

// How often each server is measured under each load, and how long each time.
const (
	benchTurns   = 9
	benchSeconds = 1
)

const (
	benchMiB     = 128 // of the disk
	benchSession = "bench"
)

var benchLoads = []fio.Load{
	{Name: "read4k-qd16", Options: []string{"--rw=randread", "--bs=4k", "--iodepth=16"}},
	{Name: "write4k-qd16", Options: []string{"--rw=randwrite", "--bs=4k", "--iodepth=16"}},
	{Name: "read128k-qd4", Options: []string{"--rw=read", "--bs=128k", "--iodepth=4"}},
	{Name: "write128k-qd4", Options: []string{"--rw=write", "--bs=128k", "--iodepth=4"}},
}

var benchModes = []struct {
	name string
	keys KeyMode
}{{"KeysRefreshed", KeysRefreshed}, {"KeysKept", KeysKept}}

// BenchmarkServer compares this project's servers, in userspace over verbs and in the kernel, with mainline's in the kernel: the same
// guests, the same RAM disk and mainline's client in front of all. The servers take turns, so that a change of the machine's load
// meets them alike. It reports the speed of ours as a share of mainline's: the median over all turns.
func BenchmarkServer(b *testing.B) {
	for _, mode := range benchModes {
		b.Run(mode.name, func(b *testing.B) { compareServers(b, mode.keys) })
	}
}

func compareServers(b *testing.B, keys KeyMode) {
	r := newServerRace(b, keys, "")
	r.fill()
	for b.Loop() {
		speeds := make([]map[string][]int64, len(r.servers))
		for i := range speeds {
			speeds[i] = map[string][]int64{}
		}
		for turn := range benchTurns {
			for place := range r.servers {
				i := (turn + place) % len(r.servers)
				r.measure(r.servers[i], speeds[i])
			}
		}
		for _, load := range benchLoads {
			for i, server := range r.servers[1:] {
				ours, mainline := speeds[i+1][load.Name], speeds[0][load.Name]
				share := fio.Share(ours, mainline)
				b.ReportMetric(share, server.Info().Name+"-"+load.Name)
				b.Logf("%-14s %.3f of mainline's by turns; bytes a second: %s %d, mainline %d", load.Name, share, server.Info().Name, ours, mainline)
			}
		}
	}
}

// BenchmarkServerWork compares what the same servers have their machine do: the instructions that its guest executes for a
// request. It reports mainline's number as a share of ours, which does not depend on what else this machine does.
func BenchmarkServerWork(b *testing.B) {
	for _, mode := range benchModes {
		b.Run(mode.name, func(b *testing.B) { compareWork(b, mode.keys) })
	}
}

func compareWork(b *testing.B, keys KeyMode) {
	plugin, err := qemu.BuildCounter(b.Context(), b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	r := newServerRace(b, keys, plugin)
	r.fill()
	for b.Loop() {
		mainline := r.work(r.servers[0])
		for _, server := range r.servers[1:] {
			ours := r.work(server)
			for i, load := range benchLoads {
				b.ReportMetric(mainline[i]/ours[i], server.Info().Name+"-"+load.Name)
				b.Logf("%-14s %.3f: %s %.0f instructions a request, mainline %.0f", load.Name, mainline[i]/ours[i], server.Info().Name, ours[i], mainline[i])
			}
		}
	}
}

// work gives the instructions that a server's guest executes for a request, by load.
func (r *serverRace) work(server Target) (instructions []float64) {
	r.Helper()
	r.serve(server, func(device Device) {
		for _, load := range benchLoads {
			_, err := fio.Speed(r.Context(), r.client.Agent(), device.Node, load, benchSeconds) // its code is translated then
			r.must(err)
			executed, requests := r.executed(), r.requests()
			_, err = fio.Speed(r.Context(), r.client.Agent(), device.Node, load, benchSeconds)
			r.must(err)
			instructions = append(instructions, float64(r.executed()-executed)/float64(r.requests()-requests))
		}
	})
	return instructions
}

// executed is the number of instructions that the server's guest has executed.
func (r *serverRace) executed() uint64 {
	r.Helper()
	n, err := r.server.Machine().Instructions()
	r.must(err)
	return n
}

// requests is the number of requests that the client has sent.
func (r *serverRace) requests() uint64 {
	r.Helper()
	n, err := r.initiator.Requests(r.Context(), benchSession, r.path)
	r.must(err)
	return n
}

// serverRace is a lab with servers on its first host, of which one serves at a time, and mainline's client on its second.
type serverRace struct {
	*testing.B
	keys           KeyMode
	server, client *vm.Host
	path           PathAddr
	servers        []Target // mainline's is the first
	initiator      *MainlineInitiator
	export         Export
}

// newServerRace makes the lab, whose machines count instructions by a plugin unless that is "".
func newServerRace(b *testing.B, keys KeyMode, counter string) *serverRace {
	b.Helper()
	r := &serverRace{B: b, keys: keys}
	programs := machine.Programs{Dir: b.TempDir(), Version: "bench"}
	r.must(BuildReference(b.Context(), programs.Dir))
	img, err := image.Build(b.Context(), image.Config{Modules: []string{"rnbd"}, Sources: map[string]fs.FS{"kmod": kmod.Sources}}, func(step string) { b.Log(step) })
	r.must(err)
	lab, err := vm.Start(b.Context(), vm.Config{Hosts: []string{"server", "client"}, Image: img, MTU: vm.LargeMTU, Rails: 1, Counter: counter})
	r.must(err)
	b.Cleanup(func() { r.must(lab.Close()) })
	server, client := lab.Hosts()[0], lab.Hosts()[1]
	r.must(client.Unpack(b.Context(), "fio"))
	from, to := client.NIC(0).IPv4.Addr(), server.NIC(0).IPv4.Addr()
	r.server, r.client, r.path = server, client, PathAddr{from, to}
	mainline := NewMainlineTarget(server, img.Manifest.Release)
	r.servers = []Target{mainline, NewReferenceTarget(server, programs, []netip.Addr{to}), newKModTarget(Environment{Host: server})}
	r.initiator = NewMainlineInitiator(client, img.Manifest.Release)
	r.must(r.initiator.Start(b.Context()))
	r.export, err = mainline.Provide(b.Context(), ExportSpec{Name: "bench", SizeMiB: benchMiB, BlockSize: 512})
	r.must(err)
	return r
}

// fill writes the whole disk once: the RAM disk is quicker at reading what was never written, which only the first server
// could do.
func (r *serverRace) fill() {
	r.Helper()
	r.serve(r.servers[0], func(device Device) {
		_, err := r.client.Agent().Output(r.Context(), "dd", "if=/dev/urandom", "of="+device.Node, "bs=1M", fmt.Sprintf("count=%d", benchMiB), "oflag=direct")
		r.must(err)
	})
}

func (r *serverRace) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

// measure puts each load on a server once.
func (r *serverRace) measure(server Target, speeds map[string][]int64) {
	r.Helper()
	r.serve(server, func(device Device) {
		for _, load := range benchLoads {
			speed, err := fio.Speed(r.Context(), r.client.Agent(), device.Node, load, benchSeconds)
			r.must(err)
			speeds[load.Name] = append(speeds[load.Name], speed)
		}
	})
}

// serve lets one server serve while the disk is used.
func (r *serverRace) serve(server Target, use func(Device)) {
	r.Helper()
	r.must(server.Start(r.Context(), TargetOptions{Keys: r.keys}))
	device, err := r.initiator.Map(r.Context(), MapRequest{Session: benchSession, Paths: []PathAddr{r.path}, Device: r.export.Path})
	r.must(err)
	use(device)
	r.must(r.initiator.Unmap(r.Context(), device, UnmapNormal))
	r.must(server.Stop(r.Context()))
}
