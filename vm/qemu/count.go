// SPDX-License-Identifier: Apache-2.0

package qemu

import (
	"context"
	_ "embed"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// What a translated guest costs is best told in instructions: their number does not depend on what else this machine does.

//go:embed plugin/counter.c
var counterSource []byte

// BuildCounter compiles the plugin for [Config].Counter in a directory, which needs a C compiler, and returns its path.
func BuildCounter(ctx context.Context, dir string) (plugin string, err error) {
	source, plugin := filepath.Join(dir, "counter.c"), filepath.Join(dir, "counter.so")
	if err := os.WriteFile(source, counterSource, 0o600); err != nil {
		return "", err
	}
	cc := exec.CommandContext(ctx, "cc", "-O2", "-Wall", "-shared", "-fPIC", "-o", plugin, source)
	if out, err := cc.CombinedOutput(); err != nil {
		return "", fmt.Errorf("qemu: compile the counter of instructions: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return plugin, nil
}

// Instructions is how many the guest has executed. The machine must have a counter.
func (m *Machine) Instructions() (uint64, error) {
	data, err := os.ReadFile(m.config.countFile())
	if err != nil {
		return 0, err
	}
	if len(data) != 8 {
		return 0, fmt.Errorf("qemu: machine %s: the count of instructions has %d bytes; it must have 8", m.config.Name, len(data))
	}
	return binary.NativeEndian.Uint64(data), nil
}

func (c Config) countFile() string { return filepath.Join(c.Dir, c.Name+".instructions") }
