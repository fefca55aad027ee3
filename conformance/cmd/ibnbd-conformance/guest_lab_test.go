// SPDX-License-Identifier: Apache-2.0

//go:build lab

package main_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/vm"
	"github.com/ibnbd/ibnbd/vm/agent"
	"github.com/ibnbd/ibnbd/vm/fabric"
	"github.com/ibnbd/ibnbd/vm/image"
)

// The vendor of these tests has a virtual machine with mainline's modules. The command knows an address, exports and a control
// hook of it, and reaches it as it would any machine: by UDP sockets of an ordinary network.

// guest is the vendor's machine.
type guest struct {
	lab     *vm.Lab
	host    *vm.Host
	release string // of its kernel
}

// newGuest boots the vendor's machine and joins it to one from which it is judged, whose addresses are given.
func newGuest(t *testing.T, here machine, addresses ...string) *guest {
	t.Helper()
	img, err := image.Build(t.Context(), image.Config{Modules: []string{"rnbd"}}, func(step string) { t.Log(step) })
	if err != nil {
		t.Fatal(err)
	}
	lab, err := vm.Start(t.Context(), vm.Config{Hosts: []string{"vendor"}, Rails: 1, MTU: vm.LargeMTU, Image: img})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := lab.Close(); err != nil {
			t.Error(err)
		}
	})
	plug(t, here, lab.Rails()[0])
	here.inside(t, func() error { return addAddresses("eth1", addresses...) })
	g := &guest{lab, lab.Hosts()[0], img.Manifest.Release}
	if err := g.meet(t.Context(), addresses...); err != nil {
		t.Fatal(err)
	}
	return g
}

// meet has the machine know addresses of its network. What its RDMA stack takes to resolve one that it does not know has been seen
// to be all of 30 s, which is nobody's subject here.
func (g *guest) meet(ctx context.Context, addresses ...string) error {
	for _, address := range addresses {
		if _, err := g.host.Agent().Output(ctx, "ping", "-c", "1", "-W", "5", address); err != nil {
			return err
		}
	}
	return nil
}

// plug gives a machine a network card on a rail.
func plug(t *testing.T, here machine, rail *fabric.Rail) {
	t.Helper()
	var card *os.File
	here.inside(t, func() (err error) {
		card, err = openTap("eth1")
		return err
	})
	station, err := rail.Attach("uplink", fabric.DefaultQueue)
	if err != nil {
		t.Fatal(errors.Join(err, card.Close()))
	}
	var carrying sync.WaitGroup
	t.Cleanup(func() {
		if err := errors.Join(card.Close(), station.Close()); err != nil {
			t.Error(err)
		}
		carrying.Wait()
	})
	carrying.Go(func() {
		frame := make([]byte, fabric.MaxFrame)
		for {
			n, err := card.Read(frame)
			if err != nil || station.Send(frame[:n]) != nil {
				return
			}
		}
	})
	carrying.Go(func() {
		frame := make([]byte, fabric.MaxFrame)
		for {
			n, err := station.Receive(context.Background(), frame)
			if err != nil {
				return
			}
			_, _ = card.Write(frame[:n]) // what it does not take is lost, as on any network
		}
	})
}

// openTap makes a network card whose frames are read and written by this process.
func openTap(name string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	request, err := unix.NewIfreq(name)
	if err == nil {
		request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	card := os.NewFile(uintptr(fd), name) // it can be waited for only when it is a card
	link, linkErr := netlink.LinkByName(name)
	if err = errors.Join(err, linkErr); err == nil {
		err = errors.Join(netlink.LinkSetMTU(link, vm.LargeMTU), netlink.LinkSetUp(link))
	}
	if err != nil {
		return nil, errors.Join(err, card.Close())
	}
	return card, nil
}

// owner does an action of a control hook. It gives what the hook says, and its status.
type owner func(ctx context.Context, words []string, input []byte) (says []byte, status int)

// ServeHTTP does an action for [serveHook].
func (do owner) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	input, _ := io.ReadAll(q.Body) // what is missing is missed by the owner
	says, status := do(q.Context(), q.URL.Query()["word"], input)
	switch status {
	case 0:
	case unknownAction:
		w.WriteHeader(http.StatusNotImplemented)
	default:
		w.WriteHeader(http.StatusConflict)
	}
	_, _ = w.Write(says) // the hook sees when that fails
}

// judges are the addresses that the vendor's machine is judged from: a target from the first, an initiator by scripted servers on
// all of them, which is as many as some spec needs.
var judges = []string{"10.0.0.66", "10.0.0.67", "10.0.0.68", "10.0.0.69", "10.0.0.70", "10.0.0.71", "10.0.0.72"}

// TestGuestAsInitiator has mainline's initiator steered by the hook of ci/hooks.
func TestGuestAsInitiator(t *testing.T) {
	here := newMachine(t)
	g := newGuest(t, here, judges...)
	const hook = "/run/rnbd-client"
	script, err := os.ReadFile("../../../ci/hooks/rnbd-client")
	if err != nil {
		t.Fatal(err)
	}
	if err := g.host.Agent().CopyIn(t.Context(), hook, bytes.NewReader(script), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := subject.NewMainlineInitiator(g.host, g.release).Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	env := serveHook(t, owner(func(ctx context.Context, words []string, input []byte) ([]byte, int) {
		r, err := g.host.Agent().Run(ctx, agent.Command{Path: hook, Args: words, Stdin: bytes.NewReader(input)})
		if err != nil {
			return []byte(err.Error()), 1
		}
		if r.ExitCode != 0 {
			return r.Stderr, r.ExitCode
		}
		return r.Stdout, 0
	}))
	const fails, grows, renumbered = "a read fails with EIO", "a server returns with a larger disk", "a server returns with another device id"
	const added, forbidden = "a path is added and the other is lost", "an accept has queue depth 0"
	args := []string{"--dialect", "rnbd", "--role", "initiator", "--source", strings.Join(judges, ","), "--patience", "20s"}
	for _, spec := range []string{fails, grows, renumbered, added, forbidden} {
		args = append(args, "--spec", lives(spec))
	}
	got, outcome := g.judge(t, here, env, args...)
	if got.code != int(verdict.ExitHolds) {
		t.Errorf("exit code %d: %s\n%s", got.code, got.stderr, got.stdout)
	}
	expectVerdicts(t, got, outcome, map[string][]string{
		fails:      {"IBNBD-IO-023 PASS", "IBNBD-FAIL-023 PASS"},
		grows:      {"IBNBD-FAIL-003 PASS", "IBNBD-FAIL-023 PASS"},
		renumbered: {"IBNBD-FAIL-002 PASS", "IBNBD-FAIL-023 PASS"},
		added:      {"IBTRS-MP-009 PASS", "IBNBD-FAIL-023 PASS"},
		forbidden:  {"IBTRS-CONN-038 SKIP no-consent", "IBNBD-FAIL-025 SKIP no-consent"},
	})
	if kernel := outcome.Header.Subjects[0].Versions["kernel"]; kernel != g.release {
		t.Errorf("the kernel of the subject is %q, must be %q", kernel, g.release)
	}
}

// served is mainline's target on the vendor's machine, with two exports.
type served struct {
	*guest
	target *subject.MainlineTarget
}

func (s *served) start(ctx context.Context) error {
	return s.target.Start(ctx, subject.TargetOptions{Keys: subject.KeysRefreshed})
}

// provide begins on a machine that has been booted.
func (s *served) provide(ctx context.Context) error {
	for _, name := range []string{"one", "two"} {
		if _, err := s.target.Provide(ctx, subject.ExportSpec{Name: name, SizeMiB: 16, Discard: true}); err != nil {
			return err
		}
	}
	return s.start(ctx)
}

// restart takes the target down and up again. One that does not go down in time needs another machine.
func (s *served) restart(ctx context.Context) error {
	const usual = 20 * time.Second
	soon, cancel := context.WithTimeout(ctx, usual)
	defer cancel()
	if s.target.Stop(soon) != nil {
		return s.reboot(ctx)
	}
	return s.start(ctx)
}

// reboot has the machine lose power, and come back. Its disks do not, so that this is no crash to ask for.
func (s *served) reboot(ctx context.Context) error {
	s.host.PowerLoss()
	if err := s.lab.Replace(ctx, s.host); err != nil {
		return err
	}
	if err := s.meet(ctx, judges[0]); err != nil {
		return err
	}
	return s.provide(ctx)
}

func (s *served) do(ctx context.Context, words []string, _ []byte) ([]byte, int) {
	switch words[0] {
	case "status":
		return []byte("kernel=" + s.release), 0
	case "restart":
		if err := s.restart(ctx); err != nil {
			return []byte(err.Error()), 1
		}
		return nil, 0
	}
	return nil, unknownAction
}

// TestGuestAsTarget has mainline's target judged, which its owner restarts when it has died. What it breaks is known.
func TestGuestAsTarget(t *testing.T) {
	here := newMachine(t)
	s := &served{guest: newGuest(t, here, judges[0])}
	s.target = subject.NewMainlineTarget(s.host, s.release)
	if err := s.provide(t.Context()); err != nil {
		t.Fatal(err)
	}
	const exports, endless = "dev/one,dev/two", "session name without a NUL"
	got, outcome := s.judge(t, here, serveHook(t, owner(s.do)), "--dialect", "rnbd", "--target", "ip:10.0.0.1", "--export", exports, "--allow-data-loss", exports,
		"--allow-outage", "--focus", attackSpecs)
	if got.code != int(verdict.ExitFails) {
		t.Errorf("exit code %d: %s\n%s", got.code, got.stderr, got.stdout)
	}
	var broken []string
	for _, c := range outcome.Clauses() {
		if c.Verdict == verdict.Fail && c.Force == clauses.Binding {
			broken = append(broken, c.ID)
		}
	}
	// As in the lab (ibnbd/baselines/mainline.yaml), but for what only a kernel log shows.
	if want := []string{"IBTRS-CONN-032", "IBNBD-FAIL-021"}; !slices.Equal(broken, want) {
		t.Errorf("broken are %v, must be %v\n%s", broken, want, got.stdout)
	}
	if is := verdictsOf(outcome, "attack by "+endless); !slices.Contains(is, "IBNBD-FAIL-021 FAIL subject-dead") {
		t.Errorf("%q: %v", endless, is)
	}
	const many = 80 // of some hundred clauses that attacks decide; some are about abilities that mainline's target does not have
	if outcome.Counts[verdict.Pass] < many {
		t.Errorf("counts %v", outcome.Counts)
	}
}

// judge runs the command on the machine beside the vendor's, and reads its report.
func (g *guest) judge(t *testing.T, here machine, env []string, args ...string) (ended, verdict.Outcome) {
	t.Helper()
	dir := t.TempDir()
	words := append(strings.Fields(here.on()), binary, "run", "--report", dir, "--control", os.Args[0], "--name", "mainline-vendor")
	words = append(words, args...)
	cmd := exec.CommandContext(t.Context(), words[0], words[1:]...)
	cmd.Env = append(os.Environ(), env...)
	got := run(t, cmd)
	return got, readReport(t, dir, got)
}
