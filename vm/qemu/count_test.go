// SPDX-License-Identifier: Apache-2.0

package qemu_test

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/ibnbd/ibnbd/vm/qemu"
)

// counts a number down, one instruction each, and powers off.
func countsDown(from uint32) []byte {
	mov := binary.LittleEndian.AppendUint32([]byte{0xB9}, from) // mov ecx, from
	return slices.Concat(mov, []byte{0xE2, 0xFE}, powersOff)    // 1: loop 1b
}

func TestInstructionsAreCounted(t *testing.T) {
	plugin, err := qemu.BuildCounter(within(t, time.Minute), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	executed := func(loops uint32) uint64 {
		m := start(t, qemu.Config{Kernel: tinyGuest(t, "counting\r\n", countsDown(loops)), Accelerator: qemu.TCG, Counter: plugin})
		ended(t, m)
		n, err := m.Instructions()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	const few, many = 100_000, 5_100_000
	if more := executed(many) - executed(few); more < 4_950_000 || more > 5_050_000 {
		t.Errorf("%d instructions were counted for 5,000,000 more", more)
	}
}

func TestInstructionsWithoutACounter(t *testing.T) {
	m := start(t, qemu.Config{})
	if n, err := m.Instructions(); err == nil {
		t.Errorf("a machine without a counter has executed %d", n)
	}
}
