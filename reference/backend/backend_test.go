// SPDX-License-Identifier: Apache-2.0

package backend_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ibnbd/ibnbd/reference/backend"
)

const size = 4 << 20

// aligned is a buffer that direct I/O takes.
func aligned(t *testing.T, n int) []byte {
	t.Helper()
	b, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Munmap(b) })
	return b
}

// loopDevice makes a block device of a file. It needs privilege, and a kernel that has loop devices.
func loopDevice(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("losetup", "--find", "--show", path).Output()
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

// TestSharesWrites finds one storage under two paths, if both are written.
func TestSharesWrites(t *testing.T) {
	dir := t.TempDir()
	disk, link, hard, other := filepath.Join(dir, "disk"), filepath.Join(dir, "link"), filepath.Join(dir, "hard"), filepath.Join(dir, "other")
	for _, path := range []string{disk, other} {
		if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Symlink(disk, link), os.Link(disk, hard)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"file:" + disk, "file:" + disk, true},
		{"file:" + disk, "file:" + link, true},
		{"file:" + hard, "file:" + disk, true},
		{"file:" + disk, "file:" + other, false},
		{"file:" + disk + ",ro", "file:" + link, false},
		{"file:" + disk, "file:" + disk + ",ro", false},
		{"mem:1M", "mem:1M", false},
		{"mem:1M", "file:" + disk, false},
	} {
		a, err1 := backend.ParseConfig(c.a)
		b, err2 := backend.ParseConfig(c.b)
		got, err3 := a.SharesWrites(b)
		if err := errors.Join(err1, err2, err3); err != nil || got != c.want {
			t.Errorf("%s and %s share writes: %v, want %v (%v)", c.a, c.b, got, c.want, err)
		}
	}
}

// TestSharesWritesOfDevices finds one block device under two nodes.
func TestSharesWritesOfDevices(t *testing.T) {
	node, other := loopDevice(t), filepath.Join(t.TempDir(), "node")
	var stat unix.Stat_t
	if err := unix.Stat(node, &stat); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mknod(other, unix.S_IFBLK|0o600, int(stat.Rdev)); err != nil {
		t.Skipf("no device node can be made: %v", err)
	}
	a, err1 := backend.ParseConfig(node)
	b, err2 := backend.ParseConfig(other)
	got, err3 := a.SharesWrites(b)
	if err := errors.Join(err1, err2, err3); err != nil || !got {
		t.Errorf("%s and %s share writes: %v (%v)", node, other, got, err)
	}
}

// TestBackends holds every kind of backend to the same rules.
func TestBackends(t *testing.T) {
	for name, open := range map[string]func(t *testing.T) (backend.Backend, error){
		"memory": func(*testing.T) (backend.Backend, error) { return backend.Parse("mem:4M") },
		"file": func(t *testing.T) (backend.Backend, error) {
			return backend.Parse("file:" + filepath.Join(t.TempDir(), "disk") + ",4M")
		},
		"volatile file": func(t *testing.T) (backend.Backend, error) {
			return backend.OpenVolatile(filepath.Join(t.TempDir(), "disk"), size)
		},
		"block, direct": func(t *testing.T) (backend.Backend, error) { return backend.OpenBlock(loopDevice(t), false, true) },
		"block, cached": func(t *testing.T) (backend.Backend, error) { return backend.OpenBlock(loopDevice(t), false, false) },
	} {
		t.Run(name, func(t *testing.T) {
			b, err := open(t)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := b.Close(); err != nil {
					t.Error(err)
				}
			}()
			testBackend(t, b)
		})
	}
}

func testBackend(t *testing.T, b backend.Backend) {
	t.Helper()
	p := b.Properties()
	if err := p.Validate(); err != nil || p.Size != size {
		t.Fatalf("properties %+v: %v", p, err)
	}
	want := bytes.Repeat([]byte{0xA5}, 64<<10)
	buffer := aligned(t, len(want))
	do := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	expect := func(what string) {
		t.Helper()
		clear(buffer)
		do("read", b.ReadAt(buffer, 8192))
		if !bytes.Equal(buffer, want) {
			t.Errorf("after %s the device holds other bytes", what)
		}
	}
	copy(buffer, want)
	do("write", b.WriteAt(buffer, 8192, false))
	expect("a write")
	copy(buffer, want)
	do("FUA write", b.WriteAt(buffer[:4096], 8192, true))
	do("flush", b.Flush())
	expect("a FUA write")
	do("write zeroes, kept", b.WriteZeroes(8192+512, 1024, true))
	clear(want[512:1536])
	expect("write zeroes")
	do("write zeroes", b.WriteZeroes(8192+4096, 8192, false))
	clear(want[4096 : 4096+8192])
	expect("write zeroes with holes")
	if p.MaxDiscard > 0 {
		do("discard", b.Discard(8192+16384, 4096))
		clear(want[16384 : 16384+4096]) // all of these backends read zeroes from what was discarded
		expect("a discard")
	}
	do("write of the last block", b.WriteAt(buffer[:512], size-512, false))
}

func TestFilesStaySparse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk")
	b, err := backend.OpenFile(path, 1<<30, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.WriteAt(make([]byte, 4096), 1<<29, true); err != nil {
		t.Fatal(err)
	}
	if err := b.Discard(1<<29, 4096); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	if st.Size != 1<<30 || st.Blocks*512 >= 1<<20 {
		t.Errorf("the file has %d bytes and takes %d, want 1 GiB and next to nothing", st.Size, st.Blocks*512)
	}
	again, err := backend.OpenFile(path, 0, true)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if p := again.Properties(); p.Size != 1<<30 || !p.ReadOnly {
		t.Errorf("opened again: %+v", p)
	}
}

// TestVolatileFile looks into the file as it is at a moment, as one does whose server was killed then.
func TestVolatileFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk")
	b, err := backend.OpenVolatile(path, size)
	if err != nil {
		t.Fatal(err)
	}
	block := func(value byte) []byte { return bytes.Repeat([]byte{value}, 4096) }
	do := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	expect := func(what string, value byte, offset int64) {
		t.Helper()
		content, err := os.ReadFile(path)
		do("read the file", err)
		if got := content[offset : offset+4096]; !bytes.Equal(got, block(value)) {
			t.Errorf("%s: the file has %#x, want %#x", what, got[0], value)
		}
	}
	do("write", b.WriteAt(block(1), 0, false))
	expect("a write", 0, 0)
	do("FUA write", b.WriteAt(block(2), 8192, true))
	expect("a FUA write", 2, 8192)
	expect("a write before a FUA write", 0, 0)
	do("flush", b.Flush())
	expect("a flush", 1, 0)
	do("write zeroes", b.WriteZeroes(0, 4096, true))
	do("write of the last block", b.WriteAt(block(3), size-4096, false))
	expect("zeroes that were not flushed", 1, 0)
	do("close", b.Close())
	expect("closing", 0, 0)
	expect("closing", 3, size-4096)
}

func TestCheck(t *testing.T) {
	p := backend.Properties{Size: 1 << 20, LogicalBlock: 4096}
	for _, tc := range []struct {
		offset, length int64
		want           error
	}{
		{0, 4096, nil}, {1<<20 - 4096, 4096, nil}, {1 << 20, 0, nil},
		{1<<20 - 4096, 8192, syscall.EIO}, {1 << 20, 4096, syscall.EIO}, {-4096, 4096, syscall.EIO},
		{0, -1, syscall.EIO}, {1 << 62, 1 << 62, syscall.EIO},
		{512, 4096, syscall.EINVAL}, {0, 512, syscall.EINVAL},
	} {
		if err := p.Check(tc.offset, tc.length); !errors.Is(err, tc.want) {
			t.Errorf("%d bytes at %d: %v, want %v", tc.length, tc.offset, err, tc.want)
		}
	}
}

// TestSpecsAreCheckedBeforeTheyAreOpened tells what is wrong by its name from what cannot be opened.
func TestSpecsAreCheckedBeforeTheyAreOpened(t *testing.T) {
	for s, want := range map[string]string{
		"mem:1": "size of 1 bytes, must be a multiple of 512", "mem:1000": "size of 1000 bytes", "mem:-1": `size "-1"`, "mem:1Q": `size "1Q"`,
		"mem:65T": "at most 70368744177664", "file:": "the path of the file is missing", "file:,1M": "the path of the file is missing",
		"file:x,1": "size of 1 bytes", "file:x,-1": `option "-1"`, "file:x,0": `option "0"`, "/dev/sda,1M": "must be mem:SIZE",
		"mem:1M,ro": "no options", "mem:1M,volatile": "only a file that can be written can be volatile",
		"/dev/sda,volatile": "only a file that can be written", "file:x,ro,volatile": "only a file that can be written", "x": "must be mem:SIZE",
	} {
		if _, err := backend.ParseConfig(s); !errors.Is(err, syscall.EINVAL) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, must be refused with %q", s, err, want)
		}
	}
	for _, s := range []string{"mem:512", "mem:64T", "file:/nowhere/x", "file:x,1M,ro", "/nowhere", "/dev/null,ro,cached"} {
		if _, err := backend.ParseConfig(s); err != nil {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for s, want := range map[string]error{
		"": syscall.EINVAL, "mem:": syscall.EINVAL, "mem:0": syscall.EINVAL, "mem:1X": syscall.EINVAL, "mem:100": syscall.EINVAL,
		"mem:9999999T": syscall.EINVAL, "mem:1M,ro": syscall.EINVAL, "tape:x": syscall.EINVAL, "file:/nowhere/x": syscall.ENOENT,
		"/dev/null": syscall.ENOTBLK, "/dev/null,4M": syscall.EINVAL, "/nowhere": syscall.ENOENT, "file:x,slow": syscall.EINVAL,
	} {
		b, err := backend.Parse(s)
		if err == nil {
			b.Close()
		}
		if !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", s, err, want)
		}
	}
}
