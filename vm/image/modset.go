// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
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
		if err != nil || entry.IsDir() || !isSource(name) {
			return err
		}
		content, err := fs.ReadFile(files, name)
		fmt.Fprintf(sum, "%s %d\n%s", name, len(content), content)
		return err
	})
	return ModuleSet{files: files, Digest: hex.EncodeToString(sum.Sum(nil))}, err
}

// made are the endings of what kbuild leaves beside the sources.
var made = []string{".o", ".ko", ".a", ".mod", ".mod.c", ".order", ".symvers", ".gcno", ".gcda"}

// isSource tells a file of the sources from what was made of them, and from what an editor or a repository keeps there.
func isSource(name string) bool {
	for part := range strings.SplitSeq(name, "/") {
		if strings.HasPrefix(part, ".") {
			return false
		}
	}
	return !slices.ContainsFunc(made, func(ending string) bool { return strings.HasSuffix(name, ending) })
}

// copySources copies the sources among files to a new directory.
func copySources(dir string, files fs.FS) error {
	return fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := filepath.Join(dir, name)
		switch {
		case entry.IsDir():
			return os.MkdirAll(target, 0o755)
		case !isSource(name):
			return nil
		}
		content, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		return os.WriteFile(target, content, 0o644)
	})
}

// A moduleTarget is a kernel that modules are compiled for: by the packages of its headers and source, or by a tree.
type moduleTarget struct {
	packages *moduleSources // nil if there is a tree
	tree     string         // what kbuild is started in
	digest   string         // of the tree's kernel
}

// key names what is built from a module set for the kernel.
func (m moduleTarget) key(set ModuleSet) string {
	var packages []deb
	if m.packages != nil {
		packages = m.packages.all()
	}
	return key(struct {
		Set          ModuleSet
		Packages     []deb
		Tree, Digest string
		Recipe       int // raise it when the way of building changes
	}{set, packages, m.tree, m.digest, 2})
}

// withSource returns the set with the directory of a user in the place of its own, or with all of them from a whole tree. It is false
// if the directory is neither.
func (m ModuleSet) withSource(dir string) (ModuleSet, bool, error) {
	with := map[string]string{}
	for _, own := range m.Directories {
		if whole := filepath.Join(dir, own); isDir(whole) {
			with[own] = whole
		} else if path.Base(own) == filepath.Base(dir) {
			with[own] = dir
		}
	}
	if len(with) == 0 {
		return m, false, nil
	}
	m.Replaced, m.replaced = maps.Clone(m.Replaced), maps.Clone(m.replaced)
	if m.Replaced == nil {
		m.Replaced, m.replaced = map[string]string{}, map[string]fs.FS{}
	}
	for own, dir := range with {
		set, err := ownModuleSet(os.DirFS(dir))
		if err != nil {
			return m, false, err
		}
		m.Replaced[own], m.replaced[own] = set.Digest, set.files
	}
	return m, true, nil
}

// sourceSet is a module set of a directory of a user that no set of the kernel has.
func sourceSet(dir string) (ModuleSet, error) {
	if !isFile(filepath.Join(dir, "Makefile")) && !isFile(filepath.Join(dir, "Kbuild")) {
		return ModuleSet{}, &EnvironmentError{What: "sources of modules in " + dir, Err: errors.New("it has neither Makefile nor Kbuild"),
			Do: "give the directory of a driver, or the root of a kernel's source"}
	}
	return ownModuleSet(os.DirFS(dir))
}

// buildModules builds a module set for a kernel, unless the cache has it, and returns the files of the modules.
func (c cache) buildModules(ctx context.Context, name string, set ModuleSet, target moduleTarget, release string,
	progress func(string)) ([]string, error) {
	entry := target.key(set)
	err := c.publish(func(dir string) error {
		if target.packages != nil {
			if err := c.fetch(ctx, target.packages.all(), progress); err != nil {
				return err
			}
		}
		if _, err := exec.LookPath("gcc"); err != nil {
			return err
		}
		progress(fmt.Sprintf("building the modules of %s for %s", name, release))
		build := moduleBuild{cache: c, set: set, target: target, release: release, root: filepath.Join(dir, "build")}
		if err := build.run(ctx, dir); err != nil {
			return err
		}
		return os.RemoveAll(build.root)
	}, "modules", entry)
	if err != nil {
		advice := "see that the kernel's headers and source packages are of one version, or run ci/setup"
		if set.changed() {
			advice = "see whether the sources are for this kernel"
		}
		return nil, environment(err, fmt.Sprintf("build the modules of %s for kernel %s", name, release), advice)
	}
	return filepath.Glob(c.path("modules", entry, "*.ko"))
}

// changed says whether the set has sources of a user.
func (m ModuleSet) changed() bool { return len(m.replaced) > 0 || m.files != nil }

// A moduleBuild compiles one module set in a directory of its own. The headers are unpacked there and the sources laid
// among them, where the sources expect to be. Nothing outside the directory is touched or needed, though Debian's headers
// mean to be installed at /usr/src. Of a tree, nothing is copied, and nothing in it is changed.
type moduleBuild struct {
	cache   cache
	set     ModuleSet
	target  moduleTarget
	release string
	root    string
}

func (b moduleBuild) run(ctx context.Context, result string) error {
	if b.target.packages != nil {
		if err := b.layHeaders(ctx); err != nil {
			return err
		}
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
		if place := b.source(dir); b.target.packages != nil || isDir(place) {
			dirs = append(dirs, place)
		}
	}
	return dirs
}

// source is where a directory of the kernel's source lies.
func (b moduleBuild) source(dir string) string {
	if b.target.packages != nil {
		return b.common(dir)
	}
	return filepath.Join(b.root, "source", dir)
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
	for _, d := range b.target.packages.headers {
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

// laySources takes the set's directories, and no others, from where the kernel's source is; or writes down its files. The
// directories of a user take the place of the kernel's.
func (b moduleBuild) laySources(ctx context.Context) error {
	if b.set.files != nil {
		return copySources(b.directories()[0], b.set.files)
	}
	lay := b.unpackSources
	if b.target.packages == nil {
		lay = b.copyTree
	}
	if err := lay(ctx); err != nil {
		return err
	}
	for dir, files := range b.set.replaced {
		if err := errors.Join(os.RemoveAll(b.source(dir)), copySources(b.source(dir), files)); err != nil {
			return err
		}
	}
	return nil
}

// unpackSources takes the directories out of the source package.
func (b moduleBuild) unpackSources(ctx context.Context) error {
	source := b.target.packages.source
	archives, err := filepath.Glob(b.cache.path("packages", source.directory(), "usr/src/linux-source-*.tar.*"))
	if err != nil || len(archives) != 1 {
		return fmt.Errorf("package %s: %d source archives found, one expected (%v)", source, len(archives), err)
	}
	top, _, _ := strings.Cut(filepath.Base(archives[0]), ".tar.")
	args := []string{"-C", b.common(), "--strip-components=1", "-I", "xz -T0", "-xf", archives[0]}
	for _, dir := range b.set.Directories {
		args = append(args, path.Join(top, dir))
	}
	_, err = run(ctx, "", "tar", args...)
	return err
}

// copyTree copies the directories from the source of a tree, where it has them.
func (b moduleBuild) copyTree(context.Context) error {
	for _, dir := range b.set.Directories {
		for _, source := range []string{filepath.Join(b.target.tree, "source", dir), filepath.Join(b.target.tree, dir)} {
			if !isFile(filepath.Join(source, "Makefile")) {
				continue
			}
			if err := copySources(b.source(dir), os.DirFS(source)); err != nil {
				return err
			}
			break
		}
	}
	return nil
}

func (b moduleBuild) compile(ctx context.Context, dir string, symbols []string) error {
	kbuild, flags := b.target.tree, ""
	if b.target.packages != nil {
		kbuild = b.headers()
	} else {
		// A Makefile takes what it shares with another directory from the kernel's tree: what was replaced comes before that.
		for _, other := range b.set.Directories {
			flags += " -I" + b.source(other)
		}
	}
	args := []string{"-s", fmt.Sprintf("-j%d", runtime.NumCPU()), "-C", kbuild, "M=" + dir,
		"KBUILD_EXTRA_SYMBOLS=" + strings.Join(symbols, " "), "KCPPFLAGS=" + strings.TrimSpace(flags),
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
