// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ibnbd/ibnbd/vm/image/modinfo"
)

// What [Config].Kernel can be as a path.
const kernelForms = "give a built kernel tree, a directory that `make modules_install` filled beside boot/vmlinuz-RELEASE, " +
	"a linux-image package or a vmlinuz"

// localError says what is wrong with a kernel that a user has named by its path, and what to do.
func localError(path, problem, advice string) error {
	return &EnvironmentError{What: "kernel " + path, Err: errors.New(problem), Do: advice}
}

// openLocal looks at a kernel of a user's own.
func (c cache) openLocal(ctx context.Context, path string) (*kernelTree, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, environment(err, "kernel "+path, kernelForms)
	case info.IsDir():
		return openDirectory(path)
	case filepath.Ext(path) == ".deb":
		return c.openPackage(ctx, path)
	}
	return openVmlinuz(path)
}

// openDirectory tells a built tree from a place where a kernel was installed.
func openDirectory(dir string) (*kernelTree, error) {
	if isDir(filepath.Join(dir, "lib/modules")) {
		return openInstalled(dir)
	}
	for _, file := range []string{"include/config/kernel.release", ".config", "Kconfig"} {
		if isFile(filepath.Join(dir, file)) {
			return openBuilt(dir)
		}
	}
	if isFile(filepath.Join(dir, "modules.builtin")) { // the directory of the modules alone
		return openModules(dir)
	}
	return nil, localError(dir, "not a kernel: it has neither .config nor lib/modules", kernelForms)
}

// openBuilt takes a kernel from the tree in which it was built, which may be the O= of another.
func openBuilt(dir string) (*kernelTree, error) {
	halfBuilt := func(what string) error {
		return localError(dir, "half built: "+what, fmt.Sprintf("run `make -C %s -j$(nproc) bzImage modules`", dir))
	}
	if !isFile(filepath.Join(dir, ".config")) {
		return nil, halfBuilt("it has no .config")
	}
	config, err := os.ReadFile(filepath.Join(dir, ".config"))
	if err != nil {
		return nil, err
	}
	if !strings.Contains("\n"+string(config), "\nCONFIG_X86_64=y\n") {
		return nil, localError(dir, "configured for another architecture than x86-64", "configure it with ARCH=x86_64")
	}
	release, err := os.ReadFile(filepath.Join(dir, "include/config/kernel.release"))
	if err != nil {
		return nil, halfBuilt("it has no include/config/kernel.release")
	}
	tree := &kernelTree{
		Root: dir, Release: strings.TrimSpace(string(release)), boot: filepath.Join(dir, "arch/x86/boot/bzImage"), own: dir, build: dir,
	}
	if !isFile(tree.boot) {
		return nil, halfBuilt("it has no arch/x86/boot/bzImage")
	}
	order, err := os.ReadFile(filepath.Join(dir, "modules.order"))
	if err != nil {
		return nil, halfBuilt("it has no modules.order")
	}
	tree.files = map[string]string{}
	for line := range strings.Lines(string(order)) {
		// Newer kernels list the objects, older ones the modules as they are installed.
		file := strings.TrimPrefix(strings.TrimSpace(line), "kernel/")
		file = filepath.Join(dir, strings.TrimSuffix(strings.TrimSuffix(file, ".ko"), ".o")+".ko")
		if !isFile(file) {
			return nil, halfBuilt("modules.order names " + file + ", which is not there")
		}
		tree.files[modinfo.Name(file)] = file
	}
	return tree, nil
}

// openInstalled takes a kernel from a directory with lib/modules/RELEASE.
func openInstalled(root string) (*kernelTree, error) {
	found, err := filepath.Glob(filepath.Join(root, "lib/modules/*/modules.builtin"))
	if err != nil {
		return nil, err
	}
	if len(found) != 1 {
		return nil, localError(root, fmt.Sprintf("%d kernels in lib/modules, one expected", len(found)),
			"give the directory lib/modules/RELEASE of one of them, or its vmlinuz")
	}
	return openModules(filepath.Dir(found[0]))
}

// openModules takes a kernel from the directory of its modules: what boots is beside them, or in boot/, or in the tree that they
// come from.
func openModules(dir string) (*kernelTree, error) {
	release := filepath.Base(dir)
	root := filepath.Clean(filepath.Join(dir, "../../.."))
	if filepath.Base(root) == "usr" {
		root = filepath.Dir(root)
	}
	for _, boot := range []string{
		filepath.Join(root, "boot/vmlinuz-"+release), filepath.Join(dir, "vmlinuz"), filepath.Join(dir, "build/arch/x86/boot/bzImage"),
	} {
		if isFile(boot) {
			return &kernelTree{Root: root, Release: release, boot: boot, own: dir, build: buildOf(dir, release)}, nil
		}
	}
	return nil, localError(dir, "no kernel beside these modules: neither boot/vmlinuz-"+release+" nor vmlinuz",
		"copy arch/x86/boot/bzImage to "+filepath.Join(root, "boot/vmlinuz-"+release))
}

// buildOf is where modules for an installed kernel can be compiled; "" for nowhere.
func buildOf(dir, release string) string {
	for _, build := range []string{filepath.Join(dir, "build"), "/usr/src/linux-headers-" + release} {
		if isFile(filepath.Join(build, "Makefile")) {
			return build
		}
	}
	return ""
}

// openPackage takes a kernel from a package file, which is unpacked in the cache under the hash of its content.
func (c cache) openPackage(ctx context.Context, file string) (*kernelTree, error) {
	digest, err := fileDigest(file)
	if err != nil {
		return nil, err
	}
	err = c.publish(func(dir string) error {
		_, err := run(ctx, "", "dpkg-deb", "-x", file, dir)
		return err
	}, "packages", "local-"+digest)
	if err != nil {
		return nil, environment(err, "unpack "+file, kernelForms)
	}
	root := c.path("packages", "local-"+digest)
	if !isDir(filepath.Join(root, "lib/modules")) && isDir(filepath.Join(root, "usr/lib/modules")) {
		root = filepath.Join(root, "usr")
	}
	if !isDir(filepath.Join(root, "lib/modules")) {
		return nil, localError(file, "not a package of a kernel: it has no lib/modules", kernelForms)
	}
	return openInstalled(root)
}

// openVmlinuz finds the modules of a kernel that is a file: the tree that it was built in, or lib/modules.
func openVmlinuz(file string) (*kernelTree, error) {
	if tree, ok := strings.CutSuffix(file, "/arch/x86/boot/bzImage"); ok {
		return openBuilt(tree)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, environment(err, "kernel "+file, kernelForms)
	}
	release, err := releaseOf(content)
	if err != nil {
		return nil, localError(file, err.Error(), kernelForms)
	}
	for _, root := range []string{filepath.Dir(filepath.Dir(file)), filepath.Dir(file), "/"} {
		dir := filepath.Join(root, "lib/modules", release)
		if isFile(filepath.Join(dir, "modules.builtin")) {
			return &kernelTree{Root: root, Release: release, boot: file, own: dir, build: buildOf(dir, release)}, nil
		}
	}
	return nil, localError(file, "no modules of its release "+release+" beside it or in /lib/modules",
		"give the directory that `make modules_install INSTALL_MOD_PATH=DIR` filled, with the kernel as DIR/boot/vmlinuz-"+release)
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// fileDigest names a file by its content.
func fileDigest(file string) (string, error) {
	content, err := os.ReadFile(file)
	return contentDigest(content), err
}

// contentDigest names a content: the first 12 digits of its SHA-256, as they stand in reports.
func contentDigest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])[:12]
}

// replacements reads the modules in a directory that take the place of a kernel's own, or stand beside them.
func replacements(dir string) ([]string, error) {
	var files []string
	err := filepath.WalkDir(dir, func(file string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() && isModule(entry.Name()) {
			files = append(files, file)
		}
		return err
	})
	if err != nil {
		return nil, environment(err, "modules of "+dir, "give a directory with .ko files")
	}
	if len(files) == 0 {
		return nil, &EnvironmentError{What: "modules of " + dir, Err: errors.New("there is no .ko file"), Do: "give a directory with .ko files"}
	}
	seen := map[string]string{}
	for _, file := range files {
		if other, twice := seen[modinfo.Name(file)]; twice {
			return nil, &EnvironmentError{What: "modules of " + dir, Err: fmt.Errorf("%s and %s are one module", other, file), Do: "leave one of them"}
		}
		seen[modinfo.Name(file)] = file
	}
	return files, nil
}

func isModule(name string) bool {
	for _, ending := range []string{".ko", ".ko.xz", ".ko.zst", ".ko.gz"} {
		if strings.HasSuffix(name, ending) {
			return true
		}
	}
	return false
}

// fits refuses a module that the kernel would refuse: of another machine, of another release or configuration, or with a symbol
// that nobody has. symbols are those that the kernel and its modules export; nil where nobody knows.
func (m kmodule) fits(vermagic string, symbols map[string]bool) error {
	problem := func(what, advice string) error {
		return &EnvironmentError{What: "module " + m.Name + " (" + contentDigest(m.Content) + ")", Err: errors.New(what), Do: advice}
	}
	file, err := elf.NewFile(strings.NewReader(string(m.Content)))
	if err != nil {
		return problem(err.Error(), "build it again")
	}
	if file.Machine != elf.EM_X86_64 {
		return problem("built for "+file.Machine.String()+", the guests are EM_X86_64", "build it with ARCH=x86_64")
	}
	info, err := modinfo.Parse(m.Content)
	if err != nil {
		return problem(err.Error(), "build it again")
	}
	if own := info.Vermagic(); vermagic != "" && own != vermagic {
		return problem(fmt.Sprintf("its vermagic is %q, the kernel's %q", own, vermagic), "build it against this kernel, or give the kernel that it is for")
	}
	if symbols == nil {
		return nil
	}
	var missing []string
	all, err := file.Symbols()
	if err != nil {
		return problem(err.Error(), "do not strip its symbols")
	}
	for _, s := range all {
		if s.Section == elf.SHN_UNDEF && elf.ST_BIND(s.Info) == elf.STB_GLOBAL && !symbols[s.Name] {
			missing = append(missing, s.Name)
		}
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		return problem("neither the kernel nor its modules export "+strings.Join(missing, ", "), "build it against this kernel, or give the module that has it, too")
	}
	return nil
}

// exports adds the symbols that a module exports.
func (m kmodule) exports(symbols map[string]bool) error {
	file, err := elf.NewFile(strings.NewReader(string(m.Content)))
	if err != nil {
		return err
	}
	all, err := file.Symbols()
	if errors.Is(err, elf.ErrNoSymbols) {
		return nil
	}
	for _, s := range all {
		if name, ok := strings.CutPrefix(s.Name, "__ksymtab_"); ok {
			symbols[name] = true
		}
	}
	return err
}

// symvers reads the exported symbols of a Module.symvers: the second field of each line.
func symvers(file string) (map[string]bool, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	symbols := map[string]bool{}
	for line := range strings.Lines(string(content)) {
		if fields := strings.Split(line, "\t"); len(fields) > 1 {
			symbols[fields[1]] = true
		}
	}
	return symbols, nil
}
