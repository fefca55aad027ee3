// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// agentPackage is the program that becomes the guest's init.
const agentPackage = "github.com/ibnbd/ibnbd/vm/agent/init"

// agent returns the file of the guest's init and the hash of its content. Unless a prebuilt one is given it is compiled,
// which the Go build cache makes quick when nothing changed.
func (c cache) agent(ctx context.Context, prebuilt string) (file, hash string, err error) {
	file = prebuilt
	if file == "" {
		file = c.path("agent", "init")
		if err := buildAgent(ctx, file); err != nil {
			return "", "", environment(err, "compile the guest's init", "run inside a checkout of the project, with Go installed")
		}
	}
	in, err := os.Open(file)
	if err != nil {
		return "", "", fmt.Errorf("guest's init: %w", err)
	}
	defer in.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, in); err != nil {
		return "", "", fmt.Errorf("guest's init: %w", err)
	}
	return file, hex.EncodeToString(sum.Sum(nil)), nil
}

func buildAgent(ctx context.Context, file string) error {
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", file, agentPackage)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOFLAGS=")
	out, err := cmd.CombinedOutput()
	if err != nil && len(out) > 0 {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(out)))
	}
	return err
}
