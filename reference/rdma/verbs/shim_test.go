// SPDX-License-Identifier: Apache-2.0

//go:build verbs && cgo && linux

package verbs_test

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// TestShim runs the tests of the C side under AddressSanitizer, which finds leaks too, and UndefinedBehaviorSanitizer.
func TestShim(t *testing.T) {
	program := filepath.Join(t.TempDir(), "shim")
	args := []string{"-std=gnu11", "-g", "-O1", "-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined",
		"-fno-sanitize-recover=undefined", "-o", program, "testdata/shim_main.c"}
	sources, err := filepath.Glob("shim_*.c")
	if err != nil || len(sources) == 0 {
		t.Fatalf("no C files: %v", err)
	}
	args = append(append(args, sources...), "-lrdmacm", "-libverbs")
	if out, err := exec.CommandContext(t.Context(), "gcc", args...).CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	if out, err := exec.CommandContext(t.Context(), program).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}
