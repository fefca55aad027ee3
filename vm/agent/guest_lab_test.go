// SPDX-License-Identifier: Apache-2.0

//go:build lab

package agent_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ibnbd/ibnbd/vm/agent"
	"github.com/ibnbd/ibnbd/vm/agent/ioprobe"
	"github.com/ibnbd/ibnbd/vm/image"
	"github.com/ibnbd/ibnbd/vm/qemu"
)

// These tests boot a guest of their own, under TCG, with one NIC that leads nowhere of interest. They are about what only a guest's
// kernel can show; what the agent does without one is tested without one.

// imageTime is enough to make an image from nothing.
const imageTime = 15 * time.Minute

const railMAC = "52:54:00:00:00:01"

// A machine is QEMU with the agent's port on a socket that it shows at once.
type machine struct {
	qemu   *exec.Cmd
	socket string
	image  *image.Image
}

func startMachine(t testing.TB) *machine {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), imageTime)
	defer cancel()
	img, err := image.Build(ctx, image.Config{Modules: []string{"rnbd"}}, func(step string) { t.Log(step) })
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	m := &machine{socket: filepath.Join(dir, "agent"), image: img}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: m.socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	listener.SetUnlinkOnClose(false)
	inherited, err := listener.File()
	if err != nil {
		t.Fatal(err)
	}
	defer inherited.Close()
	console := filepath.Join(dir, "console")
	m.qemu = exec.CommandContext(t.Context(), "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
		"-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", qemu.EmulatedCPU, "-m", "768", "-serial", "file:"+console,
		"-kernel", img.Kernel, "-initrd", img.Initramfs, "-append", strings.Join(img.KernelArgs, " ")+" console=ttyS0",
		"-device", "virtio-serial-pci", "-chardev", "socket,id=agent,fd=3,server=on,wait=off",
		"-device", "virtserialport,chardev=agent,name="+agent.PortName,
		"-netdev", "user,id=rail0,restrict=on", "-device", "virtio-net-pci,netdev=rail0,host_mtu=9000,romfile=,mac="+railMAC)
	m.qemu.ExtraFiles = []*os.File{inherited}
	m.qemu.Stderr = os.Stderr
	if err := m.qemu.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		m.kill()
		if text, err := os.ReadFile(console); err == nil && t.Failed() {
			t.Logf("console:\n%s", text)
		}
	})
	return m
}

func (m *machine) kill() {
	_ = m.qemu.Process.Kill()
	_ = m.qemu.Wait()
}

func (m *machine) dial(t testing.TB) *agent.Client {
	t.Helper()
	conn, err := net.Dial("unix", m.socket)
	if err != nil {
		t.Fatal(err)
	}
	return dial(t, conn)
}

func TestGuest(t *testing.T) {
	m := startMachine(t)
	begin := time.Now()
	client := m.dial(t)
	t.Logf("hello after %v", time.Since(begin))
	t.Run("network", func(t *testing.T) { guestNetwork(t, client) })
	t.Run("modules", func(t *testing.T) { guestModules(t, client) })
	t.Run("kernel log", func(t *testing.T) { guestKernelLog(t, client) })
	t.Run("block device", func(t *testing.T) { guestBlockDevice(t, client) })
	t.Run("prober", func(t *testing.T) { guestProber(t, client) })
	t.Run("layer", func(t *testing.T) { guestLayer(t, client, m.image) })
	t.Run("orphans", func(t *testing.T) { guestOrphans(t, client) })
	t.Run("pause", func(t *testing.T) { guestPause(t, client, m) })
	t.Run("next host", func(t *testing.T) { client = guestNextHost(t, client, m) })
	t.Run("panic", func(t *testing.T) { guestPanic(t, client, m) })
}

func guestNetwork(t *testing.T, client *agent.Client) {
	ctx := testContext(t)
	nic := agent.Interface{MAC: railMAC, Name: "rail0", MTU: 4300, RDMA: "rxe0", Addresses: []netip.Prefix{
		netip.MustParsePrefix("192.168.10.1/24"), netip.MustParsePrefix("fd00:10::1/64")}}
	begin := time.Now()
	if err := client.Configure(ctx, agent.Network{Hostname: "alpha", Interfaces: []agent.Interface{nic}}); err != nil {
		t.Fatal(err)
	}
	t.Logf("configured in %v", time.Since(begin))
	lines := func(name string, args ...string) string {
		t.Helper()
		out, err := client.Output(ctx, name, args...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if got := lines("hostname"); got != "alpha\n" {
		t.Errorf("host name %q", got)
	}
	addresses := lines("ip", "-o", "addr", "show", "dev", "rail0")
	for _, want := range []string{"192.168.10.1/24", "fd00:10::1/64", "fe80::"} {
		if !strings.Contains(addresses, want) {
			t.Errorf("no %s in:\n%s", want, addresses)
		}
	}
	if got := lines("rdma", "link"); !strings.Contains(got, "rxe0/1 state ACTIVE") || !strings.Contains(got, "netdev rail0") {
		t.Errorf("RDMA link: %s", got)
	}
	held, err := client.RDMAResources(ctx)
	if err != nil || held["rxe0"] == nil {
		t.Fatalf("resources of RDMA devices: %v, %v", held, err)
	}
	told := lines("rdma", "resource", "show", "rxe0")
	for kind, count := range held["rxe0"] {
		if want := fmt.Sprintf(" %s %d ", kind, count); !strings.Contains(told, want) {
			t.Errorf("counted %q, but rdma says %s", want, told)
		}
	}
	if got := lines("ibv_devinfo", "-d", "rxe0"); !strings.Contains(got, "active_mtu:\t\t4096") {
		t.Errorf("path MTU:\n%s", got)
	}

	nic.MTU, nic.RDMA, nic.Addresses = 1500, "rxe1", []netip.Prefix{netip.MustParsePrefix("10.0.0.1/8")}
	if err := client.Configure(ctx, agent.Network{Interfaces: []agent.Interface{nic}}); err != nil {
		t.Fatal(err)
	}
	if got := lines("ip", "-o", "addr", "show", "dev", "rail0"); strings.Contains(got, "192.168") || strings.Contains(got, "fd00") ||
		!strings.Contains(got, "10.0.0.1/8") {
		t.Errorf("after another Configure:\n%s", got)
	}
	if got := lines("rdma", "link"); strings.Contains(got, "rxe0") || !strings.Contains(got, "rxe1/1 state ACTIVE") {
		t.Errorf("RDMA links after another Configure: %s", got)
	}
	nic.MAC = "52:54:00:00:00:99"
	if err := client.Configure(ctx, agent.Network{Interfaces: []agent.Interface{nic}}); !errors.Is(err, syscall.ENODEV) {
		t.Errorf("a NIC that is not there: %v, want ENODEV", err)
	}
}

func guestModules(t *testing.T, client *agent.Client) {
	ctx := testContext(t)
	for _, name := range []string{"rnbd_client", "rnbd_server"} {
		begin := time.Now()
		if err := client.LoadModule(ctx, name); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s loaded in %v", name, time.Since(begin))
	}
	if err := client.LoadModule(ctx, "rnbd-client"); !errors.Is(err, syscall.EEXIST) {
		t.Errorf("again: %v, want EEXIST", err)
	}
	if err := client.LoadModule(ctx, "no_such_module"); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("unknown: %v, want ENOENT", err)
	}
	if err := client.LoadModule(ctx, "brd", "rd_nr=one"); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("bad parameter: %v, want EINVAL", err)
	}
	if err := client.UnloadModule(ctx, "rtrs_core"); !errors.Is(err, syscall.EWOULDBLOCK) {
		t.Errorf("in use: %v, want EWOULDBLOCK", err)
	}
	for _, name := range []string{"rnbd_client", "rnbd_server", "rtrs_client", "rtrs_server", "rtrs_core"} {
		if err := client.UnloadModule(ctx, name); err != nil {
			t.Errorf("unload: %v", err)
		}
	}
	if err := client.UnloadModule(ctx, "rtrs_core"); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("gone: %v, want ENOENT", err)
	}
	names, err := client.Glob(ctx, "/lib/modules/*/updates/rtrs-core.ko")
	if err != nil || len(names) != 1 {
		t.Fatalf("glob: %q, %v", names, err)
	}
	if err := client.LoadModule(ctx, names[0]); err != nil {
		t.Errorf("from a file: %v", err)
	}
}

func guestKernelLog(t *testing.T, client *agent.Client) {
	ctx := testContext(t)
	log, err := client.KernelLog(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	const mark = "a mark \t with \\ bytes"
	written := time.Now()
	if err := client.WriteFile(ctx, "/dev/kmsg", []byte("<11>"+mark+"\n")); err != nil {
		t.Fatal(err)
	}
	returned := time.Now()
	var record agent.LogRecord
	for next := uint64(0); record.Text != mark; next = record.Seq + 1 {
		if record, err = log.Next(); err != nil {
			t.Fatal(err)
		}
		if record.Lost != 0 || record.Seq != next {
			t.Fatalf("record %v where %d belongs", record, next)
		}
	}
	if record.Level != 3 || record.Facility != 1 {
		t.Errorf("level %d, facility %d", record.Level, record.Facility)
	}
	clock, err := client.Clock(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("clock: %+v", clock)
	at, slack := clock.FromLog(record.Time), clock.RTT+time.Millisecond
	if at.Before(written.Add(-slack)) || at.After(returned.Add(slack)) {
		t.Errorf("what was logged between %v and %v is placed at %v", written, returned, at)
	}
}

func guestBlockDevice(t *testing.T, client *agent.Client) {
	ctx := testContext(t)
	if err := client.LoadModule(ctx, "brd", "rd_nr=1", "rd_size=1024"); err != nil {
		t.Fatal(err)
	}
	info, err := client.Stat(ctx, "/dev/ram0")
	if err != nil || info.Mode.Type() != os.ModeDevice || info.Special != 1<<8 {
		t.Errorf("stat: %+v, %v", info, err)
	}
	disk, err := client.Open(ctx, "/dev/ram0", os.O_RDWR|syscall.O_DIRECT)
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close(ctx)
	const size = 1 << 20
	if got, err := disk.Size(ctx); got != size || err != nil {
		t.Errorf("size %d, %v", got, err)
	}
	data := bytes.Repeat([]byte("8 bytes."), 512)
	if _, err := disk.WriteAt(ctx, data, 8192); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(data))
	if _, err := disk.ReadAt(ctx, got, 8192); err != nil || !bytes.Equal(got, data) {
		t.Errorf("read back: %v", err)
	}
	for name, test := range map[string]struct{ err, want error }{
		"write beyond the end": {second(disk.WriteAt(ctx, data, size)), syscall.ENOSPC},
		"read at the end":      {second(disk.ReadAt(ctx, got, size)), io.EOF},
		"odd offset":           {second(disk.WriteAt(ctx, data, 1)), syscall.EINVAL},
		"sync":                 {disk.Sync(ctx), nil},
		"zero out":             {disk.ZeroOut(ctx, 8192, 4096), nil},
		"odd zero out":         {disk.ZeroOut(ctx, 1, 4096), syscall.EINVAL},
		"drop the cache":       {disk.DropCache(ctx), nil},
	} {
		if !errors.Is(test.err, test.want) {
			t.Errorf("%s: %v, want %v", name, test.err, test.want)
		}
	}
	if _, err := disk.ReadAt(ctx, got, 8192); err != nil || !bytes.Equal(got, make([]byte, len(got))) {
		t.Errorf("after zero out: %v", err)
	}
}

func second[A any](_ A, err error) error { return err }

func guestProber(t *testing.T, client *agent.Client) {
	ctx := testContext(t)
	options := ioprobe.Options{Device: "/dev/ram0", Write: true, Interval: 5 * time.Millisecond, Duration: 500 * time.Millisecond}
	result, err := client.Run(ctx, agent.Command{Path: agent.GuestProgram, Args: options.Args()})
	if err == nil {
		err = result.Err()
	}
	if err != nil {
		t.Fatal(err)
	}
	count := map[ioprobe.Event]int{}
	decoder := json.NewDecoder(bytes.NewReader(result.Stdout))
	for {
		var r ioprobe.Record
		if err := decoder.Decode(&r); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		count[r.Event]++
		if r.Event == ioprobe.IO && r.Errno != 0 {
			t.Errorf("I/O failed: %+v", r)
		}
	}
	t.Logf("events: %v", count)
	if count[ioprobe.Begin] != 1 || count[ioprobe.End] != 1 || count[ioprobe.IO] < 20 {
		t.Errorf("events: %v", count)
	}
}

func guestLayer(t *testing.T, client *agent.Client, img *image.Image) {
	ctx := testContext(t)
	begin := time.Now()
	if err := client.Unpack(ctx, img.Layers["fio"]); err != nil {
		t.Fatal(err)
	}
	t.Logf("fio unpacked in %v", time.Since(begin))
	out, err := client.Output(ctx, "fio", "--name=x", "--filename=/dev/ram0", "--size=256k", "--bs=4k", "--rw=randwrite", "--direct=1",
		"--ioengine=libaio", "--verify=crc32c")
	if err != nil || !strings.Contains(out, "err= 0") {
		t.Errorf("fio: %v\n%s", err, out)
	}
}

func guestOrphans(t *testing.T, client *agent.Client) {
	ctx := testContext(t)
	if _, err := client.Output(ctx, "sh", "-c", "for i in 1 2 3 4 5 6 7 8; do (true & exec sleep 0.05) & done >/dev/null 2>&1; sleep 0.2"); err != nil {
		t.Fatal(err)
	}
	stats, err := client.Glob(ctx, "/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range stats {
		stat, err := client.ReadFile(ctx, name)
		if err == nil && slices.Contains(strings.Fields(string(stat)), "Z") {
			t.Errorf("nobody reaps %s", stat)
		}
	}
}

// guestPause stops the machine for longer than a multiplexer with its usual settings would bear.
func guestPause(t *testing.T, client *agent.Client, m *machine) {
	process, err := client.Start(testContext(t), agent.Command{Path: "sleep", Args: []string{"1000"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.qemu.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	const pause = 12 * time.Second
	ctx, cancel := context.WithTimeout(t.Context(), pause)
	defer cancel()
	if err := client.Alive(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a paused guest: %v, want no sign of life", err)
	}
	if err := m.qemu.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if err := client.Alive(testContext(t)); err != nil {
		t.Fatalf("afterwards: %v", err)
	}
	if err := process.Kill(); err != nil {
		t.Error(err)
	}
	if result, err := process.Wait(); err != nil || result.Signal != syscall.SIGKILL {
		t.Errorf("what ran before and after: %+v, %v", result, err)
	}
}

// guestNextHost lets the host vanish and another one come, on QEMU's own port.
func guestNextHost(t *testing.T, client *agent.Client, m *machine) *agent.Client {
	process, err := client.Start(testContext(t), agent.Command{Path: "sleep", Args: []string{"1000"}})
	if err != nil {
		t.Fatal(err)
	}
	client.Close()
	conn, err := net.Dial("unix", m.socket)
	if err != nil {
		t.Fatal(err)
	}
	next, err := agent.Dial(testContext(t), conn)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := next.Output(testContext(t), "sh", "-c", "! grep -q sleep /proc/*/comm"); err != nil {
		t.Errorf("process %d of the host before lives on: %v", process.PID, err)
	}
	return next
}

func guestPanic(t *testing.T, client *agent.Client, m *machine) {
	begin := time.Now()
	err := client.WriteFile(testContext(t), "/proc/sysrq-trigger", []byte("c"))
	if !errors.Is(err, agent.ErrLost) {
		t.Errorf("the call that crashed the guest: %v, want %v", err, agent.ErrLost)
	}
	<-client.Done()
	t.Logf("known to be dead after %v", time.Since(begin))
}
