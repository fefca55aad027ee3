// SPDX-License-Identifier: Apache-2.0

package qemu

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Choice is an accelerator and why it was chosen.
type Choice struct {
	Accelerator Accelerator `json:"accelerator"`
	Reason      string      `json:"reason"`
}

// probeTimeout is how long a guest on KVM may take to boot. It takes about one second where KVM works; a hanging /dev/kvm
// costs this once, and then the choice is cached.
const probeTimeout = 6 * time.Second

// kvmDevice is where Linux offers KVM.
const kvmDevice = "/dev/kvm"

// PickAccelerator chooses KVM where a guest boots on it within some seconds, and TCG otherwise. It starts probe on KVM and
// calls booted, which returns nil once the guest has shown that it is up (its agent answers, say); then it kills the guest.
// The choice is kept in cacheDir for this host kernel, CPU and QEMU. An error means that the question could not be asked; a
// guest that does not boot is an answer.
func PickAccelerator(
	ctx context.Context, probe Config, cacheDir string, booted func(context.Context, *Machine) error,
) (Choice, error) {
	probe = probe.withDefaults()
	if err := unix.Access(kvmDevice, unix.R_OK|unix.W_OK); err != nil {
		return Choice{TCG, fmt.Sprintf("%s cannot be opened: %v", kvmDevice, err)}, nil
	}
	host, err := describeHost(ctx, probe.Binary)
	if err != nil {
		return Choice{}, fmt.Errorf("qemu: pick an accelerator: %w", err)
	}
	sum := sha256.Sum256([]byte(host))
	cache := filepath.Join(cacheDir, "accelerator-"+hex.EncodeToString(sum[:8])+".json")
	choice, err := readChoice(cache)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return choice, err
	}
	if choice, err = tryKVM(ctx, probe, booted); err != nil {
		return Choice{}, fmt.Errorf("qemu: pick an accelerator: %w", err)
	}
	return choice, writeChoice(cache, choice)
}

// tryKVM boots the guest on KVM. An error means that the caller's context ended, or QEMU itself is missing.
func tryKVM(ctx context.Context, probe Config, booted func(context.Context, *Machine) error) (Choice, error) {
	probe.Accelerator = KVM
	bounded, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	m, err := Start(bounded, probe)
	if errors.Is(err, ErrNotInstalled) {
		return Choice{}, err
	}
	if err == nil {
		defer m.Kill()
		go func() { // a QEMU that dies ends the wait
			<-m.Done()
			cancel()
		}()
		err = errors.Join(booted(bounded, m), m.Err())
	}
	if ctx.Err() != nil {
		return Choice{}, ctx.Err()
	}
	if err != nil {
		return Choice{TCG, fmt.Sprintf("a guest did not boot on KVM within %v: %s", probeTimeout, inShort(err))}, nil
	}
	return Choice{KVM, "a guest booted on KVM"}, nil
}

// inShort is what QEMU said first, if it said anything: that tells why. All else that is known of its end says that it ended.
func inShort(err error) string {
	var exit *ExitError
	if !errors.As(err, &exit) || exit.Stderr == "" {
		return err.Error()
	}
	first, _, _ := strings.Cut(exit.Stderr, "; ")
	return first
}

// describeHost names all that the choice depends on.
func describeHost(ctx context.Context, binary string) (string, error) {
	var uname unix.Utsname
	if err := unix.Uname(&uname); err != nil {
		return "", fmt.Errorf("uname: %w", err)
	}
	cpus, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	version, err := exec.CommandContext(ctx, binary, "--version").Output()
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return "", fmt.Errorf("%w: install the package qemu-system-x86 (%w)", ErrNotInstalled, err)
	case ctx.Err() != nil:
		return "", fmt.Errorf("ask %s for its version: %w", binary, ctx.Err())
	case err != nil:
		return "", fmt.Errorf("ask %s for its version: %w", binary, err)
	}
	release := string(bytes.TrimRight(uname.Release[:], "\x00"))
	return strings.Join([]string{release, cpuModel(string(cpus)), string(version)}, "\n"), nil
}

// cpuModel picks the first CPU's model out of /proc/cpuinfo.
func cpuModel(cpuinfo string) string {
	for line := range strings.Lines(cpuinfo) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func readChoice(path string) (Choice, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return Choice{}, err
	}
	var c Choice
	if err := json.Unmarshal(data, &c); err != nil || c.Accelerator != KVM && c.Accelerator != TCG {
		return Choice{}, fmt.Errorf("qemu: the cached choice of an accelerator in %s cannot be read: delete the file", path)
	}
	return c, nil
}

// writeChoice puts the choice in place in one step, so that a reader never sees half of it.
func writeChoice(path string, c Choice) error {
	data, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("qemu: keep the choice of an accelerator: %w", err)
	}
	temporary := fmt.Sprintf("%s.%d", path, os.Getpid())
	if err := os.WriteFile(temporary, append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("qemu: keep the choice of an accelerator: %w", err)
	}
	return os.Rename(temporary, path)
}
