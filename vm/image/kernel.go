// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A kernelTree is one kernel on the disk: an unpacked package, the tree in which one was built, or where one was installed.
type kernelTree struct {
	Root    string // where it was found
	Release string // as uname -r says
	Package *deb   // nil for a kernel from a path

	boot  string            // the kernel to boot
	own   string            // the directory with the kernel's own modules, and with modules.builtin
	files map[string]string // its modules by name; nil for all that own has
	build string            // the directory that modules are compiled against with kbuild; "" if nobody knows one
}

// slowing are the options that make a kernel several times as slow as others.
var slowing = []string{"KASAN", "KCSAN", "KMSAN", "PROVE_LOCKING", "DEBUG_KMEMLEAK"}

// instrumented are those of them that the kernel has, by the configuration in its tree or beside what boots.
func (k kernelTree) instrumented() string {
	var has []string
	for _, file := range []string{filepath.Join(k.own, ".config"), filepath.Join(k.Root, "boot/config-"+k.Release)} {
		config, err := os.ReadFile(file)
		if err != nil {
			continue // not there
		}
		for _, option := range slowing {
			if strings.Contains("\n"+string(config), "\nCONFIG_"+option+"=y\n") {
				has = append(has, option)
			}
		}
		break
	}
	return strings.Join(has, ", ")
}

// modules maps the names of the kernel's own modules to their files.
func (k kernelTree) modules() (map[string]string, error) {
	if k.files != nil {
		return maps.Clone(k.files), nil
	}
	return moduleFiles(k.own)
}

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

// openPackaged looks at a kernel whose package has been fetched.
func (c cache) openPackaged(d deb) (*kernelTree, error) {
	root := c.path("packages", d.directory())
	found, err := filepath.Glob(filepath.Join(root, "boot", "vmlinuz-*"))
	if err != nil {
		return nil, err
	}
	if len(found) != 1 {
		return nil, &EnvironmentError{What: "look for the kernel boot/vmlinuz-RELEASE in " + root,
			Err: fmt.Errorf("%d found, one expected: %w", len(found), fs.ErrNotExist), Do: "delete the directory"}
	}
	release := strings.TrimPrefix(filepath.Base(found[0]), "vmlinuz-")
	return &kernelTree{Root: root, Release: release, Package: &d, boot: found[0], own: filepath.Join(root, "lib/modules", release)}, nil
}
