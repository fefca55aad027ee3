// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// moduleSources are the packages that a kernel's module sets are built from.
type moduleSources struct {
	headers []deb
	source  deb
}

func (m moduleSources) all() []deb { return append(slices.Clone(m.headers), m.source) }

func (c cache) resolveSources(ctx context.Context, name string, k Kernel) (*moduleSources, error) {
	if k.Headers == "" || k.Source == "" {
		return nil, fmt.Errorf("kernel %q cannot have module sets: the package set gives no headers or no source for it", name)
	}
	debs, err := c.resolve(ctx, k.Headers)
	if err != nil {
		return nil, err
	}
	headers := withPrefix(debs, "linux-headers-", "linux-kbuild-")
	debs, err = c.resolve(ctx, k.Source)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(debs, func(d deb) bool { return d.Name == k.Source })
	if i < 0 {
		return nil, fmt.Errorf("apt resolved %s to packages that it is not among", k.Source)
	}
	return &moduleSources{headers: headers, source: debs[i]}, nil
}

// ownModuleSet is a module set of files that are not the kernel's.
func ownModuleSet(files fs.FS) (ModuleSet, error) {
	sum := sha256.New()
	err := fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(files, name)
		fmt.Fprintf(sum, "%s %d\n%s", name, len(content), content)
		return err
	})
	return ModuleSet{files: files, Digest: hex.EncodeToString(sum.Sum(nil))}, err
}

// moduleSetKey names what is built from a module set against certain packages.
func moduleSetKey(set ModuleSet, sources *moduleSources) string {
	return key(struct {
		Set      ModuleSet
		Packages []deb
		Recipe   int // raise it when the way of building changes
	}{set, sources.all(), 1})
}

// buildModules builds a module set for a kernel, unless the cache has it, and returns the files of the modules.
func (c cache) buildModules(ctx context.Context, name string, set ModuleSet, sources *moduleSources, release string,
	progress func(string)) ([]string, error) {
	entry := moduleSetKey(set, sources)
	err := c.publish(func(dir string) error {
		if err := c.fetch(ctx, sources.all(), progress); err != nil {
			return err
		}
		progress(fmt.Sprintf("building the modules of %s for %s", name, release))
		build := moduleBuild{cache: c, set: set, sources: sources, release: release, root: filepath.Join(dir, "build")}
		if err := build.run(ctx, dir); err != nil {
			return err
		}
		return os.RemoveAll(build.root)
	}, "modules", entry)
	if err != nil {
		return nil, environment(err, fmt.Sprintf("build the modules of %s for kernel %s", name, release),
			"see that the kernel's headers and source packages are of one version, or run ci/setup")
	}
	return filepath.Glob(c.path("modules", entry, "*.ko"))
}

// A moduleBuild compiles one module set in a directory of its own. The headers are unpacked there and the sources laid
// among them, where the sources expect to be. Nothing outside the directory is touched or needed, though Debian's headers
// mean to be installed at /usr/src.
type moduleBuild struct {
	cache   cache
	set     ModuleSet
	sources *moduleSources
	release string
	root    string
}

func (b moduleBuild) run(ctx context.Context, result string) error {
	if err := b.layHeaders(ctx); err != nil {
		return err
	}
	if err := b.laySources(ctx); err != nil {
		return err
	}
	var symbols []string
	for _, dir := range b.directories() {
		if err := b.compile(ctx, dir, symbols); err != nil {
			return err
		}
		symbols = append(symbols, filepath.Join(dir, "Module.symvers"))
	}
	return b.collect(ctx, result)
}

// directories are where the sources lie that are compiled, in order.
func (b moduleBuild) directories() []string {
	if b.set.files != nil {
		return []string{filepath.Join(b.root, "own")}
	}
	var dirs []string
	for _, dir := range b.set.Directories {
		dirs = append(dirs, b.common(dir))
	}
	return dirs
}

// headers and common are the two directories of a kernel's headers: what depends on the flavour, and what does not.
func (b moduleBuild) headers(elem ...string) string {
	return filepath.Join(append([]string{b.root, "usr/src/linux-headers-" + b.release}, elem...)...)
}

func (b moduleBuild) common(elem ...string) string {
	flavour := b.release[strings.LastIndex(b.release, "-")+1:]
	common := strings.TrimSuffix(b.release, flavour) + "common"
	return filepath.Join(append([]string{b.root, "usr/src/linux-headers-" + common}, elem...)...)
}

func (b moduleBuild) layHeaders(ctx context.Context) error {
	if err := os.MkdirAll(b.root, 0o755); err != nil {
		return err
	}
	for _, d := range b.sources.headers {
		// Hard links where possible: a file is replaced, never written into, by what follows.
		if _, err := run(ctx, "", "cp", "-al", b.cache.path("packages", d.directory())+"/.", b.root); err != nil {
			return err
		}
	}
	makefile := b.headers("Makefile")
	text, err := os.ReadFile(makefile)
	if err != nil {
		return fmt.Errorf("headers of kernel %s: %w", b.release, err)
	}
	if err := os.Remove(makefile); err != nil {
		return err
	}
	moved := strings.ReplaceAll(string(text), "/usr/src/", filepath.Join(b.root, "usr/src")+"/")
	return os.WriteFile(makefile, []byte(moved), 0o644)
}

// laySources takes the set's directories, and no others, out of the source package; or writes down its files.
func (b moduleBuild) laySources(ctx context.Context) error {
	if b.set.files != nil {
		return os.CopyFS(b.directories()[0], b.set.files)
	}
	archives, err := filepath.Glob(b.cache.path("packages", b.sources.source.directory(), "usr/src/linux-source-*.tar.*"))
	if err != nil || len(archives) != 1 {
		return fmt.Errorf("package %s: %d source archives found, one expected (%v)", b.sources.source, len(archives), err)
	}
	top, _, _ := strings.Cut(filepath.Base(archives[0]), ".tar.")
	args := []string{"-C", b.common(), "--strip-components=1", "-I", "xz -T0", "-xf", archives[0]}
	for _, dir := range b.set.Directories {
		args = append(args, path.Join(top, dir))
	}
	_, err = run(ctx, "", "tar", args...)
	return err
}

func (b moduleBuild) compile(ctx context.Context, dir string, symbols []string) error {
	args := []string{"-s", fmt.Sprintf("-j%d", runtime.NumCPU()), "-C", b.headers(), "M=" + dir,
		"KBUILD_EXTRA_SYMBOLS=" + strings.Join(symbols, " "),
		// Type information of the kernel is not needed, and would need pahole.
		"CONFIG_DEBUG_INFO_BTF_MODULES="}
	args = append(args, b.set.Config...)
	_, err := run(ctx, "", "make", append(args, "modules")...)
	return err
}

// collect moves the modules that were built to dir, without debug information.
func (b moduleBuild) collect(ctx context.Context, dir string) error {
	count := 0
	for _, source := range b.directories() {
		err := filepath.WalkDir(source, func(file string, entry fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(file) != ".ko" {
				return err
			}
			count++
			_, err = run(ctx, "", "strip", "--strip-debug", "-o", filepath.Join(dir, entry.Name()), file)
			return err
		})
		if err != nil {
			return err
		}
	}
	if count == 0 {
		return fmt.Errorf("no module came out of %s", strings.Join(b.directories(), ", "))
	}
	return nil
}
