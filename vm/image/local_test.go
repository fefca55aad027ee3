// SPDX-License-Identifier: Apache-2.0

package image

import (
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// write makes files below dir, by their names there.
func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// releasedKernel is as much of a kernel as is looked at.
func releasedKernel(release string) string {
	head := make([]byte, 0x400)
	copy(head[magicAt:], "HdrS")
	binary.LittleEndian.PutUint16(head[versionAt:], 0x300-bootSector)
	copy(head[0x300:], release+" (somebody@somewhere) #1\x00")
	return string(head)
}

// builtTree is a kernel tree as `make bzImage modules` leaves it.
func builtTree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, map[string]string{
		".config": "CONFIG_64BIT=y\nCONFIG_X86_64=y\n", "include/config/kernel.release": "6.99.0-mine\n",
		"arch/x86/boot/bzImage": releasedKernel("6.99.0-mine"), "modules.order": "drivers/a/one-two.o\nkernel/b.ko\n",
		"drivers/a/one-two.ko": "1", "b.ko": "2", "stale.ko": "3", "modules.builtin": "", "Makefile": "",
	})
	return dir
}

func TestKernelForms(t *testing.T) {
	c := cache{t.TempDir()}
	tree := builtTree(t)
	installed := t.TempDir()
	write(t, installed, map[string]string{
		"boot/vmlinuz-6.99.0-mine": releasedKernel("6.99.0-mine"), "lib/modules/6.99.0-mine/modules.builtin": "",
		"lib/modules/6.99.0-mine/kernel/b.ko.xz": "2",
	})
	for name, path := range map[string]string{
		"built tree": tree, "its bzImage": filepath.Join(tree, "arch/x86/boot/bzImage"), "modules_install": installed,
		"its vmlinuz": filepath.Join(installed, "boot/vmlinuz-6.99.0-mine"), "lib/modules/RELEASE": filepath.Join(installed, "lib/modules/6.99.0-mine"),
	} {
		kernel, err := c.openLocal(t.Context(), path)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		files, err := kernel.modules()
		if err != nil || kernel.Release != "6.99.0-mine" || files["b"] == "" || !isFile(kernel.boot) {
			t.Errorf("%s: release %q, modules %v, boots %s (%v)", name, kernel.Release, files, kernel.boot, err)
		}
		if files["stale"] != "" {
			t.Errorf("%s: a module that modules.order does not name is taken", name)
		}
	}
}

func TestSlowKernelsAreKnown(t *testing.T) {
	c := cache{t.TempDir()}
	tree := builtTree(t)
	for config, want := range map[string]string{
		"CONFIG_X86_64=y\n# CONFIG_KASAN is not set\n":              "",
		"CONFIG_X86_64=y\nCONFIG_KASAN=y\nCONFIG_PROVE_LOCKING=y\n": "KASAN, PROVE_LOCKING",
	} {
		write(t, tree, map[string]string{".config": config})
		kernel, err := c.openLocal(t.Context(), tree)
		if err != nil {
			t.Fatal(err)
		}
		if got := kernel.instrumented(); got != want {
			t.Errorf("of %q: %q, want %q", config, got, want)
		}
	}
}

func TestWrongKernelsAreRefused(t *testing.T) {
	c := cache{t.TempDir()}
	without := func(file string) string {
		tree := builtTree(t)
		if err := os.Remove(filepath.Join(tree, file)); err != nil {
			t.Fatal(err)
		}
		return tree
	}
	arm := builtTree(t)
	write(t, arm, map[string]string{".config": "CONFIG_ARM64=y\n"})
	two := t.TempDir()
	write(t, two, map[string]string{"lib/modules/1/modules.builtin": "", "lib/modules/2/modules.builtin": ""})
	text := filepath.Join(t.TempDir(), "text")
	alone := filepath.Join(t.TempDir(), "vmlinuz")
	write(t, filepath.Dir(text), map[string]string{"text": strings.Repeat("text", 500), "empty.deb": ""})
	write(t, filepath.Dir(alone), map[string]string{"vmlinuz": releasedKernel("0.0.1-nobody")})
	for says, path := range map[string]string{
		"not a kernel: it has neither .config":        t.TempDir(),
		"no such file":                                "/no/such/kernel",
		"half built: it has no arch/x86/boot/bzImage": without("arch/x86/boot/bzImage"),
		"half built: it has no modules.order":         without("modules.order"),
		"half built: modules.order names":             without("b.ko"),
		"half built: it has no include/config/kernel": without("include/config/kernel.release"),
		"configured for another architecture":         arm,
		"2 kernels in lib/modules, one expected":      two,
		"neither a bzImage for x86-64 nor a package":  text,
		"no modules of its release 0.0.1-nobody":      alone,
		"unpack " + filepath.Dir(text) + "/empty.deb": filepath.Join(filepath.Dir(text), "empty.deb"),
	} {
		_, err := c.openLocal(t.Context(), path)
		var environment *EnvironmentError
		if !errors.As(err, &environment) || !strings.Contains(err.Error(), says) || environment.Do == "" {
			t.Errorf("error %v, want one of the environment that says %q and what to do", err, says)
		}
	}
}

// compile makes an object of C for a machine, which looks like a module.
func compile(t *testing.T, file, source string, flags ...string) {
	t.Helper()
	c := strings.TrimSuffix(file, filepath.Ext(file)) + ".c"
	write(t, filepath.Dir(file), map[string]string{filepath.Base(c): source})
	if out, err := exec.Command("gcc", append(flags, "-c", "-o", file, c)...).CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v: %s", err, out)
	}
}

const moduleOf = `static const char m[] __attribute__((section(".modinfo"), used)) = "vermagic=VERMAGIC \0depends=";
extern int known(void), other(void) __attribute__((weak)), UNDEFINED(void);
int use(void) { return known() + UNDEFINED(); }
int __ksymtab_mine;
`

func moduleSource(vermagic, undefined string) string {
	return strings.NewReplacer("VERMAGIC", vermagic, "UNDEFINED", undefined).Replace(moduleOf)
}

func TestModulesThatDoNotFitAreRefused(t *testing.T) {
	dir := t.TempDir()
	compile(t, filepath.Join(dir, "good.ko"), moduleSource("6.99 SMP", "mine"))
	compile(t, filepath.Join(dir, "release.ko"), moduleSource("6.98 SMP", "mine"))
	compile(t, filepath.Join(dir, "symbol.ko"), moduleSource("6.99 SMP", "nobodys"))
	compile(t, filepath.Join(dir, "machine.ko"), moduleSource("6.99 SMP", "mine"), "-m32")
	for name, says := range map[string]string{
		"good": "", "release": `its vermagic is "6.98 SMP", the kernel's "6.99 SMP"`,
		"symbol": "neither the kernel nor its modules export nobodys", "machine": "built for EM_386",
	} {
		content, err := os.ReadFile(filepath.Join(dir, name+".ko"))
		if err != nil {
			t.Fatal(err)
		}
		m, symbols := kmodule{Name: name, Content: content}, map[string]bool{"known": true}
		if err := m.exports(symbols); err != nil {
			t.Fatal(err)
		}
		err = m.fits("6.99 SMP", symbols)
		var environment *EnvironmentError
		switch {
		case says == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case says != "" && (!errors.As(err, &environment) || !strings.Contains(err.Error(), says)):
			t.Errorf("%s: error %v, want one that says %q", name, err, says)
		}
	}
}

func TestReplacementsAreFound(t *testing.T) {
	dir := t.TempDir()
	if _, err := replacements(dir); err == nil || !strings.Contains(err.Error(), "there is no .ko file") {
		t.Errorf("of an empty directory: %v", err)
	}
	write(t, dir, map[string]string{"a/rtrs-client.ko": "1", "rdma_rxe.ko.xz": "2", "notes.ko.txt": ""})
	if files, err := replacements(dir); err != nil || len(files) != 2 {
		t.Errorf("%v, %v", files, err)
	}
	write(t, dir, map[string]string{"rtrs_client.ko": "3"})
	if _, err := replacements(dir); err == nil || !strings.Contains(err.Error(), "are one module") {
		t.Errorf("of two files for one module: %v", err)
	}
}

// TestKeyFollowsKernelAndModules: no content that guests get may change without the key.
func TestKeyFollowsKernelAndModules(t *testing.T) {
	tree, modules, source := builtTree(t), t.TempDir(), t.TempDir()
	compile(t, filepath.Join(tree, "b.ko"), moduleSource("6.99 SMP", "mine"))
	compile(t, filepath.Join(modules, "rdma_rxe.ko"), moduleSource("6.99 SMP", "mine"))
	write(t, source, map[string]string{"rtrs/Makefile": "", "rtrs/a.c": "int a;"})
	set := &Set{Kernels: map[string]Kernel{"x": {Image: "x"}}, Modules: []string{"b"},
		ModuleSets: map[string]ModuleSet{"rnbd": {Directories: []string{"drivers/rtrs"}}}}
	config := Config{Kernel: tree, Replace: modules, Modules: []string{"rnbd"}, ModuleSources: []string{filepath.Join(source, "rtrs")}, Set: set, Cache: t.TempDir()}
	identity := func() string {
		t.Helper()
		id, err := Identify(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		if id.Kernel != "6.99.0-mine" || len(id.What) != 3 {
			t.Errorf("identity %+v", id)
		}
		return id.Changed
	}
	before := identity()
	if identity() != before || before == "" {
		t.Error("the same contents have two names, or none")
	}
	for name, change := range map[string]func(){
		"kernel": func() {
			write(t, tree, map[string]string{"arch/x86/boot/bzImage": releasedKernel("6.99.0-mine") + "x"})
		},
		"its module": func() { compile(t, filepath.Join(tree, "b.ko"), moduleSource("6.99 SMP", "mine")+"int changed;") },
		"module of a user": func() {
			compile(t, filepath.Join(modules, "rdma_rxe.ko"), moduleSource("6.99 SMP", "mine")+"int changed;")
		},
		"source of a module": func() { write(t, source, map[string]string{"rtrs/a.c": "int b;"}) },
	} {
		change()
		after := identity()
		if after == before {
			t.Errorf("a changed %s leaves the name as it is", name)
		}
		before = after
	}
	plain, err := Identify(t.Context(), Config{Cache: t.TempDir()})
	if err != nil || plain.Changed != "" || plain.Kernel != DefaultKernel {
		t.Errorf("of the default kernel: %+v, %v", plain, err)
	}
}
