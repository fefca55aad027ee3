// SPDX-License-Identifier: Apache-2.0

package scsi_test

import (
	"testing"

	"github.com/ibnbd/ibnbd/reference/scsi"
)

func TestLUN(t *testing.T) {
	for n, want := range map[uint16]scsi.LUN{0: {}, 1: {0, 1}, 5: {0, 5}, 255: {0, 255}, 256: {0x41, 0}, 16383: {0x7f, 0xff}} {
		l, err := scsi.NewLUN(n)
		if err != nil || l != want {
			t.Errorf("LUN %d is % x (%v), want % x", n, l[:], err, want[:])
		}
		if back, ok := l.Number(); back != n || !ok {
			t.Errorf("LUN % x is %d (%v), want %d", l[:], back, ok, n)
		}
	}
	if _, err := scsi.NewLUN(16384); err == nil {
		t.Error("LUN 16384 passed")
	}
	for _, other := range []scsi.LUN{{0x01, 0x00}, {0x80}, {0, 5, 0, 1}} {
		if n, ok := other.Number(); ok {
			t.Errorf("LUN % x passed for number %d", other[:], n)
		}
	}
}
