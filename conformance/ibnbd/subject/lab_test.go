// SPDX-License-Identifier: Apache-2.0

//go:build lab

package subject

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/ibnbd/ibnbd/conformance/kit/machine"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/vm"
	"github.com/ibnbd/ibnbd/vm/image"
)

// referencePair is the reference on both hosts of a lab.
type referencePair struct {
	t              *testing.T
	server, client *vm.Host
	target         *ReferenceTarget
	initiator      *ReferenceInitiator
}

func newReferencePair(ctx context.Context, t *testing.T) *referencePair {
	t.Helper()
	programs := machine.Programs{Dir: t.TempDir(), Version: "test"}
	if err := BuildReference(ctx, programs.Dir); err != nil {
		t.Fatal(err)
	}
	img, err := image.Build(ctx, image.Config{}, func(step string) { t.Log(step) })
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
	p := &referencePair{t: t, server: lab.Hosts()[0], client: lab.Hosts()[1]}
	var listen []netip.Addr
	for _, nic := range p.server.NICs() {
		listen = append(listen, nic.IPv4.Addr(), nic.IPv6.Addr())
	}
	p.target, p.initiator = NewReferenceTarget(p.server, programs, listen), NewReferenceInitiator(p.client, programs)
	return p
}

func (p *referencePair) path(rail int) PathAddr {
	return PathAddr{p.client.NIC(rail).IPv4.Addr(), p.server.NIC(rail).IPv4.Addr()}
}

func (p *referencePair) path6(rail int) PathAddr {
	return PathAddr{p.client.NIC(rail).IPv6.Addr(), p.server.NIC(rail).IPv6.Addr()}
}

// is checks that an error is the wanted one; nil is none.
func (p *referencePair) is(what string, err, want error) {
	p.t.Helper()
	if want == nil && err != nil || want != nil && !errors.Is(err, want) {
		p.t.Fatalf("%s: %v, want %v", what, err, want)
	}
}

// awaitState waits until the client has told of a state of a device.
func (p *referencePair) awaitState(ctx context.Context, d Device, want string) {
	p.t.Helper()
	s, err := p.initiator.session(d.Session)
	p.is("session", err, nil)
	for {
		s.mu.Lock()
		news := s.news
		s.mu.Unlock()
		state, err := p.initiator.State(ctx, d)
		p.is("state", err, nil)
		if state == want {
			return
		}
		select {
		case <-news:
		case <-ctx.Done():
			p.t.Fatalf("device is %s, want %s", state, want)
		}
	}
}

func TestReferenceInTheLab(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	p := newReferencePair(ctx, t)
	p.is("start with too deep a queue", p.target.Start(ctx, TargetOptions{QueueDepth: 65536}), syscall.EINVAL)
	p.is("start target", p.target.Start(ctx, TargetOptions{Keys: KeysRefreshed}), nil)
	p.is("start initiator", p.initiator.Start(ctx), nil)
	one, err := p.target.Provide(ctx, ExportSpec{Name: "one", SizeMiB: 1, BlockSize: 4096})
	p.is("provide", err, nil)
	two, err := p.target.Provide(ctx, ExportSpec{Name: "two", SizeMiB: 1})
	p.is("provide", err, nil)

	first, err := p.initiator.Map(ctx, MapRequest{Session: "blya", Paths: []PathAddr{p.path(0)}, Device: one.Path})
	p.is("map", err, nil)
	for _, c := range []struct {
		what    string
		request MapRequest
		want    error
	}{
		{"map again", MapRequest{Session: "blya", Device: one.Path}, syscall.EEXIST},
		{"map what is not there", MapRequest{Session: "blya", Device: "dev/nosuch"}, syscall.ENOENT},
		{"map what another writes", MapRequest{Session: "other", Paths: []PathAddr{p.path(1)}, Device: one.Path}, syscall.EPERM},
		{"map with an impossible mode", MapRequest{Session: "blya", Device: two.Path, Access: "wo"}, syscall.EINVAL},
	} {
		_, err := p.initiator.Map(ctx, c.request)
		p.is(c.what, err, c.want)
	}
	second, err := p.initiator.Map(ctx, MapRequest{Session: "blya", Device: two.Path, Access: ibnbd.ReadOnly.String()})
	p.is("map a second device", err, nil)
	p.testPaths(ctx, first)
	p.testSocket(ctx, first)
	p.testUnmap(ctx, first, second)
	p.testClosed(ctx)
	p.testTerminated(ctx, one)
	p.testKilledClient(ctx, one)
	p.testDeath(ctx)
}

// testClosed unmaps a disk with a cache that nothing can be flushed to, since its path is closed.
func (p *referencePair) testClosed(ctx context.Context) {
	p.is("start initiator", p.initiator.Start(ctx), nil)
	e, err := p.target.Provide(ctx, ExportSpec{Name: "cached", SizeMiB: 1, Cache: true})
	p.is("provide", err, nil)
	d, err := p.initiator.Map(ctx, MapRequest{Session: "closed", Paths: []PathAddr{p.path(0)}, Device: e.Path})
	p.is("map", err, nil)
	p.is("disconnect", p.initiator.DisconnectPath(ctx, d.Session, p.path(0)), nil)
	p.awaitState(ctx, d, "closed")
	p.is("unmap a closed device", p.initiator.Unmap(ctx, d, UnmapNormal), nil)
}

// testTerminated tells a client to end while its disk is open, with data that is in memory yet: the server has it in the end.
func (p *referencePair) testTerminated(ctx context.Context, e Export) {
	d, err := p.initiator.Map(ctx, MapRequest{Session: "terminated", Paths: []PathAddr{p.path(0)}, Device: e.Path})
	p.is("map", err, nil)
	file, err := p.client.Agent().Open(ctx, d.Node, syscall.O_RDWR)
	p.is("open", err, nil)
	late := bytes.Repeat([]byte("late"), e.BlockSize/4)
	_, err = file.WriteAt(ctx, late, 0)
	p.is("write into memory", err, nil)
	s, err := p.initiator.session(d.Session)
	p.is("session", err, nil)
	p.is("terminate", s.process.Signal(syscall.SIGTERM), nil)
	<-s.process.Done()
	p.is("close", file.Close(ctx), nil)
	p.is("unmap", p.initiator.Unmap(ctx, d, UnmapForce), nil)
	disk, err := p.server.Agent().Open(ctx, "/dev/"+e.Disk, syscall.O_RDONLY)
	p.is("open the server's disk", err, nil)
	got := make([]byte, len(late))
	_, err = disk.ReadAt(ctx, got, 0)
	p.is("read the server's disk", err, nil)
	p.is("close the server's disk", disk.Close(ctx), nil)
	if !bytes.Equal(got, late) {
		p.t.Errorf("the server's disk begins with %q, want %q", got[:8], late[:8])
	}
}

// testSocket has another program make a second disk of what a client serves on its socket, and write there.
func (p *referencePair) testSocket(ctx context.Context, d Device) {
	guest := p.client.Agent()
	const node = "/dev/nbd150"
	_, err := guest.Output(ctx, "nbd-client", "-unix", "/run/ibnbd/nbd/"+d.Session+".sock", "-N", d.Export, node)
	p.is("nbd-client", err, nil)
	_, err = guest.Output(ctx, "sh", "-c", "printf %s ghost | dd of="+node+" bs=4096 conv=sync,fsync && dd if="+d.Node+" bs=4096 count=1 iflag=direct | grep -q ghost")
	p.is("what was written through the socket is on the disk", err, nil)
	_, err = guest.Output(ctx, "nbd-client", "-d", node)
	p.is("nbd-client -d", err, nil)
}

// testKilledClient takes away the disk that a killed client has left behind; else its driver cannot be unloaded.
func (p *referencePair) testKilledClient(ctx context.Context, e Export) {
	d, err := p.initiator.Map(ctx, MapRequest{Session: "killed", Paths: []PathAddr{p.path(0)}, Device: e.Path})
	p.is("map", err, nil)
	s, err := p.initiator.session(d.Session)
	p.is("session", err, nil)
	p.is("kill", s.process.Kill(), nil)
	<-s.process.Done()
	if err := p.initiator.Unmap(ctx, d, UnmapForce); err == nil {
		p.t.Error("unmapping what a killed client had mapped succeeds")
	}
	p.is("stop initiator", p.initiator.Stop(ctx), nil)
}

func (p *referencePair) testPaths(ctx context.Context, d Device) {
	p.is("add a path", p.initiator.AddPath(ctx, d.Session, p.path6(1)), nil)
	p.is("add it again", p.initiator.AddPath(ctx, d.Session, p.path6(1)), syscall.EEXIST)
	paths, err := p.initiator.Paths(ctx, d.Session)
	p.is("paths", err, nil)
	if want := []PathStatus{{p.path(0), true}, {p.path6(1), true}}; !slices.Equal(paths, want) {
		p.t.Errorf("paths are %v, want %v", paths, want)
	}
	state, seen, err := p.initiator.Look(ctx, d)
	p.is("look", err, nil)
	if state != "open" || !slices.Equal(seen, paths) {
		p.t.Errorf("a look shows a device that is %s and paths that are %v, want open and %v", state, seen, paths)
	}
	p.is("remove a path", p.initiator.RemovePath(ctx, d.Session, p.path6(1)), nil)
	p.is("policy", p.initiator.SetPolicy(ctx, d.Session, "rr"), nil)
	if policy, _ := p.initiator.Policy(ctx, d.Session); policy != "round-robin" {
		p.t.Errorf("policy is %q", policy)
	}

	before, err := p.initiator.Requests(ctx, d.Session, p.path(0))
	p.is("requests", err, nil)
	_, err = p.client.Agent().Output(ctx, "dd", "if="+d.Node, "of=/dev/null", "bs=4096", "count=1", "iflag=direct")
	p.is("read", err, nil)
	if after, _ := p.initiator.Requests(ctx, d.Session, p.path(0)); after <= before {
		p.t.Errorf("the path has carried %d requests before a read and %d after it", before, after)
	}

	p.is("the server closes the path", p.target.Disconnect(ctx, d.Session, p.path(0)), nil)
	p.awaitState(ctx, d, "closed")
	p.is("reconnect", p.initiator.ReconnectPath(ctx, d.Session, p.path(0)), nil)
	p.awaitState(ctx, d, "open")
	if has, err := p.target.HasPath(ctx, d.Session, p.path(0)); err != nil || !has {
		p.t.Errorf("the server does not have the path: %v", err)
	}
}

func (p *referencePair) testUnmap(ctx context.Context, first, second Device) {
	file, err := p.client.Agent().Open(ctx, first.Node, syscall.O_RDONLY)
	p.is("open", err, nil)
	p.is("unmap what is open", p.initiator.Unmap(ctx, first, UnmapNormal), syscall.EBUSY)
	p.is("close", file.Close(ctx), nil)
	p.is("unmap", p.initiator.Unmap(ctx, first, UnmapNormal), nil)
	p.is("unmap again", p.initiator.Unmap(ctx, first, UnmapNormal), syscall.ENODEV)
	if devices, _ := p.initiator.Devices(ctx); !slices.Equal(devices, []Device{second}) {
		p.t.Errorf("devices are %v, want %v alone", devices, second)
	}
	p.is("stop initiator", p.initiator.Stop(ctx), nil)
	if sessions, err := p.target.Sessions(ctx); err != nil || len(sessions) > 0 {
		p.t.Errorf("sessions after the last device has gone: %v, %v", sessions, err)
	}
}

// testDeath kills the server, which must not look like a server that was stopped.
func (p *referencePair) testDeath(ctx context.Context) {
	if err := p.target.Died(); err != nil {
		p.t.Fatal(err)
	}
	process := p.target.Serving()
	p.is("kill", process.Kill(), nil)
	select {
	case <-process.Done():
	case <-ctx.Done():
		p.t.Fatal(ctx.Err())
	}
	if p.target.Died() == nil {
		p.t.Error("a killed server is not taken for dead")
	}
	if p.target.Stop(ctx) == nil {
		p.t.Error("stopping a server that was killed succeeds")
	}
	p.is("stop again", p.target.Stop(ctx), nil)
	p.is("died after stop", p.target.Died(), nil)
}
