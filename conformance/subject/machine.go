// SPDX-License-Identifier: Apache-2.0

package subject

import (
	"context"
	"strings"
)

// Machine is what a subject needs of the computer that it lives on. Files have sysfs semantics: WriteFile makes one write
// call, and errors keep the errno.
type Machine interface {
	ReadFile(ctx context.Context, name string) ([]byte, error)
	WriteFile(ctx context.Context, name string, data []byte) error
	Readlink(ctx context.Context, name string) (string, error)
	Glob(ctx context.Context, pattern string) ([]string, error)
	Mkdir(ctx context.Context, name string) error
	Rmdir(ctx context.Context, name string) error
	LoadModule(ctx context.Context, name string, params ...string) error
	UnloadModule(ctx context.Context, name string) error
	ModuleLoaded(ctx context.Context, name string) (bool, error)
}

// readWord gives the content of a one-line file without its newline.
func readWord(ctx context.Context, m Machine, name string) (string, error) {
	b, err := m.ReadFile(ctx, name)
	return strings.TrimSuffix(string(b), "\n"), err
}

// unload removes modules in the given order; one that is not loaded is no error.
func unload(ctx context.Context, m Machine, modules ...string) error {
	for _, name := range modules {
		loaded, err := m.ModuleLoaded(ctx, name)
		if err != nil {
			return err
		}
		if !loaded {
			continue
		}
		if err := m.UnloadModule(ctx, name); err != nil {
			return err
		}
	}
	return nil
}
