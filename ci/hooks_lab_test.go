// SPDX-License-Identifier: Apache-2.0

//go:build lab

package ci_test

import (
	"bytes"
	"context"
	"os"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/vm"
	"github.com/ibnbd/ibnbd/vm/agent"
	"github.com/ibnbd/ibnbd/vm/image"
)

const hookPath = "/run/rnbd-client"

// steered is mainline's initiator on a machine of its own, and the hook that steers it there.
type steered struct {
	t      *testing.T
	ctx    context.Context
	client *vm.Host
}

// call has the hook do something, and gives its exit status, what it says and the last line of its errors.
func (s *steered) call(input []byte, args ...string) (status int, said, last string) {
	s.t.Helper()
	r, err := s.client.Agent().Run(s.ctx, agent.Command{Path: hookPath, Args: args, Stdin: bytes.NewReader(input)})
	if err != nil {
		s.t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(r.Stderr)), "\n")
	return r.ExitCode, string(r.Stdout), lines[len(lines)-1]
}

// must has the hook do something, which has to work, and gives what it says without the last newline.
func (s *steered) must(args ...string) string {
	s.t.Helper()
	status, said, last := s.call(nil, args...)
	if status != 0 {
		s.t.Fatalf("%v: status %d: %s", args, status, last)
	}
	return strings.TrimSuffix(said, "\n")
}

// refused has the hook do something that must fail with an error number.
func (s *steered) refused(errno string, args ...string) {
	s.t.Helper()
	if status, _, last := s.call(nil, args...); status != 1 || last != errno {
		s.t.Errorf("%v: status %d and %q, must be 1 and %s", args, status, last, errno)
	}
}

// TestRNBDHook steers mainline's initiator by every action of its hook.
func TestRNBDHook(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	s, exports := newSteered(ctx, t)
	const session = "hooked"
	server := func(rail int) string { return vm.IPv4(rail, 1).Addr().String() }

	if status, _, _ := s.call(nil, "dance"); status != 127 {
		t.Errorf("an unknown action ends with status %d, must be 127", status)
	}
	if said := s.must("status"); !strings.HasPrefix(said, "kernel=6.") {
		t.Errorf("status says %q", said)
	}
	s.refused("ENOENT", "map", session, server(0), "1234", "dev/nosuch")
	node := s.must("map", session, server(0), "1234", exports[0].Path)
	s.refused("EEXIST", "map", session, server(0), "1234", exports[0].Path)
	if state, size := s.must("state", node), s.must("size", node); state != "open" || size != "1048576" {
		t.Errorf("%s is %s and has %s bytes", node, state, size)
	}
	written := bytes.Repeat([]byte("0123456\n"), 512)
	if status, _, last := s.call(written, "write", node, "8192", "4096"); status != 0 {
		t.Fatalf("write: %s", last)
	}
	s.must("flush", node)
	if _, said, last := s.call(nil, "read", node, "8192", "4096"); said != string(written) {
		t.Errorf("%d other bytes were read than were written: %s", len(said), last)
	}

	other := s.must("map-another", node, exports[1].Path)
	s.must("unmap", other)
	s.refused("EEXIST", "add-path", node, server(0), "1234")
	s.must("add-path", node, server(1), "1234")
	paths := path.Join(subject.RNBD.ClientSession(session), "paths")
	if n := s.count(paths); n != 2 {
		t.Errorf("%d paths after one was added", n)
	}
	s.must("remove-path", node, server(1))
	if n := s.count(paths); n != 1 {
		t.Errorf("%d paths after one was removed", n)
	}
	s.disconnect(paths)
	if state := s.must("state", node); state != "closed" {
		t.Errorf("%s is %s without a path", node, state)
	}
	s.refused("EIO", "read", node, "8192", "4096")
	if status, _, last := s.call(written, "write", node, "8192", "4096"); status != 1 || last != "EIO" {
		t.Errorf("write without a path: status %d and %q", status, last)
	}
	s.must("reconnect", node)
	s.must("unmap", node)
	if n := s.count(subject.RNBD.ClientSession(session)); n != 0 {
		t.Error("the session is there when its last disk was unmapped")
	}
	s.must("map", session, server(0), "1234", exports[0].Path)
	s.must("restart")
	if n := s.count(subject.RNBD.ClientLinks() + "/*"); n != 0 {
		t.Errorf("%d disks after a restart", n)
	}
}

// newSteered boots two machines, a target with two exports on one and the initiator with its hook on the other.
func newSteered(ctx context.Context, t *testing.T) (*steered, []subject.Export) {
	t.Helper()
	img, err := image.Build(ctx, image.Config{Modules: []string{"rnbd"}}, func(step string) { t.Log(step) })
	must(t, err)
	lab, err := vm.Start(ctx, vm.Config{Hosts: []string{"server", "client"}, Image: img})
	must(t, err)
	t.Cleanup(func() { must(t, lab.Close()) })
	target := subject.NewMainlineTarget(lab.Hosts()[0], img.Manifest.Release)
	must(t, target.Start(ctx, subject.TargetOptions{Keys: subject.KeysRefreshed}))
	var exports []subject.Export
	for _, name := range []string{"one", "two"} {
		e, err := target.Provide(ctx, subject.ExportSpec{Name: name, SizeMiB: 1})
		must(t, err)
		exports = append(exports, e)
	}
	client := lab.Hosts()[1]
	must(t, subject.NewMainlineInitiator(client, img.Manifest.Release).Start(ctx))
	hook, err := os.Open("hooks/rnbd-client")
	must(t, err)
	defer hook.Close()
	must(t, client.Agent().CopyIn(ctx, hookPath, hook, 0o755))
	return &steered{t, ctx, client}, exports
}

// count is how many files a directory, or a pattern, has.
func (s *steered) count(dir string) int {
	s.t.Helper()
	if !strings.HasSuffix(dir, "*") {
		dir = path.Join(dir, "*")
	}
	names, err := s.client.Agent().Glob(s.ctx, dir)
	must(s.t, err)
	return len(names)
}

// disconnect closes the only path of a session.
func (s *steered) disconnect(paths string) {
	s.t.Helper()
	names, err := s.client.Agent().Glob(s.ctx, path.Join(paths, "*"))
	must(s.t, err)
	must(s.t, s.client.Agent().WriteFile(s.ctx, path.Join(names[0], "disconnect"), []byte("1")))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
