// SPDX-License-Identifier: Apache-2.0

package qemu_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ibnbd/ibnbd/vm/qemu"
)

// ticks writes an x to the serial port whose address is in dx, again and again.
var ticks = []byte{
	0xB9, 0, 0, 1, 0, // 1: mov ecx, 65536
	0xE2, 0xFE, // 2: loop 2b
	0xB0, 'x', // mov al, 'x'
	0xEE,       // out dx, al
	0xEB, 0xF4, // jmp 1b
}

func TestSavedMachineGoesOn(t *testing.T) {
	kernel := tinyGuest(t, "booting\r\n", ticks)
	state := filepath.Join(t.TempDir(), "state")
	ctx := within(t, time.Minute)
	first := start(t, qemu.Config{Kernel: kernel})
	if err := console(ctx, first, "xxx"); err != nil {
		t.Fatal(err)
	}
	if err := first.Save(ctx, state); err != nil {
		t.Fatal(err)
	}
	before := len(read(t, first.Config().Console()))
	if err := console(ctx, first, strings.Repeat("x", before+1)); err != nil {
		t.Errorf("the machine that was saved does not go on: %v", err)
	}
	for range 2 {
		other := start(t, qemu.Config{Kernel: kernel, From: state})
		if err := console(ctx, other, "xxx"); err != nil {
			t.Fatal(err)
		}
		if text := read(t, other.Config().Console()); strings.Trim(text, "x") != "" {
			t.Errorf("the machine has begun anew, and not where the other was: its console says %q", text)
		}
	}
}

func TestStateOfAnotherMachineIsRefused(t *testing.T) {
	tests := map[string]struct {
		state []byte
		want  string
	}{
		"nonsense": {[]byte("nothing that QEMU has written"), "load of migration failed"},
		"empty":    {nil, "load of migration failed"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			state := filepath.Join(t.TempDir(), "state")
			if err := os.WriteFile(state, test.state, 0o600); err != nil {
				t.Fatal(err)
			}
			c := qemu.Config{Name: "m", Dir: shortDir(t), Kernel: tinyGuest(t, "booting\r\n", halts), From: state}
			m, err := qemu.Start(within(t, 30*time.Second), c)
			if err == nil { // QEMU may have answered before it read the state
				t.Cleanup(m.Kill)
				ended(t, m)
				err = m.Err()
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("the error is %v, want one that says %q", err, test.want)
			}
		})
	}
}

func TestSaveNamesTheFileThatItCannotMake(t *testing.T) {
	m := start(t, qemu.Config{Kernel: tinyGuest(t, "booting\r\n", halts)})
	nowhere := filepath.Join(t.TempDir(), "no", "state")
	if err := m.Save(within(t, 30*time.Second), nowhere); err == nil || !strings.Contains(err.Error(), nowhere) {
		t.Errorf("the error is %v, want one that names %s", err, nowhere)
	}
	if err := m.Resume(within(t, 30*time.Second)); err != nil {
		t.Errorf("the machine does not run on: %v", err)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
