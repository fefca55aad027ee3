// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// addModules puts modules into tree below /usr/lib/modules/RELEASE, with the indexes that modprobe and the agent read.
func addModules(ctx context.Context, tree *tree, user *userland, kernel kernelTree, modules []kmodule) error {
	place := path.Join("/usr/lib/modules", kernel.Release)
	for _, m := range modules {
		tree.write(path.Join(place, m.Path), m.Content, 0o644)
	}
	for _, file := range []string{"modules.builtin", "modules.builtin.modinfo", "modules.order"} {
		tree.copy(path.Join(place, file), filepath.Join(kernel.own, file), 0o644)
	}
	indexes, err := depmod(ctx, user, kernel, modules)
	if err != nil {
		return fmt.Errorf("index the modules of %s: %w", kernel.Release, err)
	}
	for name, content := range indexes {
		tree.write(path.Join(place, name), content, 0o644)
	}
	return nil
}

// depmod runs the guest's own depmod, from its unpacked package, on copies of the modules.
func depmod(ctx context.Context, user *userland, kernel kernelTree, modules []kmodule) (map[string][]byte, error) {
	root, err := os.MkdirTemp("", "ibnbd-depmod-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(root)
	dir := filepath.Join(root, "lib/modules", kernel.Release)
	for _, m := range modules {
		file := filepath.Join(dir, m.Path)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(file, m.Content, 0o644); err != nil {
			return nil, err
		}
	}
	for _, name := range []string{"modules.builtin", "modules.builtin.modinfo", "modules.order"} {
		if err := os.Symlink(filepath.Join(kernel.own, name), filepath.Join(dir, name)); err != nil {
			return nil, err
		}
	}
	if err := user.run(ctx, "kmod", "/bin/kmod", "depmod", "-b", root, kernel.Release); err != nil {
		return nil, err
	}
	indexes := map[string][]byte{}
	files, err := filepath.Glob(filepath.Join(dir, "modules.*"))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		if info, err := os.Lstat(file); err != nil || !info.Mode().IsRegular() {
			continue
		}
		if indexes[filepath.Base(file)], err = os.ReadFile(file); err != nil {
			return nil, err
		}
	}
	return indexes, nil
}

// run runs a guest program on the host, with the loader and the libraries of the guest. argv0 is the name that it sees.
func (u *userland) run(ctx context.Context, pkg, program, argv0 string, args ...string) error {
	root, ok := u.roots[pkg]
	loader, found := u.libraries["ld-linux-x86-64.so.2"]
	if !ok || !found {
		return fmt.Errorf("%s cannot be run: package %s or libc6 is not in the set", program, pkg)
	}
	var search []string
	for _, dir := range u.roots {
		search = append(search, filepath.Join(dir, "lib/x86_64-linux-gnu"), filepath.Join(dir, "usr/lib/x86_64-linux-gnu"))
	}
	command := []string{"--argv0", argv0, "--library-path", strings.Join(search, ":"), filepath.Join(root, program)}
	_, err := run(ctx, "", filepath.Join(loader.root, "lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"), append(command, args...)...)
	return err
}
