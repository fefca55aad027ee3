// SPDX-License-Identifier: Apache-2.0

package nbd_test

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/ibnbd/ibnbd/reference/nbd"
)

// TestNoDriver says what is missing. How disks come and go is tested in the lab.
func TestNoDriver(t *testing.T) {
	if _, err := os.Stat("/sys/module/nbd"); err == nil {
		t.Skip("driver-loaded: this machine has the kernel's NBD driver")
	}
	_, err := nbd.AttachToKernel(&ram{data: make([]byte, 4096)}, 4096)
	if !errors.Is(err, syscall.ENOENT) || !strings.Contains(err.Error(), "modprobe nbd") {
		t.Errorf("AttachToKernel: %v", err)
	}
}
