// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A Config says which image is wanted.
type Config struct {
	// Kernel is the name of a kernel of the set; "" is DefaultKernel.
	Kernel string
	// Modules names the module sets to build and include, such as "rnbd".
	Modules []string
	// Sources are module sets of the caller's own, by name: files that kbuild compiles, with a Kbuild at the top. They are
	// included like those of Modules.
	Sources map[string]fs.FS
	// Set is what guests are made of; nil is DefaultSet.
	Set *Set
	// Cache is the directory where everything is kept; "" is $IBNBD_CACHE or build/cache in the checkout.
	Cache string
	// Agent is a prebuilt guest init; "" compiles it.
	Agent string
}

// DefaultKernel is the kernel of a [Config] that names none.
const DefaultKernel = "6.12"

// An Image is a kernel and a root file system that QEMU can boot.
type Image struct {
	// Kernel and Initramfs are files for QEMU's -kernel and -initrd. They lie in the cache, complete for good.
	Kernel    string
	Initramfs string
	// Layers are archives that a running guest can unpack, by name.
	Layers map[string]string
	// KernelArgs are the words of the kernel's command line that the guest needs.
	KernelArgs []string
	// Manifest says what is inside.
	Manifest Manifest
}

// A Manifest says what an image was made of. It belongs into every report.
type Manifest struct {
	// Release of the kernel, as uname -r says.
	Release string `json:"release"`
	// Packages by name, with their exact versions: kernel, userland, and what module sets were built from.
	Packages map[string]string `json:"packages"`
	// Modules are the names of the kernel modules in the image, with underscores, sorted.
	Modules []string `json:"modules"`
	// Agent is the SHA-256 of the guest's init.
	Agent string `json:"agent"`
	// Key names the image: two images with one key are the same.
	Key string `json:"key"`
}

// recipe is part of every key. Raise it when the way of making images changes.
const recipe = 2

// Build returns the image for spec and makes it, unless the cache has it. It downloads packages with apt and unpacks them;
// nothing is installed on this machine. progress is called with a line for each step that takes time, and may be nil. An
// *EnvironmentError says that this machine lacks something.
func Build(ctx context.Context, spec Config, progress func(string)) (*Image, error) {
	if progress == nil {
		progress = func(string) {}
	}
	b, err := newBuilder(spec, progress)
	if err != nil {
		return nil, err
	}
	release, err := b.cache.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	if err := b.cache.sweep(); err != nil {
		return nil, err
	}
	if err := b.resolve(ctx); err != nil {
		return nil, err
	}
	if !b.complete() {
		if err := b.make(ctx); err != nil {
			return nil, err
		}
	}
	return b.open()
}

// A builder makes one image. Its fields are filled from top to bottom: first names, then versions, then contents.
type builder struct {
	spec     Config
	set      *Set
	cache    cache
	progress func(string)

	kernel      Kernel
	moduleNames []string    // of the module sets: those of spec.Modules in their order, then those of spec.Sources
	moduleSets  []ModuleSet // as they are named

	agent     string // file
	agentHash string
	kernelDeb []deb // one, or none for a kernel built by hand
	userDebs  []deb
	sources   *moduleSources // nil if there are no module sets

	// Names in the cache. The big parts are apart from the image, which changes with the agent.
	key       string
	kernelKey string
	layerKey  string
}

func newBuilder(spec Config, progress func(string)) (*builder, error) {
	b := &builder{spec: spec, set: spec.Set, cache: cache{spec.Cache}, progress: progress}
	if b.spec.Kernel == "" {
		b.spec.Kernel = DefaultKernel
	}
	if b.set == nil {
		b.set = DefaultSet()
	}
	var err error
	if b.kernel, err = b.set.kernel(b.spec.Kernel); err != nil {
		return nil, err
	}
	for _, name := range spec.Modules {
		set, err := b.set.moduleSet(name)
		if err != nil {
			return nil, err
		}
		b.moduleNames, b.moduleSets = append(b.moduleNames, name), append(b.moduleSets, set)
	}
	for _, name := range slices.Sorted(maps.Keys(spec.Sources)) {
		set, err := ownModuleSet(spec.Sources[name])
		if err != nil {
			return nil, fmt.Errorf("module set %s: %w", name, err)
		}
		b.moduleNames, b.moduleSets = append(b.moduleNames, name), append(b.moduleSets, set)
	}
	if spec.Cache == "" {
		b.cache.dir, err = defaultCache()
	} else {
		b.cache.dir, err = filepath.Abs(spec.Cache)
	}
	if err != nil {
		return nil, err
	}
	return b, b.cache.checkPath()
}

// resolve finds the versions of everything, and with them the key. It downloads nothing.
func (b *builder) resolve(ctx context.Context) (err error) {
	if b.agent, b.agentHash, err = b.cache.agent(ctx, b.spec.Agent); err != nil {
		return err
	}
	if b.kernelDeb, err = b.cache.resolveKernel(ctx, b.kernel); err != nil {
		return err
	}
	if b.userDebs, err = b.cache.resolve(ctx, b.set.packages()...); err != nil {
		return err
	}
	if len(b.moduleSets) > 0 {
		if b.sources, err = b.cache.resolveSources(ctx, b.spec.Kernel, b.kernel); err != nil {
			return err
		}
	}
	b.key = key(struct {
		Recipe     int
		Set        *Set
		Kernel     Kernel
		Built      []string // state of a kernel built by hand
		Packages   map[string]string
		ModuleSets []ModuleSet
		Agent      string
	}{recipe, b.set, b.kernel, directoryState(b.kernel.Directory), b.packages(), b.moduleSets, b.agentHash})
	b.kernelKey = key([]any{recipe, b.kernel, b.kernelDeb, directoryState(b.kernel.Directory)})
	b.layerKey = key([]any{recipe, b.set.Files, b.set.Layers, b.userDebs})
	return nil
}

func (b *builder) packages() map[string]string {
	versions := map[string]string{}
	debs := append(slices.Clone(b.kernelDeb), b.userDebs...)
	if b.sources != nil {
		debs = append(debs, b.sources.all()...)
	}
	for _, d := range debs {
		versions[d.Name] = d.Version
	}
	return versions
}

// make fills the cache's entry of the image.
func (b *builder) make(ctx context.Context) error {
	if err := b.cache.fetch(ctx, append(slices.Clone(b.kernelDeb), b.userDebs...), b.progress); err != nil {
		return err
	}
	kernel, err := b.cache.openKernel(b.kernel, b.kernelDeb)
	if err != nil {
		return err
	}
	modules, err := b.modules(ctx, *kernel)
	if err != nil {
		return err
	}
	b.progress("packing the initramfs")
	trees, err := b.trees(ctx, *kernel, modules)
	if err != nil {
		return err
	}
	err = errors.Join(
		b.cache.publish(func(dir string) error {
			return writeKernel(filepath.Join(dir, kernelName), kernel.vmlinuz())
		}, "kernels", b.kernelKey),
		b.cache.publish(func(dir string) error { return b.writeLayers(dir, trees) }, "layers", b.layerKey),
		b.cache.publish(func(dir string) error { return b.write(dir, *kernel, modules, trees[initramfsName]) }, "images", b.key))
	return environment(err, "write the image to "+b.cache.dir, "choose another cache directory with IBNBD_CACHE")
}

// modules are those of the kernel that the set wants, and those of the module sets.
func (b *builder) modules(ctx context.Context, kernel kernelTree) ([]kmodule, error) {
	var extra []string
	for i, set := range b.moduleSets {
		files, err := b.cache.buildModules(ctx, b.moduleNames[i], set, b.sources, kernel.Release, b.progress)
		if err != nil {
			return nil, err
		}
		extra = append(extra, files...)
	}
	return moduleClosure(append(slices.Clone(b.set.Boot), b.set.Modules...), kernel, extra)
}

// The files of an image.
const (
	kernelName    = "kernel"
	initramfsName = "initramfs"
	manifestName  = "manifest.json"
)

// trees lays out the guest's root file system, as initramfsName, and the layers on it, by their names.
func (b *builder) trees(ctx context.Context, kernel kernelTree, modules []kmodule) (map[string]*tree, error) {
	user, err := b.cache.openUserland(b.userDebs)
	if err != nil {
		return nil, err
	}
	root := newTree()
	root.copy("/init", b.agent, 0o755)
	root.write("/etc/modules", []byte(strings.Join(present(b.set.Boot, modules), "\n")+"\n"), 0o644)
	if err := b.addFiles(user, root, b.set.basePackages()); err != nil {
		return nil, err
	}
	if err := user.addApplets(ctx, root); err != nil {
		return nil, err
	}
	if err := addModules(ctx, root, user, kernel, modules); err != nil {
		return nil, err
	}
	trees := map[string]*tree{initramfsName: root}
	for name, packages := range b.set.Layers {
		layer := newLayer(root)
		if err := b.addFiles(user, layer, packages); err != nil {
			return nil, err
		}
		trees[name] = layer
	}
	return trees, nil
}

// present are those of the names that are modules here, not parts of the kernel.
func present(names []string, modules []kmodule) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return !slices.ContainsFunc(modules, func(m kmodule) bool { return m.Name == name })
	})
}

func (b *builder) addFiles(user *userland, tree *tree, packages []string) error {
	for _, pkg := range packages {
		for _, pattern := range b.set.Files[pkg] {
			if err := user.add(tree, pkg, pattern); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *builder) writeLayers(dir string, trees map[string]*tree) error {
	for name := range b.set.Layers {
		if err := writeArchive(filepath.Join(dir, name), trees[name]); err != nil {
			return err
		}
	}
	return nil
}

func (b *builder) write(dir string, kernel kernelTree, modules []kmodule, root *tree) error {
	if err := writeArchive(filepath.Join(dir, initramfsName), root); err != nil {
		return err
	}
	manifest := Manifest{Release: kernel.Release, Packages: b.packages(), Agent: b.agentHash, Key: b.key}
	for _, m := range modules {
		manifest.Modules = append(manifest.Modules, m.Name)
	}
	slices.Sort(manifest.Modules)
	data, err := json.MarshalIndent(manifest, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, manifestName), data, 0o644)
}

// complete tells whether the cache has all of the image.
func (b *builder) complete() bool {
	return b.cache.has("images", b.key) && b.cache.has("kernels", b.kernelKey) && b.cache.has("layers", b.layerKey)
}

// open returns the image that the cache has.
func (b *builder) open() (*Image, error) {
	img := &Image{
		Kernel:     b.cache.path("kernels", b.kernelKey, kernelName),
		Initramfs:  b.cache.path("images", b.key, initramfsName),
		Layers:     map[string]string{},
		KernelArgs: slices.Clone(kernelArgs),
	}
	for name := range b.set.Layers {
		img.Layers[name] = b.cache.path("layers", b.layerKey, name)
	}
	file := b.cache.path("images", b.key, manifestName)
	data, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(data, &img.Manifest)
	}
	return img, environment(err, "read "+file, "delete that directory, so that the image is made again")
}
