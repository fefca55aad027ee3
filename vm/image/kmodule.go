// SPDX-License-Identifier: Apache-2.0

package image

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"github.com/ibnbd/ibnbd/vm/image/modinfo"
)

// A kmodule is one kernel module, decompressed.
type kmodule struct {
	Name    string // with underscores
	Path    string // below lib/modules/RELEASE, without the ending of a compressor
	Content []byte
}

// moduleFiles maps the names of the modules below dir to their files.
func moduleFiles(dir string) (map[string]string, error) {
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(file string, entry fs.DirEntry, err error) error {
		if err == nil && strings.Contains(entry.Name(), ".ko") && entry.Type().IsRegular() {
			files[modinfo.Name(file)] = file
		}
		return err
	})
	return files, err
}

// builtinModules are the names of the modules that are part of the kernel itself.
func builtinModules(dir string) (map[string]bool, error) {
	data, err := os.ReadFile(filepath.Join(dir, "modules.builtin"))
	if err != nil {
		return nil, err
	}
	builtin := map[string]bool{}
	for line := range strings.Lines(string(data)) {
		builtin[modinfo.Name(strings.TrimSpace(line))] = true
	}
	return builtin, nil
}

// A request is for a module that must be there, or for one that is only wished for.
type request struct {
	name string
	wish bool
}

// wishes are the modules of a guest.
type wishes struct {
	names    []string // with all that they depend on
	optional []string // of these, those that a kernel may lack
	extra    []string // files of modules, which take the place of the kernel's own
}

// closure reads the wanted modules of a kernel and all that they depend on. missing are those that it has not got.
func (w wishes) closure(kernel kernelTree) (modules []kmodule, missing []string, err error) {
	builtin, err := builtinModules(kernel.own)
	if err != nil {
		return nil, nil, err
	}
	files, err := kernel.modules()
	if err != nil {
		return nil, nil, err
	}
	var queue []request
	for _, name := range w.names {
		queue = append(queue, request{name, slices.Contains(w.optional, name)})
	}
	for _, file := range w.extra {
		files[modinfo.Name(file)] = file
		queue = append(queue, request{name: file})
	}
	seen := map[string]bool{}
	for len(queue) > 0 {
		name, wish := modinfo.Name(queue[0].name), queue[0].wish
		queue = queue[1:]
		file, ok := files[name]
		if seen[name] || builtin[name] || wish && !ok {
			continue
		}
		seen[name] = true
		if !ok {
			missing = append(missing, name)
			continue
		}
		module, info, err := readModule(file, kernel.own)
		if err != nil {
			return nil, nil, fmt.Errorf("kernel module %s: %w", file, err)
		}
		modules = append(modules, *module)
		for _, name := range info.Depends() {
			queue = append(queue, request{name: name})
		}
		for _, name := range info.Softdeps() {
			queue = append(queue, request{name, true})
		}
	}
	slices.SortFunc(modules, func(a, b kmodule) int { return strings.Compare(a.Path, b.Path) })
	return modules, missing, nil
}

// readModule reads one module. Modules from below root keep their place, others go to updates/.
func readModule(file, root string) (*kmodule, modinfo.Info, error) {
	content, err := decompress(file)
	if err != nil {
		return nil, nil, err
	}
	info, err := modinfo.Parse(content)
	if err != nil {
		return nil, nil, err
	}
	place, err := filepath.Rel(root, file)
	if err != nil || strings.HasPrefix(place, "..") {
		place = filepath.Join("updates", filepath.Base(file))
	}
	place, _, _ = strings.Cut(place, ".ko")
	return &kmodule{Name: modinfo.Name(file), Path: place + ".ko", Content: content}, info, nil
}

func decompress(file string) ([]byte, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var plain io.Reader
	switch filepath.Ext(file) {
	case ".ko":
		return data, nil
	case ".xz":
		plain, err = xz.NewReader(bytes.NewReader(data))
	case ".zst":
		plain, err = zstd.NewReader(bytes.NewReader(data))
	case ".gz":
		plain, err = gzip.NewReader(bytes.NewReader(data))
	default:
		err = fmt.Errorf("unknown compression %q", filepath.Ext(file))
	}
	if err != nil {
		return nil, err
	}
	return io.ReadAll(plain)
}
