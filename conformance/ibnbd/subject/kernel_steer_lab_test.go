// SPDX-License-Identifier: Apache-2.0

//go:build lab

package subject

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ibnbd/ibnbd/conformance/kit/machine"
	"github.com/ibnbd/ibnbd/kmod"
	"github.com/ibnbd/ibnbd/vm"
	"github.com/ibnbd/ibnbd/vm/image"
)

// TestProgramSteersTheKernel maps, lists and unmaps a device with ibnbd-client --kernel: by this project's client, and by mainline's.
func TestProgramSteersTheKernel(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	programs := machine.Programs{Dir: t.TempDir(), Version: "test"}
	must := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	must("compile", BuildReference(ctx, programs.Dir))
	lab, img := newKernelLab(ctx, t)
	server, client := lab.Hosts()[0], lab.Hosts()[1]
	target := newKModTarget(Environment{Host: server})
	must("start the target", target.Start(ctx, TargetOptions{Keys: KeysRefreshed}))
	export, err := target.Provide(ctx, ExportSpec{Name: "one", SizeMiB: 1})
	must("provide", err)
	must("install", programs.Install(ctx, client, clientProgram))
	for _, i := range []Initiator{newKMod(Environment{Host: client}), NewMainlineInitiator(client, img.Manifest.Release)} {
		names := NamesOf(i.Info().Dialect)
		t.Run(i.Info().Name, func(t *testing.T) {
			if err := i.Start(ctx); err != nil {
				t.Fatal(err)
			}
			s := steered{t, ctx, client, names, export.Path}
			s.test(client.NIC(0).IPv4.Addr().String()+"@"+server.NIC(0).IPv4.Addr().String(),
				client.NIC(1).IPv4.Addr().String()+"@"+server.NIC(1).IPv4.Addr().String())
			if err := i.Stop(ctx); err != nil {
				t.Error(err)
			}
		})
	}
}

// newKernelLab boots hosts that have this project's modules and mainline's.
func newKernelLab(ctx context.Context, t *testing.T) (*vm.Lab, *image.Image) {
	t.Helper()
	img, err := image.Build(ctx, image.Config{Modules: mainline.Modules, Sources: map[string]fs.FS{"kmod": kmod.Sources}}, func(step string) { t.Log(step) })
	if err != nil {
		t.Fatal(err)
	}
	lab, err := vm.Start(ctx, vm.Config{Hosts: []string{"server", "client"}, Image: img})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := lab.Close(); err != nil {
			t.Error(err)
		}
	})
	return lab, img
}

// steered is a client in the kernel that the program steers.
type steered struct {
	*testing.T
	ctx    context.Context
	host   *vm.Host
	names  Names
	export string
}

func (s *steered) run(args ...string) string {
	s.Helper()
	out, err := machine.Run(s.ctx, s.host, clientProgram, append(args, "--kernel")...)
	if err != nil {
		s.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func (s *steered) fails(want syscall.Errno, args ...string) {
	s.Helper()
	if _, err := machine.Run(s.ctx, s.host, clientProgram, append(args, "--kernel")...); !errors.Is(err, want) {
		s.Errorf("%s: %v, want %v", strings.Join(args, " "), err, want)
	}
}

func (s *steered) test(paths ...string) {
	node := "/dev/" + s.names.DiskPrefix + "0"
	args := []string{"map", "--session", "gold", "--policy", "min-inflight", "--max-reconnect-attempts", "7", s.export}
	for _, p := range paths {
		args = append(args, "--path", p)
	}
	if got := s.run(args...); got != node {
		s.Errorf("map prints %q, want %q", got, node)
	}
	s.fails(syscall.EEXIST, "map", "--session", "gold", s.export)
	s.fails(syscall.ENOENT, "map", "--session", "gold", "dev/nosuch")
	if _, err := s.host.Agent().Output(s.ctx, "dd", "if="+node, "of=/dev/null", "bs=4096", "count=8", "iflag=direct"); err != nil {
		s.Error(err)
	}
	if got := s.run("list"); !strings.Contains(got, node) || !strings.Contains(got, "1048576") {
		s.Errorf("list prints\n%s", got)
	}
	s.checkStat(len(paths))
	attempts, err := machine.ReadWord(s.ctx, s.host, s.names.ClientSession("gold")+"/max_reconnect_attempts")
	if err != nil || attempts != "7" {
		s.Errorf("max_reconnect_attempts is %q, want 7: %v", attempts, err)
	}
	s.run("unmap", s.export)
	if got := s.run("list"); strings.Contains(got, node) {
		s.Errorf("after unmap, list prints\n%s", got)
	}
	s.fails(syscall.ENODEV, "unmap", s.export)
}

// checkStat looks at what stat tells: the session with its paths, over which something was read.
func (s *steered) checkStat(paths int) {
	var sessions []clientStatus
	if err := json.Unmarshal([]byte(s.run("stat", "--json")), &sessions); err != nil {
		s.Fatal(err)
	}
	if len(sessions) != 1 || sessions[0].Session != "gold" || sessions[0].Policy != "min-inflight" || len(sessions[0].Paths) != paths {
		s.Fatalf("stat tells %+v", sessions)
	}
	var reads uint64
	for _, p := range sessions[0].Paths {
		reads += p.Stats.Reads
		if p.State != "connected" {
			s.Errorf("path %s is %s", p.Name, p.State)
		}
	}
	if reads < 8 {
		s.Errorf("stat tells of %d reads, want at least 8", reads)
	}
	if ours := s.names.DiskDirAlias != ""; ours != (sessions[0].Bounds != nil) {
		s.Errorf("stat tells bounds %+v", sessions[0].Bounds)
	}
}
