// SPDX-License-Identifier: Apache-2.0

package vm_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/ibnbd/ibnbd/vm"
	"github.com/ibnbd/ibnbd/vm/image"
	"github.com/ibnbd/ibnbd/vm/qemu"
)

func TestBadSpecsAreRefused(t *testing.T) {
	img := &image.Image{Kernel: "/no/kernel"}
	tests := map[string]struct {
		spec vm.Config
		want string
	}{
		"image":  {vm.Config{}, "no image"},
		"hosts":  {vm.Config{Image: img, Hosts: []string{}}, "0 hosts"},
		"disks":  {vm.Config{Image: img, Disks: map[string][]string{"gamma": {"/s"}}}, `"gamma"`},
		"twice":  {vm.Config{Image: img, Hosts: []string{"a", "a"}}, `"a"`},
		"rails":  {vm.Config{Image: img, Rails: 9}, "9 rails"},
		"MTU":    {vm.Config{Image: img, MTU: 1279}, "1279"},
		"CPUs":   {vm.Config{Image: img, CPUs: -1}, "-1 CPUs"},
		"memory": {vm.Config{Image: img, Memory: 64}, "64 MiB"},
		"direct": {vm.Config{Image: img, Direct: true, Hosts: []string{"a", "b", "c"}}, "not 3"},
		"name":   {vm.Config{Image: img, Accelerator: qemu.TCG, Hosts: []string{"a/b"}}, `"a/b"`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			lab, err := vm.Start(t.Context(), test.spec)
			if err == nil {
				_ = lab.Close()
				t.Fatal("it started")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("the error %q does not say %q", err, test.want)
			}
		})
	}
}

func TestWhatTheMachineLacksIsAnEnvironmentError(t *testing.T) {
	tests := map[string]struct {
		spec vm.Config
		want string
	}{
		"memory": {vm.Config{Image: &image.Image{}, Memory: 1 << 30}, "give the hosts less memory"},
		"kernel": {vm.Config{Image: &image.Image{Kernel: "/no/kernel"}, Accelerator: qemu.TCG}, "/no/kernel"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := vm.Start(t.Context(), test.spec)
			var environment *vm.EnvironmentError
			if !errors.As(err, &environment) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("the error is %v", err)
			}
		})
	}
}

func TestStartEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := vm.Start(ctx, vm.Config{Image: &image.Image{}, Accelerator: qemu.TCG, Memory: 128})
	var environment *vm.EnvironmentError
	if !errors.Is(err, context.Canceled) || errors.As(err, &environment) {
		t.Errorf("the error is %v", err)
	}
}

func TestAddresses(t *testing.T) {
	if got, want := vm.IPv4(1, 2).String(), "10.0.1.2/24"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got, want := vm.IPv6(1, 2).String(), "fd00:0:0:1::2/64"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got, want := vm.MAC(1, 2).String(), "52:54:00:00:01:02"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
