// SPDX-License-Identifier: Apache-2.0

package image

import (
	"bytes"
	_ "embed"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

//go:embed packages.yaml
var defaultSet []byte

// A Set says what guests are made of: kernels, files, kernel modules, and modules to build out of tree. It is data, read
// from YAML; packages.yaml is the one that is used when a [Config] names no other.
type Set struct {
	// Kernels by the name that a [Config] asks for.
	Kernels map[string]Kernel `yaml:"kernels"`
	// Files to put into the guest, by the package that they come from. Paths are absolute and may be globs. Shared
	// libraries that a program needs follow by themselves, from the packages that its package depends on.
	Files map[string][]string `yaml:"files"`
	// Layers are archives apart from the initramfs, by name: the packages whose files are in them.
	Layers map[string][]string `yaml:"layers"`
	// Boot are the modules that the guest loads at boot, in order.
	Boot []string `yaml:"boot"`
	// Modules of the kernel to put into the guest, by name. Modules that they depend on follow by themselves.
	Modules []string `yaml:"modules"`
	// Optional are those of Modules that a kernel from a path may lack: what needs them cannot be tried then.
	Optional []string `yaml:"optional"`
	// Options are the words of the kernel's configuration that make modules, by the module's name.
	Options map[string]string `yaml:"options"`
	// ModuleSets by the name that a [Config] asks for.
	ModuleSets map[string]ModuleSet `yaml:"moduleSets"`
}

// A Kernel says where one kernel comes from: a Debian package, or a directory.
type Kernel struct {
	// Image is the package with the kernel, or a metapackage that depends on it.
	Image string `yaml:"image"`
	// Headers is the package (or metapackage) to build modules against; only needed for module sets.
	Headers string `yaml:"headers"`
	// Source is the package with the source of the kernel; only needed for module sets.
	Source string `yaml:"source"`
	// Directory takes the place of Image: everything that [Config].Kernel can be as a path. A relative one begins at the
	// checkout of this project.
	Directory string `yaml:"directory"`
	// Make is the command that makes Directory, for those who have not got it.
	Make string `yaml:"make"`
	// Arguments are words of the command line that this kernel needs beside the others.
	Arguments []string `yaml:"arguments"`
}

// A ModuleSet is a group of kernel modules that are built out of tree from directories of the kernel's own source.
type ModuleSet struct {
	// Directories of the source, relative to its root, in the order in which they are built. Every module that their
	// Makefiles produce goes into the guest.
	Directories []string `yaml:"directories"`
	// Config are the assignments (CONFIG_X=m) that make the Makefiles produce them.
	Config []string `yaml:"config"`
	// Provides are the modules that come out, by name. A kernel from a path must have them among its own.
	Provides []string `yaml:"provides"`

	// Of a set that is not the kernel's own: its files, which take the place of Directories and Config, and their SHA-256.
	files  fs.FS
	Digest string `yaml:"-" json:",omitempty"`

	// Sources of a user that take the place of Directories, by their names there, and their SHA-256.
	replaced map[string]fs.FS
	Replaced map[string]string `yaml:"-" json:",omitempty"`
}

// DefaultSet returns the set that comes with the package.
func DefaultSet() *Set {
	set, err := ParseSet(defaultSet)
	if err != nil {
		panic("image: packages.yaml: " + err.Error()) // a unit test parses it, so this cannot happen in a release
	}
	return set
}

// ReadSet reads a set from a YAML file.
func ReadSet(file string) (*Set, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read package set: %w", err)
	}
	set, err := ParseSet(data)
	if err != nil {
		return nil, fmt.Errorf("package set %s: %w", file, err)
	}
	return set, nil
}

// ParseSet reads a set from YAML and checks it. Unknown fields are errors.
func ParseSet(data []byte) (*Set, error) {
	var set Set
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	decoder.KnownFields(true)
	if err := decoder.Decode(&set); err != nil {
		return nil, err
	}
	return &set, set.check()
}

func (s *Set) check() error {
	if len(s.Kernels) == 0 {
		return fmt.Errorf("kernels: at least one is needed")
	}
	for name, k := range s.Kernels {
		if (k.Image == "") == (k.Directory == "") {
			return fmt.Errorf("kernels.%s: exactly one of image and directory is needed", name)
		}
		if IsPath(name) {
			return fmt.Errorf("kernels.%s: a name without a slash is needed", name)
		}
	}
	for pkg, files := range s.Files {
		for _, file := range files {
			if !path.IsAbs(file) {
				return fmt.Errorf("files.%s: %q is not an absolute path", pkg, file)
			}
			if _, err := path.Match(file, ""); err != nil {
				return fmt.Errorf("files.%s: %q: %w", pkg, file, err)
			}
		}
	}
	if _, ok := s.Layers[initramfsName]; ok {
		return fmt.Errorf("layers.%s: this name is taken", initramfsName)
	}
	layered := map[string]string{}
	for name, packages := range s.Layers {
		for _, pkg := range packages {
			if _, ok := s.Files[pkg]; !ok {
				return fmt.Errorf("layers.%s: package %q has no entry in files", name, pkg)
			}
			if other, ok := layered[pkg]; ok {
				return fmt.Errorf("layers.%s: package %q is in layer %s already", name, pkg, other)
			}
			layered[pkg] = name
		}
	}
	for name, m := range s.ModuleSets {
		if len(m.Directories) == 0 {
			return fmt.Errorf("moduleSets.%s: directories: at least one is needed", name)
		}
		for _, dir := range m.Directories {
			if path.IsAbs(dir) || path.Clean(dir) != dir || strings.HasPrefix(dir, "..") {
				return fmt.Errorf("moduleSets.%s: directory %q is not a clean path below the source", name, dir)
			}
		}
	}
	return nil
}

// packages are the names of the packages that the files come from, sorted.
func (s *Set) packages() []string { return slices.Sorted(maps.Keys(s.Files)) }

// basePackages are the packages that are in no layer, sorted.
func (s *Set) basePackages() []string {
	return slices.DeleteFunc(s.packages(), func(pkg string) bool {
		for _, layer := range s.Layers {
			if slices.Contains(layer, pkg) {
				return true
			}
		}
		return false
	})
}

// Kernels are the names of the kernels of the default set, sorted: what [Config].Kernel can be.
func Kernels() []string { return slices.Sorted(maps.Keys(DefaultSet().Kernels)) }

// IsPath says whether the kernel of a [Config] is a path, not a name: it has a slash, or is a dot.
func IsPath(kernel string) bool { return strings.Contains(kernel, "/") || kernel == "." }

func (s *Set) kernel(name string) (Kernel, error) {
	if IsPath(name) {
		return Kernel{Directory: name}, nil
	}
	k, ok := s.Kernels[name]
	if !ok {
		return Kernel{}, fmt.Errorf("unknown kernel %q: the package set has %s; a path has a slash", name, names(s.Kernels))
	}
	if k.Directory == "" || path.IsAbs(k.Directory) {
		return k, nil
	}
	root, err := moduleRoot()
	if err != nil {
		return k, environment(err, "find the kernel "+name, "work inside a checkout of the project, or give the path of a kernel")
	}
	k.Directory = path.Join(root, k.Directory)
	return k, nil
}

func (s *Set) moduleSet(name string) (ModuleSet, error) {
	m, ok := s.ModuleSets[name]
	if !ok {
		return ModuleSet{}, fmt.Errorf("unknown module set %q: the package set has %s", name, names(s.ModuleSets))
	}
	return m, nil
}

func names[V any](m map[string]V) string { return strings.Join(slices.Sorted(maps.Keys(m)), ", ") }
