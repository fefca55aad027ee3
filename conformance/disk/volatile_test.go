// SPDX-License-Identifier: Apache-2.0

package disk_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ibnbd/ibnbd/conformance/disk"
)

func TestPowerLoss(t *testing.T) {
	v, err := disk.NewVolatile(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	block := func(value byte) []byte { return bytes.Repeat([]byte{value}, 4096) }
	write := func(value byte, offset int64, fua bool) {
		t.Helper()
		if err := v.WriteAt(t.Context(), block(value), offset, fua); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(what string, value byte, offset int64) {
		t.Helper()
		got := make([]byte, 4096)
		if err := v.ReadAt(t.Context(), got, offset); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, block(value)) {
			t.Errorf("%s: read %#x, want %#x", what, got[0], value)
		}
	}
	write(1, 0, false)
	write(2, 8192, false)
	if err := v.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	write(3, 8192, false)
	write(4, 1<<20-4096, false)
	write(5, 16384, true)
	if err := v.WriteZeroes(t.Context(), 0, 4096, false); err != nil {
		t.Fatal(err)
	}
	expect("zeroes in the cache", 0, 0)
	expect("the cache", 3, 8192)
	expect("the end of the disk", 4, 1<<20-4096)

	if got := v.PowerLoss(); got != 3*4096 {
		t.Errorf("%d bytes were forgotten, want %d", got, 3*4096)
	}
	expect("what was flushed, and zeroed since", 1, 0)
	expect("what was flushed, and written since", 2, 8192)
	expect("what was written with FUA", 5, 16384)
	expect("what was never flushed", 0, 1<<20-4096)
	if got := v.PowerLoss(); got != 0 {
		t.Errorf("a second loss of power forgets %d bytes", got)
	}
}

func TestSizes(t *testing.T) {
	for _, size := range []int64{-512, 0, 511, 513} {
		if _, err := disk.NewVolatile(size); err == nil {
			t.Errorf("a disk of %d bytes", size)
		}
	}
}

// TestServe serves a disk, and stops while somebody is connected.
func TestServe(t *testing.T) {
	v, err := disk.NewVolatile(4096)
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(t.TempDir(), "disk")
	stop, err := disk.Serve(v, socket)
	if err != nil {
		t.Fatal(err)
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(context.Background(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	greeting := make([]byte, 8)
	if _, err := io.ReadFull(conn, greeting); err != nil || string(greeting) != "NBDMAGIC" {
		t.Errorf("greeted with %q: %v", greeting, err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if _, err := disk.Serve(v, filepath.Join(socket, "no", "directory")); err == nil {
		t.Error("a socket in no directory")
	}
	if _, err := disk.Serve(v, "/tmp/"+strings.Repeat("l", 103)); err == nil || !strings.Contains(err.Error(), "has 108 bytes, at most 107 can be used: choose a shorter TMPDIR") {
		t.Errorf("a long path of a socket: %v", err)
	}
}
