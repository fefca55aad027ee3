// SPDX-License-Identifier: Apache-2.0

package image

import (
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/cavaliergopher/cpio"
)

// A tree is the guest's root file system before it is written: paths to what will be there. Like Debian's own, it has
// /usr merged: what packages put in /bin, /sbin and /lib lies in /usr.
type tree struct {
	entries map[string]entry
	below   *tree // what a layer lies on; nil for the initramfs itself
}

// An entry is a directory, a symbolic link, or a file whose content lies on the host's disk or in memory.
type entry struct {
	mode    fs.FileMode
	target  string // of a symbolic link
	source  string // file on the host
	content []byte // if there is no source
}

// mergedDirs are symbolic links to directories of the same name in /usr.
var mergedDirs = []string{"bin", "sbin", "lib", "lib64"}

// mountPoints are directories that the guest's init mounts things on or that programs expect.
var mountPoints = []string{"/proc", "/sys", "/dev", "/run", "/tmp", "/root", "/var", "/etc"}

func newTree() *tree {
	t := &tree{entries: map[string]entry{}}
	for _, dir := range mergedDirs {
		t.directory("/usr/" + dir)
		t.link("/"+dir, "usr/"+dir)
	}
	for _, dir := range mountPoints {
		t.directory(dir)
	}
	return t
}

// newLayer returns a tree for what is to be added to another one.
func newLayer(below *tree) *tree { return &tree{entries: map[string]entry{}, below: below} }

// merged is where a path of a package lies in the guest.
func merged(file string) string {
	first, rest, below := strings.Cut(strings.TrimPrefix(path.Clean(file), "/"), "/")
	if below && slices.Contains(mergedDirs, first) {
		return "/usr/" + first + "/" + rest
	}
	return path.Clean("/" + file)
}

func (t *tree) has(file string) bool {
	_, ok := t.entries[merged(file)]
	return ok || t.below != nil && t.below.has(file)
}

func (t *tree) put(file string, e entry) {
	file = merged(file)
	if dir := path.Dir(file); dir != "/" {
		t.directory(dir)
	}
	t.entries[file] = e
}

func (t *tree) directory(dir string) {
	if !t.has(dir) {
		t.put(dir, entry{mode: fs.ModeDir | 0o755})
	}
}

func (t *tree) link(file, target string) {
	t.put(file, entry{mode: fs.ModeSymlink | 0o777, target: target})
}

func (t *tree) copy(file, source string, perm fs.FileMode) {
	t.put(file, entry{mode: perm, source: source})
}

func (t *tree) write(file string, content []byte, perm fs.FileMode) {
	t.put(file, entry{mode: perm, content: content})
}

func (e entry) read() ([]byte, error) {
	switch {
	case e.source != "":
		return os.ReadFile(e.source)
	case e.target != "":
		return []byte(e.target), nil
	}
	return e.content, nil
}

// archive writes the tree as the cpio archive that the kernel unpacks at boot. The same tree gives the same bytes.
func (t *tree) archive(w io.Writer) error {
	out := cpio.NewWriter(w)
	for _, name := range slices.Sorted(maps.Keys(t.entries)) {
		e := t.entries[name]
		data, err := e.read()
		if err != nil {
			return fmt.Errorf("archive %s: %w", name, err)
		}
		header := &cpio.Header{Name: strings.TrimPrefix(name, "/"), Mode: cpioMode(e.mode), Size: int64(len(data)), Links: 1}
		if err := out.WriteHeader(header); err != nil {
			return fmt.Errorf("archive %s: %w", name, err)
		}
		if _, err := out.Write(data); err != nil {
			return fmt.Errorf("archive %s: %w", name, err)
		}
	}
	return out.Close()
}

func cpioMode(mode fs.FileMode) cpio.FileMode {
	switch {
	case mode.IsDir():
		return cpio.TypeDir | cpio.FileMode(mode.Perm())
	case mode&fs.ModeSymlink != 0:
		return cpio.TypeSymlink | cpio.FileMode(mode.Perm())
	}
	return cpio.TypeReg | cpio.FileMode(mode.Perm())
}
