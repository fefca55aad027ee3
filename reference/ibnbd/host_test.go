// SPDX-License-Identifier: Apache-2.0

package ibnbd_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// loop makes a block device of a file. It needs privilege, and a kernel that has loop devices.
func loop(t *testing.T, options ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(path, make([]byte, deviceSize), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("losetup", append(options, "--find", "--show", path)...).Output()
	if err != nil {
		t.Skipf("no loop device can be had: %v", err)
	}
	dev := strings.TrimSpace(string(out))
	t.Cleanup(func() {
		if out, err := exec.Command("losetup", "--detach", dev).CombinedOutput(); err != nil {
			t.Errorf("losetup --detach %s: %v\n%s", dev, err, out)
		}
	})
	return dev
}

// TestBlockDevicesOfTheHost opens block devices below a search path that differs from session to session (Clauses
// IBNBD-OPEN-004, IBNBD-OPEN-015, IBNBD-OPEN-017, IBNBD-OPEN-024).
func TestBlockDevicesOfTheHost(t *testing.T) {
	disk, frozen := loop(t), loop(t, "--read-only")
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "blya"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"disk": disk, "alias": disk, "frozen": frozen, "null": "/dev/null"} {
		if err := os.Symlink(target, filepath.Join(dir, "blya", name)); err != nil {
			t.Fatal(err)
		}
	}
	l := newLab(t)
	cfg := l.serverConfig()
	cfg.Exports, cfg.HostDevices, cfg.SearchPath = nil, true, dir+"/%SESSNAME%"
	s := l.listen(cfg)
	c := l.connect(l.clientConfig("blya", 0))
	ctx := context.Background()
	l.mapDevice(c, "frozen", ibnbd.ReadOnly)
	reader := l.mapDevice(c, "disk", ibnbd.ReadOnly)
	for path, want := range map[string]error{"frozen2": ibtrs.ENOENT, "null": ibtrs.ENOTBLK, "": ibtrs.EINVAL} {
		if _, err := c.Map(ctx, path, ibnbd.ReadWrite, ibnbd.BlockIO); !errors.Is(err, want) {
			t.Errorf("map %q: %v, want %v", path, err, want)
		}
	}
	writer := l.mapDevice(c, "alias", ibnbd.ReadWrite)
	want := pattern(1, 40000/512*512)
	if _, err := writer.WriteAt(want, 512); err != nil {
		t.Fatal(err)
	}
	if err := writer.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	expect(t, reader, 512, want)
	if _, err := c.Map(ctx, "/disk", ibnbd.ReadWrite, ibnbd.BlockIO); !errors.Is(err, ibtrs.EPERM) {
		t.Errorf("second writer, by another path: %v, want EPERM", err)
	}
	if _, err := c.Map(ctx, "//disk", ibnbd.ReadOnly, ibnbd.FileIO); !errors.Is(err, ibtrs.EPERM) {
		t.Errorf("other I/O mode: %v, want EPERM", err)
	}
	other := l.connect(l.clientConfig("other", 1))
	if _, err := other.Map(ctx, "disk", ibnbd.ReadOnly, ibnbd.BlockIO); !errors.Is(err, ibtrs.ENOENT) {
		t.Errorf("device of another session's directory: %v, want ENOENT", err)
	}
	if n := len(s.Devices()); n != 3 {
		t.Errorf("%d devices are open, want 3", n)
	}
}

// TestReadOnlyDeviceRefusesWriters is Clause IBNBD-OPEN-015.
func TestReadOnlyDeviceRefusesWriters(t *testing.T) {
	frozen := loop(t, "--read-only")
	l := newLab(t)
	cfg := l.serverConfig()
	cfg.HostDevices = true
	l.listen(cfg)
	c := l.connect(l.clientConfig("blya", 0))
	if _, err := c.Map(context.Background(), frozen, ibnbd.ReadWrite, ibnbd.BlockIO); !errors.Is(err, ibtrs.EACCES) {
		t.Errorf("map: %v, want EACCES", err)
	}
	l.mapDevice(c, frozen, ibnbd.ReadOnly)
}
