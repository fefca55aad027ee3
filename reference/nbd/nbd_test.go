// SPDX-License-Identifier: Apache-2.0

package nbd_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/ibnbd/ibnbd/reference/nbd"
)

// ram is a disk in memory.
type ram struct {
	mu       sync.Mutex
	data     []byte
	uncached bool
	readOnly bool
	trims    int
}

func (r *ram) Info() nbd.Info {
	return nbd.Info{Size: int64(len(r.data)), BlockSize: 512, PreferredBlock: 4096, WriteCache: !r.uncached, ReadOnly: r.readOnly, Trim: true, WriteZeroes: true}
}

func (r *ram) ReadAt(_ context.Context, p []byte, offset int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	copy(p, r.data[offset:])
	return nil
}

func (r *ram) WriteAt(_ context.Context, p []byte, offset int64, _ bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	copy(r.data[offset:], p)
	return nil
}

func (r *ram) contents() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return bytes.Clone(r.data)
}

func (r *ram) Flush(context.Context) error { return nil }

func (r *ram) Trim(_ context.Context, offset, length int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.trims++
	clear(r.data[offset : offset+length])
	return nil
}

func (r *ram) WriteZeroes(ctx context.Context, offset, length int64, _ bool) error {
	return r.Trim(ctx, offset, length)
}

// serve offers disks on a Unix socket and gives its URI for an export.
func serve(t *testing.T, disks map[string]nbd.Disk) (uri func(export string) string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "nbd")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, l, disks)
	return func(export string) string { return nbd.URI(path, export) }
}

// serveOn offers disks where somebody listens.
func serveOn(t *testing.T, l net.Listener, disks map[string]nbd.Disk) *nbd.Server {
	t.Helper()
	s := &nbd.Server{}
	for name, d := range disks {
		s.Add(name, d)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s
}

// run runs a program of Debian's packages libnbd-bin or qemu-utils, which ci/setup installs.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

const size = 8 << 20

// randomFile makes a file with a hole in it.
func randomFile(t *testing.T) (path string, data []byte) {
	t.Helper()
	data = make([]byte, size)
	random := rand.NewChaCha8([32]byte{7})
	for _, part := range [][]byte{data[:2<<20], data[5<<20:]} {
		if _, err := random.Read(part); err != nil {
			t.Fatal(err)
		}
	}
	path = filepath.Join(t.TempDir(), "in")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path, data
}

func TestListsAndDescribesDisks(t *testing.T) {
	uri := serve(t, map[string]nbd.Disk{"a": &ram{data: make([]byte, size)}, "b": &ram{data: make([]byte, size), readOnly: true}})
	out := run(t, "nbdinfo", "--list", uri(""))
	for _, want := range []string{`export="a"`, `export="b"`, "is_read_only: true", "can_trim: true", "block_size_minimum: 512"} {
		if !strings.Contains(out, want) {
			t.Errorf("nbdinfo does not say %q:\n%s", want, out)
		}
	}
}

func TestOffersAFlushWhereItMeansSomething(t *testing.T) {
	for uncached, want := range map[bool]string{false: "can_flush: true", true: "can_flush: false"} {
		uri := serve(t, map[string]nbd.Disk{"a": &ram{data: make([]byte, size), uncached: uncached}})
		if out := run(t, "nbdinfo", uri("a")); !strings.Contains(out, want) {
			t.Errorf("nbdinfo does not say %q:\n%s", want, out)
		}
	}
}

func TestCopiesInAndOut(t *testing.T) {
	in, data := randomFile(t)
	for _, tc := range []struct {
		name string
		to   func(t *testing.T, uri string)
		from func(t *testing.T, uri, out string)
	}{
		{name: "nbdcopy",
			to:   func(t *testing.T, uri string) { run(t, "nbdcopy", "--flush", in, uri) },
			from: func(t *testing.T, uri, out string) { run(t, "nbdcopy", uri, out) }},
		{name: "qemu-img",
			to: func(t *testing.T, uri string) {
				run(t, "qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", in, uri)
			},
			from: func(t *testing.T, uri, out string) {
				run(t, "qemu-img", "convert", "-f", "raw", "-O", "raw", uri, out)
			}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := &ram{data: bytes.Repeat([]byte{0xAA}, size)}
			uri := serve(t, map[string]nbd.Disk{"disk": d})
			tc.to(t, uri("disk"))
			if !bytes.Equal(d.contents(), data) {
				t.Error("the disk differs from the file that was copied to it")
			}
			out := filepath.Join(t.TempDir(), "out")
			tc.from(t, uri("disk"), out)
			got, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, data) {
				t.Error("the file differs from the disk it was copied from")
			}
		})
	}
}
