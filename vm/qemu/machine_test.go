// SPDX-License-Identifier: Apache-2.0

package qemu_test

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ibnbd/ibnbd/vm/qemu"
)

func TestGuestsEndIsNamed(t *testing.T) {
	tests := map[string]struct {
		text  string
		end   []byte
		panic bool
		want  string
	}{
		"panic":     {"booting\r\nKernel panic - not syncing: no init\r\n", resets, true, "no init"},
		"reboot":    {"booting\r\n", resets, false, "the guest rebooted"},
		"power off": {"bye\r\n", powersOff, false, "the guest powered off"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			m := start(t, qemu.Config{Kernel: tinyGuest(t, test.text, test.end)})
			ended(t, m)
			var exit *qemu.ExitError
			if err := m.Err(); !errors.As(err, &exit) {
				t.Fatalf("the error is %v, not an ExitError", err)
			}
			if exit.Panic != test.panic || errors.Is(exit, qemu.ErrPanic) != test.panic {
				t.Errorf("panic is %v (%v), want %v", exit.Panic, exit, test.panic)
			}
			if !strings.Contains(exit.Error(), test.want) {
				t.Errorf("the error %q does not say %q", exit, test.want)
			}
		})
	}
}

// A machine with an IOMMU takes all devices that a machine can have; QEMU refuses what does not fit.
func TestIOMMU(t *testing.T) {
	dir := shortDir(t)
	m := start(t, qemu.Config{
		Kernel: tinyGuest(t, "here\r\n", powersOff), IOMMU: true, Dir: dir,
		NICs: []qemu.NIC{{MAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, Socket: filepath.Join(dir, "wire"), Listen: true, MTU: 1500}},
	})
	ended(t, m)
	var exit *qemu.ExitError
	if err := m.Err(); !errors.As(err, &exit) || !strings.Contains(err.Error(), "powered off") {
		t.Errorf("the machine ended with %v; the guest was to power it off", err)
	}
}

// QEMU's CMPXCHG16B leaves nonsense in the flags of an emulated processor; see [qemu.EmulatedCPU].
func TestEmulatedProcessorHasNoCMPXCHG16B(t *testing.T) {
	ask := []byte{
		0xB8, 1, 0, 0, 0, // mov eax, 1
		0x0F, 0xA2, // cpuid
		0x0F, 0xBA, 0xE1, 13, // bt ecx, 13: CMPXCHG16B
		0x73, byte(len(resets)), // jnc 1f
	}
	m := start(t, qemu.Config{Kernel: tinyGuest(t, "asking\r\n", slices.Concat(ask, resets, powersOff)), Accelerator: qemu.TCG}) // 1: powersOff
	ended(t, m)
	if err := m.Err(); err == nil || !strings.Contains(err.Error(), "the guest powered off") {
		t.Errorf("the guest has CMPXCHG16B: %v", err)
	}
}

func TestKillIsNoError(t *testing.T) {
	m := start(t, qemu.Config{})
	m.Kill()
	ended(t, m)
	if err := m.Err(); err != nil {
		t.Errorf("a wanted end left the error %v", err)
	}
	gone(t, m.PID())
}

func TestDeathFromOutsideIsAnError(t *testing.T) {
	m := start(t, qemu.Config{})
	if err := unix.Kill(m.PID(), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	ended(t, m)
	if err := m.Err(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("the error is %v, and does not tell of the kill", err)
	}
}

func TestStop(t *testing.T) {
	var asked bool
	tests := map[string]func(*qemu.Machine) func(context.Context) error{
		"guest powers off": func(m *qemu.Machine) func(context.Context) error {
			return func(context.Context) error { asked = true; return unix.Kill(m.PID(), unix.SIGTERM) }
		},
		"poweroff fails": func(*qemu.Machine) func(context.Context) error {
			return func(context.Context) error { asked = true; return errors.New("no agent") }
		},
	}
	for name, poweroff := range tests {
		t.Run(name, func(t *testing.T) {
			asked = false
			m := start(t, qemu.Config{})
			m.Stop(within(t, 30*time.Second), poweroff(m))
			ended(t, m)
			if !asked || m.Err() != nil {
				t.Errorf("asked is %v, the error %v", asked, m.Err())
			}
		})
	}
}

func TestStopOfAHungMachine(t *testing.T) {
	m := start(t, qemu.Config{})
	if err := unix.Kill(m.PID(), unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	m.Stop(ctx, nil)
	ended(t, m)
	if err := m.Err(); err != nil {
		t.Error(err)
	}
}

func TestPauseAndResume(t *testing.T) {
	m := start(t, qemu.Config{})
	events, cancel := m.Watch()
	defer cancel()
	ctx := within(t, 30*time.Second)
	if err := m.Pause(ctx); err != nil {
		t.Fatal(err)
	}
	expect(t, events, "STOP")
	if err := m.Resume(ctx); err != nil {
		t.Fatal(err)
	}
	expect(t, events, "RESUME")
}

func expect(t *testing.T, events <-chan qemu.Event, name string) {
	t.Helper()
	select {
	case e := <-events:
		if e.Name != name || time.Since(e.At).Abs() > time.Minute {
			t.Errorf("the event is %v, want %s now", e, name)
		}
	case <-within(t, 10*time.Second).Done():
		t.Fatalf("no event %s", name)
	}
}

func TestResetBootsAnew(t *testing.T) {
	m := start(t, qemu.Config{Kernel: tinyGuest(t, "hello\r\n", halts)})
	ctx := within(t, 30*time.Second)
	if err := console(ctx, m, "hello"); err != nil {
		t.Fatal(err)
	}
	if err := m.Reset(ctx); err != nil {
		t.Fatal(err)
	}
	if err := console(ctx, m, "hello\r\nhello"); err != nil {
		t.Fatal(err)
	}
}

func TestSetLink(t *testing.T) {
	dir := shortDir(t)
	m := start(t, qemu.Config{Dir: dir, NICs: []qemu.NIC{
		{MAC: net.HardwareAddr{0x52, 0x54, 0, 0, 0, 1}, Socket: filepath.Join(dir, "wire"), Listen: true, MTU: 4300},
	}})
	ctx := within(t, 30*time.Second)
	for _, up := range []bool{false, true} {
		if err := m.SetLink(ctx, 0, up); err != nil {
			t.Errorf("set the link to %v: %v", up, err)
		}
	}
	if err := m.SetLink(ctx, 1, false); err == nil {
		t.Error("a NIC that is not there has a link")
	}
}

// TestNICConnects shows that QEMU takes the framing and a frame above 4 KiB; what a guest makes of it is for the lab.
func TestNICConnects(t *testing.T) {
	dir := shortDir(t)
	path := filepath.Join(dir, "wire")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	m := start(t, qemu.Config{Dir: dir, NICs: []qemu.NIC{{MAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, Socket: path}}})
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	frame := make([]byte, 4400)
	if _, err := conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(frame))), frame...)); err != nil {
		t.Fatal(err)
	}
	// QEMU reads the socket in the same loop as its monitor, so it has met the frame by the time that it has answered.
	if err := m.Pause(within(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now())
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the connection is not open any more: %v", err)
	}
}

func TestBadConfigs(t *testing.T) {
	dir := shortDir(t)
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 1}
	tests := map[string]struct {
		config qemu.Config
		want   string
	}{
		"no name":     {qemu.Config{Dir: dir}, "no name"},
		"long socket": {qemu.Config{Name: "m", Dir: "/" + strings.Repeat("d", 120)}, "at most 107"},
		"accelerator": {qemu.Config{Name: "m", Dir: dir, Accelerator: "warp"}, `"warp"`},
		"MAC":         {qemu.Config{Name: "m", Dir: dir, NICs: []qemu.NIC{{MAC: mac[:5], Socket: "s"}}}, "5 bytes"},
		"MTU":         {qemu.Config{Name: "m", Dir: dir, NICs: []qemu.NIC{{MAC: mac, Socket: "s", MTU: 67}}}, "67"},
		"no QEMU":     {qemu.Config{Name: "m", Dir: dir, Binary: "no-such-qemu"}, "install"},
		"no kernel":   {qemu.Config{Name: "m", Dir: dir, Kernel: "/no/such/kernel"}, "/no/such/kernel"},
		"long wire":   {qemu.Config{Name: "m", Dir: dir, NICs: []qemu.NIC{{MAC: mac, Socket: dir + "/" + strings.Repeat("w", 120)}}}, "at most 107"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			m, err := qemu.Start(within(t, 30*time.Second), test.config)
			if err == nil {
				m.Kill()
				t.Fatal("it started")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("the error %q does not say %q", err, test.want)
			}
		})
	}
}

func TestStartEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	m, err := qemu.Start(ctx, qemu.Config{Name: "m", Dir: shortDir(t), Memory: 32})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
		m.Kill()
	}
}

// gone checks that no process of that id is left. The id cannot be in use again so soon.
func gone(t *testing.T, pid int) {
	t.Helper()
	if _, err := os.Stat(filepath.Join("/proc", itoa(pid))); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("process %d is still there: %v", pid, err)
	}
}
