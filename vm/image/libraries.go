// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// A userland is the unpacked packages that a guest's files are taken from.
type userland struct {
	roots     map[string]string    // package name to directory
	libraries map[string]rootedDir // base name of every shared object to where it lies
}

// A rootedDir is a directory inside an unpacked package.
type rootedDir struct{ root, dir string }

func (c cache) openUserland(debs []deb) (*userland, error) {
	u := &userland{roots: map[string]string{}, libraries: map[string]rootedDir{}}
	for _, d := range debs {
		root := c.path("packages", d.directory())
		u.roots[d.Name] = root
		if err := u.indexLibraries(root); err != nil {
			return nil, fmt.Errorf("look for libraries in %s: %w", d, err)
		}
	}
	return u, nil
}

func (u *userland) indexLibraries(root string) error {
	return filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && strings.Contains(entry.Name(), ".so") {
			rel, _ := filepath.Rel(root, filepath.Dir(file)) // below root by construction
			u.libraries[entry.Name()] = rootedDir{root, "/" + rel}
		}
		return err
	})
}

// add puts the files of a package that match pattern into tree, with the libraries and the loader that they need.
func (u *userland) add(tree *tree, pkg, pattern string) error {
	root, ok := u.roots[pkg]
	if !ok {
		return fmt.Errorf("files.%s: no such package among those fetched", pkg)
	}
	matches, err := filepath.Glob(filepath.Join(root, pattern))
	if err != nil {
		return err
	}
	if len(matches) == 0 {
		return fmt.Errorf("files.%s: package %s has no file %s", pkg, filepath.Base(root), pattern)
	}
	for _, match := range matches {
		if err := u.addFile(tree, root, strings.TrimPrefix(match, root)); err != nil {
			return err
		}
	}
	return nil
}

// addApplets makes links to busybox under the names of the programs that it stands in for, but for those that tree has.
func (u *userland) addApplets(ctx context.Context, tree *tree) error {
	root, ok := u.roots["busybox-static"]
	if !ok {
		return nil
	}
	list, err := run(ctx, "", filepath.Join(root, "bin/busybox"), "--list-full")
	if err != nil {
		return err
	}
	for file := range strings.FieldsSeq(string(list)) {
		if file = "/" + file; !tree.has(file) {
			tree.link(file, "/usr/bin/busybox")
		}
	}
	return nil
}

// addFile puts one file of the package at root into tree; file is its path in the guest. Symbolic links bring what they
// point to.
func (u *userland) addFile(tree *tree, root, file string) error {
	source := filepath.Join(root, file)
	info, err := os.Lstat(source)
	switch {
	case err != nil:
		return err
	case info.IsDir(), tree.has(file):
		return nil
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(source)
		if err != nil {
			return err
		}
		tree.link(file, target)
		if !path.IsAbs(target) {
			target = path.Join(path.Dir(file), target)
		}
		return u.addFile(tree, root, target)
	}
	tree.copy(file, source, info.Mode().Perm())
	return u.addNeeded(tree, source)
}

// addNeeded puts the shared libraries and the loader of the ELF file source into tree; other files need nothing.
func (u *userland) addNeeded(tree *tree, source string) error {
	if isELF, err := startsWith(source, elf.ELFMAG); err != nil || !isELF {
		return err
	}
	binary, err := elf.Open(source)
	if err != nil {
		return fmt.Errorf("read %s: %w", source, err)
	}
	defer binary.Close()
	needed, err := binary.ImportedLibraries()
	if err != nil {
		return fmt.Errorf("libraries of %s: %w", source, err)
	}
	if loader := interpreter(binary); loader != "" {
		needed = append(needed, path.Base(loader))
	}
	for _, name := range slices.Compact(needed) {
		place, ok := u.libraries[name]
		if !ok {
			return fmt.Errorf("%s needs the library %s, which no package has", source, name)
		}
		if err := u.addFile(tree, place.root, path.Join(place.dir, name)); err != nil {
			return err
		}
	}
	return nil
}

func startsWith(file, magic string) (bool, error) {
	in, err := os.Open(file)
	if err != nil {
		return false, err
	}
	defer in.Close()
	start := make([]byte, len(magic))
	_, err = io.ReadFull(in, start)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return false, nil
	}
	return string(start) == magic, err
}

// interpreter is the dynamic loader that the file asks for, or "".
func interpreter(binary *elf.File) string {
	for _, prog := range binary.Progs {
		if prog.Type != elf.PT_INTERP {
			continue
		}
		data := make([]byte, prog.Filesz)
		if _, err := prog.ReadAt(data, 0); err == nil {
			return strings.TrimRight(string(data), "\x00")
		}
	}
	return ""
}
