// SPDX-License-Identifier: Apache-2.0

package qemu_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ibnbd/ibnbd/vm/qemu"
)

// needKVM skips where the question of an accelerator does not arise.
func needKVM(t *testing.T) {
	t.Helper()
	kvm, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no /dev/kvm on this host: %v", err)
	}
	_ = kvm.Close()
}

func TestPickAcceleratorTakesKVMWhereAGuestBoots(t *testing.T) {
	needKVM(t)
	cache := t.TempDir()
	probe := qemu.Config{Name: "probe", Dir: shortDir(t), Memory: 32}
	boots := 0
	booted := func(context.Context, *qemu.Machine) error { boots++; return nil }
	for range 2 {
		choice, err := qemu.PickAccelerator(within(t, 30*time.Second), probe, cache, booted)
		if err != nil || choice.Accelerator == "" {
			t.Fatalf("the choice is %v, %v", choice, err)
		}
		if boots == 1 && choice.Accelerator != qemu.KVM {
			t.Errorf("the guest booted, and the choice is %v", choice)
		}
	}
	if boots > 1 {
		t.Errorf("%d guests were booted; the first choice was not kept", boots)
	}
}

func TestPickAcceleratorTakesTCGWhereAGuestHangs(t *testing.T) {
	needKVM(t)
	probe := qemu.Config{Name: "probe", Dir: shortDir(t), Memory: 32}
	booted := func(context.Context, *qemu.Machine) error { return errors.New("not a word from the guest") }
	choice, err := qemu.PickAccelerator(within(t, 30*time.Second), probe, t.TempDir(), booted)
	if err != nil || choice.Accelerator != qemu.TCG {
		t.Errorf("the choice is %v, %v", choice, err)
	}
}

func TestPickAcceleratorRefusesABrokenCache(t *testing.T) {
	needKVM(t)
	cache := t.TempDir()
	probe := qemu.Config{Name: "probe", Dir: shortDir(t), Memory: 32}
	booted := func(context.Context, *qemu.Machine) error { return nil }
	if _, err := qemu.PickAccelerator(within(t, 30*time.Second), probe, cache, booted); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(cache, "*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("the cache holds %v (%v), want one file", files, err)
	}
	if err := os.WriteFile(files[0], []byte(`{"accelerator":"warp"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = qemu.PickAccelerator(within(t, 30*time.Second), probe, cache, booted)
	if err == nil || !strings.Contains(err.Error(), files[0]) {
		t.Errorf("the error %v does not name the file", err)
	}
}

func TestPickAcceleratorEndsWithItsContext(t *testing.T) {
	needKVM(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	cache := t.TempDir()
	probe := qemu.Config{Name: "probe", Dir: shortDir(t), Memory: 32}
	booted := func(ctx context.Context, _ *qemu.Machine) error { return ctx.Err() }
	_, err := qemu.PickAccelerator(ctx, probe, cache, booted)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
	if files, _ := os.ReadDir(cache); len(files) > 0 {
		t.Errorf("a question that was not answered left %v in the cache", files)
	}
}
