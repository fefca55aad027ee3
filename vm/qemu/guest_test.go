// SPDX-License-Identifier: Apache-2.0

package qemu_test

import (
	"context"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ibnbd/ibnbd/vm/qemu"
)

// How a tiny guest ends, in machine code.
var (
	halts     = []byte{0xFA, 0xF4, 0xEB, 0xFD}                                           // cli; 1: hlt; jmp 1b
	resets    = []byte{0xB0, 0xFE, 0xE6, 0x64, 0xF4, 0xEB, 0xFD}                         // out 0x64, 0xFE: keyboard controller
	powersOff = []byte{0x66, 0xBA, 0x04, 0x06, 0x66, 0xB8, 0x00, 0x20, 0x66, 0xEF, 0xF4} // out 0x604, 0x2000: ACPI S5
)

// tinyGuest makes a kernel that writes a text to the serial port and ends as told: some eighty bytes, so that tests of a
// whole machine need no Linux.
func tinyGuest(t *testing.T, text string, end []byte) string {
	t.Helper()
	const load, header = 0x100000, 32
	code := []byte{
		0xBE, 0, 0, 0, 0, // mov esi, text (filled in below)
		0xAC,       // 1: lodsb
		0x84, 0xC0, // test al, al
		0x74, 0x08, // jz 2f
		0xBA, 0xF8, 0x03, 0, 0, // mov edx, 0x3F8
		0xEE,       // out dx, al
		0xEB, 0xF3, // jmp 1b
	}
	code = append(code, end...) // 2:
	at := uint32(load + header + len(code))
	binary.LittleEndian.PutUint32(code[1:], at)
	body := slices.Concat(code, []byte(text), []byte{0})
	// The Multiboot header with explicit addresses: magic, flags, checksum, then where header, image and entry are.
	magic, flags := uint32(0x1BADB002), uint32(1<<16)
	last := uint32(load + header + len(body))
	var image []byte
	for _, word := range []uint32{magic, flags, -(magic + flags), load, load, last, last, load + header} {
		image = binary.LittleEndian.AppendUint32(image, word)
	}
	path := filepath.Join(t.TempDir(), "guest")
	if err := os.WriteFile(path, append(image, body...), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// within is a context that ends a stuck test.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// start starts a machine that is killed with the test.
func start(t *testing.T, c qemu.Config) *qemu.Machine {
	t.Helper()
	if c.Dir == "" {
		c.Dir = shortDir(t)
	}
	if c.Name == "" {
		c.Name = "m"
	}
	c.Memory = 32
	m, err := qemu.Start(within(t, 30*time.Second), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Kill)
	return m
}

// shortDir is a directory whose path leaves room for a socket's name.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "qemu")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// ended waits for a machine's end.
func ended(t *testing.T, m *qemu.Machine) {
	t.Helper()
	select {
	case <-m.Done():
	case <-within(t, 30*time.Second).Done():
		t.Fatal("the machine has not ended")
	}
}

// console waits until the console shows a text, by watching the guest's agent socket's neighbour: the file grows as QEMU
// writes, and there is no event for that, so it is looked at often.
func console(ctx context.Context, m *qemu.Machine, text string) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		data, err := os.ReadFile(m.Config().Console())
		if err != nil || strings.Contains(string(data), text) {
			return err
		}
		select {
		case <-tick.C:
		case <-m.Done():
			return m.Err()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
