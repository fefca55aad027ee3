// SPDX-License-Identifier: Apache-2.0

// Package machine is what implementations need of the machine on which they are under test: kernel modules, one-line files, and programs
// of this project that are brought there, run, and ended in good order.
package machine

import (
	"context"
	"path"
	"strings"

	"github.com/ibnbd/ibnbd/vm/agent"
)

// Host is the computer that a subject lives on. The agent changes when the computer is replaced by a new one.
type Host interface {
	Agent() *agent.Client
}

// ReadWord gives the content of a one-line file without its newline.
func ReadWord(ctx context.Context, h Host, name string) (string, error) {
	b, err := h.Agent().ReadFile(ctx, name)
	return Word(b), err
}

// Word is what a file of one line says.
func Word(content []byte) string { return strings.TrimSuffix(string(content), "\n") }

// Loaded says whether a module is there.
func Loaded(ctx context.Context, h Host, module string) (bool, error) {
	return h.Agent().Exists(ctx, path.Join("/sys/module", module))
}

// Unload removes modules in the given order; one that is not loaded is no error.
func Unload(ctx context.Context, h Host, modules ...string) error {
	for _, name := range modules {
		there, err := Loaded(ctx, h, name)
		if err != nil {
			return err
		}
		if !there {
			continue
		}
		if err := h.Agent().UnloadModule(ctx, name); err != nil {
			return err
		}
	}
	return nil
}
