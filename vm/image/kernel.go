// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
)

// A kernelTree is one kernel on the disk: an unpacked package, or the directory of one that was built by hand.
type kernelTree struct {
	Root    string // where boot/ and lib/modules/ are
	Release string // as uname -r says
	Package *deb   // nil for a kernel built by hand
}

// vmlinuz is the path of the kernel to boot.
func (k kernelTree) vmlinuz() string { return filepath.Join(k.Root, "boot", "vmlinuz-"+k.Release) }

// modules is the directory with the kernel's own modules.
func (k kernelTree) modules() string { return filepath.Join(k.Root, "lib", "modules", k.Release) }

// resolveKernel finds the packages of a kernel: the one with its files for Image, none for a Directory.
func (c cache) resolveKernel(ctx context.Context, k Kernel) ([]deb, error) {
	if k.Directory != "" {
		return nil, nil
	}
	debs, err := c.resolve(ctx, k.Image)
	if err != nil {
		return nil, err
	}
	// The metapackage and the kernel share the prefix; the kernel is the one with something in it.
	debs = withPrefix(debs, "linux-image-")
	if len(debs) == 0 {
		return nil, &EnvironmentError{What: "find the kernel package " + k.Image,
			Err: fmt.Errorf("apt knows of no linux-image package behind it"), Do: updateAdvice}
	}
	return []deb{slices.MaxFunc(debs, func(a, b deb) int { return int(a.Size - b.Size) })}, nil
}

func withPrefix(debs []deb, prefixes ...string) []deb {
	return slices.DeleteFunc(slices.Clone(debs), func(d deb) bool {
		return !slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(d.Name, prefix) })
	})
}

// openKernel looks at a kernel whose packages have been fetched.
func (c cache) openKernel(k Kernel, debs []deb) (*kernelTree, error) {
	tree := &kernelTree{Root: k.Directory}
	if k.Directory == "" {
		tree.Package = &debs[0]
		tree.Root = c.path("packages", debs[0].directory())
	}
	found, err := filepath.Glob(filepath.Join(tree.Root, "boot", "vmlinuz-*"))
	if err != nil {
		return nil, err
	}
	if len(found) != 1 {
		return nil, &EnvironmentError{What: "look for the kernel boot/vmlinuz-RELEASE in " + tree.Root,
			Err: fmt.Errorf("%d found, one expected: %w", len(found), fs.ErrNotExist),
			Do:  "delete the directory if it is in the cache, else put one kernel there"}
	}
	tree.Release = strings.TrimPrefix(filepath.Base(found[0]), "vmlinuz-")
	return tree, nil
}

// directoryState changes when a kernel that was built by hand is built again; it is empty for dir "".
func directoryState(dir string) []string {
	if dir == "" {
		return nil
	}
	var state []string
	_ = filepath.WalkDir(dir, func(file string, entry fs.DirEntry, err error) error { // what cannot be read, openKernel reports
		if err != nil {
			return nil
		}
		if info, err := entry.Info(); err == nil && info.Mode().IsRegular() {
			state = append(state, fmt.Sprint(file, info.Size(), info.ModTime().UnixNano()))
		}
		return nil
	})
	return state
}
