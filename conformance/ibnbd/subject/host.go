// SPDX-License-Identifier: Apache-2.0

package subject

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

// readWord gives the content of a one-line file without its newline.
func readWord(ctx context.Context, h Host, name string) (string, error) {
	b, err := h.Agent().ReadFile(ctx, name)
	return word(b), err
}

// word is what a file of one line says.
func word(content []byte) string { return strings.TrimSuffix(string(content), "\n") }

// loaded says whether a module is there.
func loaded(ctx context.Context, h Host, module string) (bool, error) {
	return h.Agent().Exists(ctx, path.Join("/sys/module", module))
}

// unload removes modules in the given order; one that is not loaded is no error.
func unload(ctx context.Context, h Host, modules ...string) error {
	for _, name := range modules {
		there, err := loaded(ctx, h, name)
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
