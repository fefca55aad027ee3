// SPDX-License-Identifier: Apache-2.0

package image

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cavaliergopher/cpio"
	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
)

// listing reads an archive back: names to contents, with the targets of links behind an arrow.
func listing(t *testing.T, file string) map[string]string {
	t.Helper()
	in, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	plain, err := zstd.NewReader(in)
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	archive := cpio.NewReader(plain)
	entries := map[string]string{}
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return entries
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		switch header.Mode &^ cpio.ModePerm {
		case cpio.TypeDir:
			entries[header.Name] = "directory"
		case cpio.TypeSymlink:
			entries[header.Name] = "-> " + header.Linkname
		default:
			entries[header.Name] = string(content)
		}
		if parent := filepath.Dir(header.Name); parent != "." && entries[parent] != "directory" {
			t.Errorf("%s comes before its directory", header.Name)
		}
	}
}

func TestTreeIsMergedAndArchivedWithItsDirectories(t *testing.T) {
	source := filepath.Join(t.TempDir(), "source")
	if err := os.WriteFile(source, []byte("from disk"), 0o644); err != nil {
		t.Fatal(err)
	}
	root := newTree()
	root.copy("/sbin/tool", source, 0o755)
	root.write("/etc/deep/er/file", []byte("from memory"), 0o644)
	root.link("/lib/x.so", "x.so.1")
	file := filepath.Join(t.TempDir(), "archive")
	if err := writeArchive(file, root); err != nil {
		t.Fatal(err)
	}
	got := listing(t, file)
	for name, want := range map[string]string{
		"usr/sbin/tool":    "from disk",
		"etc/deep/er/file": "from memory",
		"usr/lib/x.so":     "-> x.so.1",
		"sbin":             "-> usr/sbin",
		"proc":             "directory",
	} {
		if got[name] != want {
			t.Errorf("%s: %q, want %q", name, got[name], want)
		}
	}
	if !root.has("/usr/sbin/tool") || !root.has("/sbin/tool") || root.has("/sbin/other") {
		t.Error("has does not see through the merged directories")
	}
}

func TestLayerHoldsOnlyWhatIsNotBelow(t *testing.T) {
	root := newTree()
	root.write("/usr/lib/both", []byte("x"), 0o644)
	layer := newLayer(root)
	if !layer.has("/lib/both") {
		t.Error("a layer does not see what it lies on")
	}
	layer.write("/opt/new", []byte("y"), 0o644)
	file := filepath.Join(t.TempDir(), "layer")
	if err := writeArchive(file, layer); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"opt": "directory", "opt/new": "y"}
	if diff := cmp.Diff(want, listing(t, file)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestOneTreeGivesOneArchive(t *testing.T) {
	var archives [2]bytes.Buffer
	for i := range archives {
		root := newTree()
		for _, name := range []string{"/b", "/a/c", "/a/b"} {
			root.write(name, []byte(name), 0o644)
		}
		if err := compress(&archives[i], root); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(archives[0].Bytes(), archives[1].Bytes()) {
		t.Error("two archives of one tree differ")
	}
}

// A program of this machine shows that libraries are found by name, over links, in another package.
func TestLibrariesFollowPrograms(t *testing.T) {
	packages := t.TempDir()
	program, err := os.ReadFile("/bin/ls")
	if err != nil {
		t.Fatal(err)
	}
	put := func(name string, content []byte) {
		t.Helper()
		file := filepath.Join(packages, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, content, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	put("coreutils_1_amd64/bin/ls", program)
	put("coreutils_1_amd64/etc/short", []byte("x"))
	debs := []deb{{Name: "coreutils", File: "coreutils_1_amd64.deb"}, {Name: "libs", File: "libs_1_amd64.deb"}}
	c := cache{t.TempDir()}
	if err := os.Symlink(packages, c.path("packages")); err != nil {
		t.Fatal(err)
	}
	put("libs_1_amd64/empty", nil)
	user, err := c.openUserland(debs)
	if err != nil {
		t.Fatal(err)
	}
	if err := user.add(newTree(), "coreutils", "/bin/ls"); err == nil || !strings.Contains(err.Error(), "needs the library") {
		t.Errorf("without libraries: %v", err)
	}
	for _, lib := range []string{"libselinux.so.1", "libc.so.6", "libpcre2-8.so.0", "ld-linux-x86-64.so.2"} {
		put("libs_1_amd64/lib/x86_64-linux-gnu/"+lib+".real", []byte("no ELF"))
		if err := os.Symlink(lib+".real", filepath.Join(packages, "libs_1_amd64/lib/x86_64-linux-gnu", lib)); err != nil {
			t.Fatal(err)
		}
	}
	if user, err = c.openUserland(debs); err != nil {
		t.Fatal(err)
	}
	root := newTree()
	for _, pattern := range []string{"/bin/l*", "/etc/*"} {
		if err := user.add(root, "coreutils", pattern); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"/bin/ls", "/etc/short", "/lib/x86_64-linux-gnu/libc.so.6", "/lib/x86_64-linux-gnu/libc.so.6.real",
		"/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"} {
		if !root.has(name) {
			t.Errorf("%s is missing", name)
		}
	}
	if err := user.add(root, "coreutils", "/bin/none"); err == nil || !strings.Contains(err.Error(), "/bin/none") {
		t.Errorf("a file that is not there: %v", err)
	}
}
