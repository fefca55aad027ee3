// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ibnbd/ibnbd/vm/agent/internal/wire"
	"github.com/ibnbd/ibnbd/vm/image/modinfo"
)

// loadModule loads a module by name, or from a file if the name has a slash, after those that it depends on. The errno is
// the kernel's: EEXIST says that it was loaded already.
func loadModule(_ context.Context, args wire.Module) (any, error) {
	index, err := readModuleIndex()
	if err != nil {
		return nil, err
	}
	file, needs, err := index.find(args.Name)
	if err != nil {
		return nil, err
	}
	for _, need := range needs {
		if err := insert(need, ""); err != nil && !errors.Is(err, unix.EEXIST) {
			return nil, fmt.Errorf("load for %s: %w", args.Name, err)
		}
	}
	return nil, insert(file, strings.Join(args.Params, " "))
}

func unloadModule(_ context.Context, args wire.Module) (any, error) {
	if err := unix.DeleteModule(args.Name, unix.O_NONBLOCK); err != nil {
		return nil, &fs.PathError{Op: "delete_module", Path: args.Name, Err: err}
	}
	return nil, nil
}

// insert gives one file to the kernel, unless a module of its name is there.
func insert(file, params string) error {
	if _, err := os.Stat(filepath.Join("/sys/module", modinfo.Name(file), "initstate")); err == nil {
		return &fs.PathError{Op: "finit_module", Path: file, Err: unix.EEXIST}
	}
	in, err := os.Open(file)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := unix.FinitModule(int(in.Fd()), params, 0); err != nil {
		return &fs.PathError{Op: "finit_module", Path: file, Err: err}
	}
	return nil
}

// A moduleIndex is the depmod index of the running kernel: its lines are "file: dependencies", the nearest one first,
// with paths below its directory.
type moduleIndex struct {
	dir   string
	files map[string]string   // module name to path
	needs map[string][]string // path to paths
}

func readModuleIndex() (*moduleIndex, error) {
	var uname unix.Utsname
	if err := unix.Uname(&uname); err != nil {
		return nil, fmt.Errorf("uname: %w", err)
	}
	dir := path.Join("/lib/modules", unix.ByteSliceToString(uname.Release[:]))
	data, err := os.ReadFile(path.Join(dir, "modules.dep"))
	if err != nil {
		return nil, err
	}
	index := &moduleIndex{dir: dir, files: map[string]string{}, needs: map[string][]string{}}
	for line := range strings.Lines(string(data)) {
		file, needs, _ := strings.Cut(strings.TrimSpace(line), ":")
		index.files[modinfo.Name(file)] = file
		index.needs[file] = strings.Fields(needs)
	}
	return index, nil
}

// find returns the file of a module and the files to load before it, in order.
func (x *moduleIndex) find(name string) (file string, needs []string, err error) {
	if strings.Contains(name, "/") {
		needs, err = x.needsOf(name)
		return name, needs, err
	}
	file, ok := x.files[strings.ReplaceAll(name, "-", "_")]
	if !ok {
		return "", nil, &fs.PathError{Op: "find module", Path: name, Err: unix.ENOENT}
	}
	return path.Join(x.dir, file), x.chain(file), nil
}

// chain is what depmod says that a module needs, the farthest first.
func (x *moduleIndex) chain(file string) []string {
	var chain []string
	needs := x.needs[file]
	for i := len(needs) - 1; i >= 0; i-- {
		chain = append(chain, path.Join(x.dir, needs[i]))
	}
	return chain
}

// needsOf is what a module outside the index needs.
func (x *moduleIndex) needsOf(name string) ([]string, error) {
	content, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	info, err := modinfo.Parse(content)
	if err != nil {
		return nil, fmt.Errorf("module %s: %w", name, err)
	}
	var needs []string
	for _, dependency := range info.Depends() {
		file, ok := x.files[dependency]
		if !ok {
			continue // built in, or loaded from a file before; if it is neither, the kernel names the missing symbol
		}
		needs = append(append(needs, x.chain(file)...), path.Join(x.dir, file))
	}
	return needs, nil
}

// bootModules names the modules to load at boot, one a line.
const bootModules = "/etc/modules"

// LoadBootModules loads what the image wants to have loaded from the start.
func LoadBootModules(ctx context.Context) error {
	data, err := os.ReadFile(bootModules)
	if err != nil {
		return err
	}
	for name := range strings.FieldsSeq(string(data)) {
		if _, err := loadModule(ctx, wire.Module{Name: name}); err != nil {
			return err
		}
	}
	return nil
}
