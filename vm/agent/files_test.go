// SPDX-License-Identifier: Apache-2.0

package agent_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"

	"github.com/cavaliergopher/cpio"
	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/ibnbd/ibnbd/vm/agent"
)

func TestErrnoComesThrough(t *testing.T) {
	client := newClient(t)
	ctx := testContext(t)
	dir := t.TempDir()
	full := filepath.Join(dir, "full")
	if err := os.MkdirAll(filepath.Join(full, "x"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		do   func() error
		want syscall.Errno
	}{
		"read what is missing":  {func() error { _, err := client.ReadFile(ctx, dir+"/none"); return err }, syscall.ENOENT},
		"read a directory":      {func() error { _, err := client.ReadFile(ctx, dir); return err }, syscall.EISDIR},
		"write what is missing": {func() error { return client.WriteFile(ctx, dir+"/none", []byte("x")) }, syscall.ENOENT},
		"write a directory":     {func() error { return client.WriteFile(ctx, dir, []byte("x")) }, syscall.EISDIR},
		"write what is refused": {func() error { return client.WriteFile(ctx, "/proc/self/oom_score_adj", []byte("much")) }, syscall.EINVAL},
		"write without room":    {func() error { return client.WriteFile(ctx, "/dev/full", []byte("x")) }, syscall.ENOSPC},
		"stat what is missing":  {func() error { _, err := client.Stat(ctx, dir+"/none"); return err }, syscall.ENOENT},
		"list a file":           {func() error { _, err := client.ReadDir(ctx, os.DevNull); return err }, syscall.ENOTDIR},
		"read what is no link":  {func() error { _, err := client.Readlink(ctx, dir); return err }, syscall.EINVAL},
		"make what is there":    {func() error { return client.Mkdir(ctx, dir) }, syscall.EEXIST},
		"remove what is full":   {func() error { return client.Remove(ctx, full) }, syscall.ENOTEMPTY},
		"link what is there":    {func() error { return client.Symlink(ctx, "x", full) }, syscall.EEXIST},
		"copy into nowhere":     {func() error { return client.CopyIn(ctx, dir+"/a/b", strings.NewReader("x"), 0o644) }, syscall.ENOENT},
	} {
		t.Run(name, func(t *testing.T) {
			err := test.do()
			var path *fs.PathError
			if !errors.Is(err, test.want) || !errors.As(err, &path) {
				t.Errorf("error %v, want an fs.PathError with %v", err, test.want)
			}
		})
	}
}

func TestWriteFileNeitherMakesNorTruncates(t *testing.T) {
	client := newClient(t)
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte("123456"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := client.WriteFile(testContext(t), name, []byte("ab")); err != nil {
		t.Fatal(err)
	}
	got, err := client.ReadFile(testContext(t), name)
	if err != nil || string(got) != "ab3456" {
		t.Errorf("got %q, %v", got, err)
	}
	if err := client.WriteFile(testContext(t), name, make([]byte, agent.MaxIO+1)); err == nil {
		t.Error("more than one message was written")
	}
}

// With a limit on file sizes, the call that reaches it is short, and only another call would be an error.
func TestWriteFileIsOneCall(t *testing.T) {
	client := newClient(t)
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	signal.Ignore(syscall.SIGXFSZ) // what a second call would raise
	defer signal.Reset(syscall.SIGXFSZ)
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 4096, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	err := client.WriteFile(testContext(t), name, make([]byte, 6000))
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(err, io.ErrShortWrite) || !strings.Contains(err.Error(), "4096 of 6000") {
		t.Errorf("error %v, want a short write of 4096 bytes", err)
	}
}

func TestCopyThereAndBack(t *testing.T) {
	client := newClient(t)
	name := filepath.Join(t.TempDir(), "file")
	want := bytes.Repeat([]byte("0123456789abcdef"), 1<<17)
	if err := client.CopyIn(testContext(t), name, bytes.NewReader(want), 0o750); err != nil {
		t.Fatal(err)
	}
	info, err := client.Stat(testContext(t), name)
	if err != nil || info.Size != int64(len(want)) || info.Mode != 0o750 || info.Name != "file" {
		t.Errorf("stat: %+v, %v", info, err)
	}
	var got bytes.Buffer
	if err := client.CopyOut(testContext(t), name, &got); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, got.Bytes()) {
		t.Errorf("%d bytes came back of %d, or others", got.Len(), len(want))
	}
}

func TestCopyInEndsWhenTheGuestFails(t *testing.T) {
	client := newClient(t)
	endless := io.MultiReader(bytes.NewReader(make([]byte, 64<<20)), iotest.ErrReader(errors.New("all was sent")))
	err := client.CopyIn(testContext(t), filepath.Join(t.TempDir(), "none", "file"), endless, 0o644)
	if !errors.Is(err, syscall.ENOENT) {
		t.Errorf("error %v, want ENOENT", err)
	}
}

func TestCopyOutEndsWhenItsWriterFails(t *testing.T) {
	client := newClient(t)
	broken := errors.New("no more")
	for range 20 {
		err := client.CopyOut(testContext(t), "/dev/zero", writerFunc(func([]byte) (int, error) { return 0, broken }))
		if !errors.Is(err, broken) {
			t.Fatalf("error %v, want %v", err, broken)
		}
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestCopyInFailsWithItsSource(t *testing.T) {
	client := newClient(t)
	broken := errors.New("source is broken")
	err := client.CopyIn(testContext(t), filepath.Join(t.TempDir(), "file"), iotest.ErrReader(broken), 0o644)
	if !errors.Is(err, broken) {
		t.Errorf("error %v, want %v", err, broken)
	}
	if err := client.Alive(testContext(t)); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestDirectoriesAndLinks(t *testing.T) {
	client := newClient(t)
	ctx := testContext(t)
	dir := t.TempDir()
	for _, err := range []error{
		client.Mkdir(ctx, dir+"/sub"),
		client.CopyIn(ctx, dir+"/file", strings.NewReader("x"), 0o600),
		client.Symlink(ctx, "nowhere", dir+"/link"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	infos, err := client.ReadDir(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	types := map[string]fs.FileMode{}
	for _, info := range infos {
		types[info.Name] = info.Mode.Type()
	}
	want := map[string]fs.FileMode{"sub": fs.ModeDir, "file": 0, "link": fs.ModeSymlink}
	if diff := cmp.Diff(want, types); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if target, err := client.Readlink(ctx, dir+"/link"); err != nil || target != "nowhere" {
		t.Errorf("link holds %q, %v", target, err)
	}
	if names, err := client.Glob(ctx, dir+"/[fs]*"); err != nil || !cmp.Equal(names, []string{dir + "/file", dir + "/sub"}) {
		t.Errorf("glob: %q, %v", names, err)
	}
	if files, err := client.ReadFiles(ctx, dir+"/f*"); err != nil || !cmp.Equal(files, []agent.Content{{Path: dir + "/file", Bytes: []byte("x")}}) {
		t.Errorf("files: %v, %v", files, err)
	}
	if files, err := client.ReadFiles(ctx, dir+"/nothing*", dir+"/f*", dir+"/file"); err != nil || len(files) != 2 {
		t.Errorf("ReadFiles() with three patterns, two of which find the file: %v, %v", files, err)
	}
	if files, err := client.ReadFiles(ctx, dir+"/nothing*"); err != nil || len(files) != 0 {
		t.Errorf("files that are not there: %v, %v", files, err)
	}
	if files, err := client.ReadFiles(ctx, dir+"/lin*"); err != nil || len(files) != 0 {
		t.Errorf("a link that leads nowhere, read: %v, %v", files, err)
	}
	if _, err := client.ReadFiles(ctx, dir+"/s*"); !errors.Is(err, syscall.EISDIR) {
		t.Errorf("a directory, read: %v, want EISDIR", err)
	}
	if there, err := client.Exists(ctx, dir+"/link"); err != nil || !there {
		t.Errorf("a link that leads nowhere: %v, %v", there, err)
	}
	if err := client.Remove(ctx, dir+"/sub"); err != nil {
		t.Error(err)
	}
	if there, err := client.Exists(ctx, dir+"/sub"); err != nil || there {
		t.Errorf("what was removed: %v, %v", there, err)
	}
}

func TestHandleSpeaksForTheKernel(t *testing.T) {
	client := newClient(t)
	ctx := testContext(t)
	name := filepath.Join(t.TempDir(), "file")
	file, err := client.Open(ctx, name, os.O_RDWR|os.O_CREATE)
	if err != nil {
		t.Fatal(err)
	}
	data := bytes.Repeat([]byte("stamp"), 1000)
	if n, err := file.WriteAt(ctx, data, 512); n != len(data) || err != nil {
		t.Fatalf("wrote %d, %v", n, err)
	}
	if err := file.Sync(ctx); err != nil {
		t.Error(err)
	}
	if size, err := file.Size(ctx); size != 5512 || err != nil {
		t.Errorf("size %d, %v", size, err)
	}
	got := make([]byte, len(data))
	if n, err := file.ReadAt(ctx, got, 512); n != len(data) || err != nil || !bytes.Equal(got, data) {
		t.Errorf("read %d, %v", n, err)
	}
	if n, err := file.ReadAt(ctx, got, 5000); n != 512 || !errors.Is(err, io.EOF) {
		t.Errorf("at the end: read %d, %v", n, err)
	}
	for name, err := range map[string]error{
		"BLKDISCARD": file.Discard(ctx, 0, 512),
		"BLKZEROOUT": file.ZeroOut(ctx, 0, 512),
		"BLKFLSBUF":  file.DropCache(ctx),
	} {
		if !errors.Is(err, syscall.ENOTTY) {
			t.Errorf("%s on a file: %v, want ENOTTY", name, err)
		}
	}
	if _, err := file.WriteAt(ctx, data, -1); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("negative offset: %v, want EINVAL", err)
	}
	if _, err := file.ReadAt(ctx, make([]byte, agent.MaxIO+1), 0); err == nil || !strings.Contains(err.Error(), "limit") {
		t.Errorf("too large a read: %v", err)
	}
	if err := file.Close(ctx); err != nil {
		t.Error(err)
	}
	if _, err := file.ReadAt(ctx, got, 0); !errors.Is(err, syscall.EBADF) {
		t.Errorf("after Close: %v, want EBADF", err)
	}
}

func TestCallThatHangsInTheKernelHoldsUpNoOther(t *testing.T) {
	client := newClient(t)
	name := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // so that nothing hangs on
		if file, err := os.OpenFile(name, os.O_RDWR|syscall.O_NONBLOCK, 0); err == nil {
			file.Close()
		}
	})
	ctx, cancel := context.WithCancel(testContext(t))
	opened := make(chan error)
	go func() {
		_, err := client.Open(ctx, name, os.O_RDONLY) // a FIFO without a writer
		opened <- err
	}()
	if err := client.Alive(testContext(t)); err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-opened; !errors.Is(err, context.Canceled) {
		t.Errorf("the call that hung: %v", err)
	}
}

// layer makes an archive as package image does.
func layer(t *testing.T, write func(*cpio.Writer)) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "layer")
	file, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	compressed, err := zstd.NewWriter(file)
	if err != nil {
		t.Fatal(err)
	}
	archive := cpio.NewWriter(compressed)
	write(archive)
	if err := errors.Join(archive.Close(), compressed.Close(), file.Close()); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestUnpackAddsAndLeavesWhatIsThere(t *testing.T) {
	client := newClient(t)
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/old", []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	archive := layer(t, func(w *cpio.Writer) {
		add := func(name string, mode cpio.FileMode, content string) {
			header := &cpio.Header{Name: strings.TrimPrefix(dir, "/") + name, Mode: mode, Size: int64(len(content)), Links: 1}
			if err := w.WriteHeader(header); err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(w, content); err != nil {
				t.Fatal(err)
			}
		}
		add("", cpio.TypeDir|0o755, "")
		add("/sub", cpio.TypeDir|0o755, "")
		add("/sub/program", cpio.TypeReg|0o755, "content")
		add("/link", cpio.TypeSymlink|0o777, "sub/program")
		add("/old", cpio.TypeReg|0o644, "new")
	})
	if err := client.Unpack(testContext(t), archive); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"/link": "content", "/old": "old"} {
		if got, err := os.ReadFile(dir + name); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if info, err := os.Stat(dir + "/sub/program"); err != nil || info.Mode() != 0o755 {
		t.Errorf("program: %v, %v", info, err)
	}
}

func TestUnpackRefusesWhatIsNoArchive(t *testing.T) {
	client := newClient(t)
	name := filepath.Join(t.TempDir(), "layer")
	if err := os.WriteFile(name, bytes.Repeat([]byte("no archive "), 1<<16), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := client.Unpack(testContext(t), name); err == nil {
		t.Error("it was unpacked")
	}
	if err := client.Alive(testContext(t)); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}
