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

	"github.com/ibnbd/ibnbd/vm/image/modinfo"
)

// A Config says which image is wanted.
type Config struct {
	// Kernel is the name of a kernel of the set, or the path of one (see [IsPath]): a built tree, a directory that modules_install
	// has filled, a package, a vmlinuz. "" is DefaultKernel.
	Kernel string
	// Replace is a directory of modules that take the place of the kernel's own, or stand beside them; "" for none.
	Replace string
	// ModuleSources are directories of sources that modules are built from: one that a module set has, a whole tree, or another,
	// which is a set of its own. The modules take the place of the kernel's own.
	ModuleSources []string
	// Arguments are words of the kernel's command line, behind all others.
	Arguments []string
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
	// Instrumented says what the kernel checks while it runs, such as "KASAN": it is several times as slow as others. "" for nothing, and for
	// a kernel whose configuration nobody has.
	Instrumented string `json:"instrumented,omitempty"`
	// Kernel names what boots by its content.
	Kernel string `json:"kernel"`
	// Modules are the names of the kernel modules in the image, with underscores, sorted.
	Modules []string `json:"modules"`
	// Contents names the modules by their content.
	Contents map[string]string `json:"contents"`
	// Agent is the SHA-256 of the guest's init.
	Agent string `json:"agent"`
	// Key names the image: two images with one key are the same.
	Key string `json:"key"`
}

// Slowness says why the guests are slower than those who wait for them expect; "" if they are not.
func (i *Image) Slowness() string {
	if i == nil || i.Manifest.Instrumented == "" {
		return ""
	}
	return "the guests' kernel has " + i.Manifest.Instrumented + ", and is slower than specs expect: judge this on a kernel without; it has reported nothing"
}

// recipe is part of every key. Raise it when the way of making images changes.
const recipe = 4

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

// An Identity says which kernel and modules a [Config] stands for, before anything is built.
type Identity struct {
	// Kernel is the name of one of the set, or the release of one from a path.
	Kernel string
	// Changed names, by its content, what a user has brought: a kernel, modules, sources. "" if everything is as packages have it,
	// or made from them by this project.
	Changed string
	// What the user has brought, in words.
	What []string
}

// Identify finds out what a config stands for. The error is that of [Build] where a user's kernel, modules or sources are refused without
// looking into them.
func Identify(ctx context.Context, spec Config) (Identity, error) {
	b, err := newBuilder(spec, func(string) {})
	if err != nil {
		return Identity{}, err
	}
	id := Identity{Kernel: b.spec.Kernel}
	if err := b.resolveOwn(ctx); err != nil {
		return id, err
	}
	parts := []string{b.own}
	if IsPath(b.spec.Kernel) {
		id.Kernel = b.local.Release
		id.What = append(id.What, "kernel "+b.spec.Kernel)
	}
	if b.spec.Replace != "" {
		id.What = append(id.What, "modules of "+b.spec.Replace)
	}
	for _, dir := range b.spec.ModuleSources {
		id.What = append(id.What, "sources of "+dir)
	}
	for i, set := range b.moduleSets {
		if _, builtin := spec.Sources[b.moduleNames[i]]; set.changed() && !builtin {
			parts = append(parts, key(set))
		}
	}
	if len(id.What) > 0 {
		id.Changed = key(parts)[:12]
	}
	return id, nil
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
	kernelDeb []deb       // one, or none for a kernel from a path
	local     *kernelTree // the one from a path, or nil
	replaced  []string    // files of modules that take the place of the kernel's own
	own       string      // digest of local and replaced; "" if there is neither
	userDebs  []deb
	sources   *moduleSources // nil if there are no module sets, or the kernel is local

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
	if err := b.addModuleSources(); err != nil {
		return nil, err
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

// addModuleSources has the sources of a user take the place of those of module sets, or adds them as sets of their own.
func (b *builder) addModuleSources() error {
	for _, dir := range b.spec.ModuleSources {
		dir, err := filepath.Abs(dir)
		if err != nil {
			return err
		}
		if !isDir(dir) {
			return &EnvironmentError{What: "sources of modules in " + dir, Err: errors.New("not a directory"), Do: "give the directory of a driver"}
		}
		taken := false
		for i, set := range b.moduleSets {
			with, fits, err := set.withSource(dir)
			if err != nil {
				return err
			}
			b.moduleSets[i], taken = with, taken || fits
		}
		if taken {
			continue
		}
		set, err := sourceSet(dir)
		if err != nil {
			return err
		}
		b.moduleNames, b.moduleSets = append(b.moduleNames, dir), append(b.moduleSets, set)
	}
	return nil
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
	if err := b.resolveOwn(ctx); err != nil {
		return err
	}
	if len(b.moduleSets) > 0 && b.local == nil {
		if b.sources, err = b.cache.resolveSources(ctx, b.spec.Kernel, b.kernel); err != nil {
			return err
		}
	}
	b.key = key(struct {
		Recipe     int
		Set        *Set
		Kernel     Kernel
		Own        string // contents of what is not from a package
		Packages   map[string]string
		ModuleSets []ModuleSet
		Agent      string
	}{recipe, b.set, b.kernel, b.own, b.packages(), b.moduleSets, b.agentHash})
	b.kernelKey = key([]any{recipe, b.kernel, b.kernelDeb, b.own})
	b.layerKey = key([]any{recipe, b.set.Files, b.set.Layers, b.userDebs})
	return nil
}

// resolveOwn looks at the kernel and the modules that a user has brought, and names them by their content.
func (b *builder) resolveOwn(ctx context.Context) (err error) {
	var contents []string
	if b.kernel.Directory != "" {
		if b.kernel.Make != "" && !isDir(b.kernel.Directory) {
			return &EnvironmentError{What: "kernel " + b.spec.Kernel, Err: errors.New("not built yet"), Do: "run `" + b.kernel.Make + "`"}
		}
		if b.local, err = b.cache.openLocal(ctx, b.kernel.Directory); err != nil {
			return err
		}
		if contents, err = b.localContents(); err != nil {
			return err
		}
	}
	if b.spec.Replace != "" {
		if b.replaced, err = replacements(b.spec.Replace); err != nil {
			return err
		}
	}
	for _, file := range b.replaced {
		digest, err := fileDigest(file)
		if err != nil {
			return environment(err, "read "+file, "")
		}
		contents = append(contents, filepath.Base(file)+" "+digest)
	}
	if len(contents) > 0 {
		b.own = key(contents)
	}
	return nil
}

// localContents names what boots, and each module of the kernel that guests get.
func (b *builder) localContents() ([]string, error) {
	digest, err := fileDigest(b.local.boot)
	if err != nil {
		return nil, environment(err, "read "+b.local.boot, kernelForms)
	}
	contents := []string{b.local.Release, digest}
	modules, _, err := b.wishes(nil).closure(*b.local)
	if err != nil {
		return nil, environment(err, "read the modules of kernel "+b.local.Release, kernelForms)
	}
	for _, m := range modules {
		contents = append(contents, m.Path+" "+contentDigest(m.Content))
	}
	return contents, nil
}

// wishes are the modules that guests get, beside files of others.
func (b *builder) wishes(extra []string) wishes {
	w := wishes{names: append(slices.Clone(b.set.Boot), b.set.Modules...), extra: extra}
	if b.local == nil {
		return w
	}
	w.optional = b.set.Optional
	for _, set := range b.moduleSets {
		w.names = append(w.names, set.Provides...)
	}
	return w
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
	kernel, err := b.openKernel()
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
			return writeKernel(filepath.Join(dir, kernelName), kernel.boot)
		}, "kernels", b.kernelKey),
		b.cache.publish(func(dir string) error { return b.writeLayers(dir, trees) }, "layers", b.layerKey),
		b.cache.publish(func(dir string) error { return b.write(dir, *kernel, modules, trees[initramfsName]) }, "images", b.key))
	return environment(err, "write the image to "+b.cache.dir, "choose another cache directory with IBNBD_CACHE")
}

// openKernel looks at the kernel, which has been fetched if it comes from a package.
func (b *builder) openKernel() (*kernelTree, error) {
	if b.local != nil {
		return b.local, nil
	}
	return b.cache.openPackaged(b.kernelDeb[0])
}

// modules are those of the kernel that the set wants, those of the module sets, and those that a user has brought.
func (b *builder) modules(ctx context.Context, kernel kernelTree) ([]kmodule, error) {
	var extra []string
	for i, set := range b.moduleSets {
		if b.local != nil && !set.changed() {
			continue // it has these modules itself
		}
		target, err := b.moduleTarget(kernel)
		if err != nil {
			return nil, err
		}
		files, err := b.cache.buildModules(ctx, b.moduleNames[i], set, target, kernel.Release, b.progress)
		if err != nil {
			return nil, err
		}
		extra = append(extra, files...)
	}
	modules, missing, err := b.wishes(append(extra, b.replaced...)).closure(kernel)
	if err != nil {
		return nil, environment(err, "read the modules of kernel "+kernel.Release, kernelForms)
	}
	if len(missing) > 0 {
		return nil, b.lacks(kernel, missing)
	}
	if err := b.checkReplaced(kernel, modules); err != nil {
		return nil, err
	}
	return modules, b.strip(ctx, modules)
}

// moduleTarget is what modules for the kernel are compiled against.
func (b *builder) moduleTarget(kernel kernelTree) (moduleTarget, error) {
	switch {
	case b.local == nil:
		return moduleTarget{packages: b.sources}, nil
	case kernel.build == "":
		return moduleTarget{}, localError(kernel.Root, "modules cannot be compiled for it: there are no headers of "+kernel.Release,
			"give the tree that it was built in, or install the headers to /usr/src/linux-headers-"+kernel.Release)
	}
	return moduleTarget{tree: kernel.build, digest: b.own}, nil
}

// lacks says which modules a kernel has not got, and what to switch on.
func (b *builder) lacks(kernel kernelTree, missing []string) error {
	var words []string
	for _, name := range missing {
		if option := b.set.Options[name]; option != "" && !slices.Contains(words, option) {
			words = append(words, option)
		}
	}
	advice := "`ibnbd-conformance kernel config` prints all that guests need"
	if len(words) > 0 {
		advice = "run `scripts/config -m " + strings.Join(words, " -m ") + " && make olddefconfig` and build it again; " + advice
	}
	return &EnvironmentError{What: "kernel " + kernel.Release + " in " + kernel.Root, Err: errors.New("it lacks " + strings.Join(missing, ", ")), Do: advice}
}

// checkReplaced refuses modules that a user has brought and the kernel would not take.
func (b *builder) checkReplaced(kernel kernelTree, modules []kmodule) error {
	brought := map[string]bool{}
	for _, file := range b.replaced {
		brought[modinfo.Name(file)] = true
	}
	if len(brought) == 0 {
		return nil
	}
	symbols, err := b.symbols(kernel)
	if err != nil {
		return err
	}
	var vermagic string
	for _, m := range modules {
		if symbols != nil {
			if err := m.exports(symbols); err != nil {
				return fmt.Errorf("symbols of %s: %w", m.Name, err)
			}
		}
		info, err := modinfo.Parse(m.Content)
		if err != nil {
			return fmt.Errorf("kernel module %s: %w", m.Name, err)
		}
		if !brought[m.Name] {
			vermagic = info.Vermagic()
		}
	}
	for _, m := range modules {
		if !brought[m.Name] {
			continue
		}
		if err := m.fits(vermagic, symbols); err != nil {
			return err
		}
	}
	return nil
}

// symbols are those that the kernel and all its own modules export; nil if nobody says.
func (b *builder) symbols(kernel kernelTree) (map[string]bool, error) {
	candidates := []string{filepath.Join(kernel.build, "Module.symvers")}
	if b.sources != nil {
		for _, d := range b.sources.headers {
			candidates = append(candidates, b.cache.path("packages", d.directory(), "usr/src/linux-headers-"+kernel.Release, "Module.symvers"))
		}
	}
	for _, file := range candidates {
		if isFile(file) {
			return symvers(file)
		}
	}
	return nil, nil
}

// strip takes debug information out of the modules of a tree, which has never been installed.
func (b *builder) strip(ctx context.Context, modules []kmodule) error {
	if b.local == nil || b.local.files == nil {
		return nil
	}
	dir, err := os.MkdirTemp("", "ibnbd-strip-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var files []string
	for i, m := range modules {
		files = append(files, filepath.Join(dir, fmt.Sprintf("%d.ko", i)))
		if err := os.WriteFile(files[i], m.Content, 0o644); err != nil {
			return err
		}
	}
	if _, err := run(ctx, "", "strip", append([]string{"--strip-debug"}, files...)...); err != nil {
		return err
	}
	for i := range modules {
		if modules[i].Content, err = os.ReadFile(files[i]); err != nil {
			return err
		}
	}
	return nil
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
	boots, err := fileDigest(kernel.boot)
	if err != nil {
		return err
	}
	manifest := Manifest{
		Release: kernel.Release, Packages: b.packages(), Agent: b.agentHash, Key: b.key, Kernel: boots, Contents: map[string]string{},
		Instrumented: kernel.instrumented(),
	}
	for _, m := range modules {
		manifest.Modules = append(manifest.Modules, m.Name)
		manifest.Contents[m.Name] = contentDigest(m.Content)
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
		KernelArgs: slices.Concat(kernelArgs, b.kernel.Arguments, b.spec.Arguments),
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
