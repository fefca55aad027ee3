// SPDX-License-Identifier: Apache-2.0

package tester

import (
	"errors"
	"math"
	"testing"

	"github.com/ibnbd/ibnbd/reference/ibnbd"
)

func TestLimit(t *testing.T) {
	io := func(op ibnbd.Op, sector uint64, size uint32) []byte {
		return Marshal(ibnbd.NewIORequest(op, 0, 0, sector, size))
	}
	readOnly, scratch := &Limit{}, &Limit{Writes: true, First: 1000, Count: 64}
	for _, c := range []struct {
		name    string
		limit   *Limit
		header  []byte
		data    int
		allowed bool
	}{
		{"anything without a limit", nil, io(ibnbd.OpWrite, 0, 4096), 4096, true},
		{"a read", readOnly, io(ibnbd.OpRead, 0, 4096), 0, true},
		{"a flush", readOnly, io(ibnbd.OpFlush, 0, 0), 0, true},
		{"a write where nothing may be written", readOnly, io(ibnbd.OpWrite, 0, 4096), 4096, false},
		{"a discard where nothing may be written", readOnly, io(ibnbd.OpDiscard, 0, 4096), 0, false},
		{"an operation that nobody knows", readOnly, io(7, 0, 512), 0, false},
		{"OPEN for reading", readOnly, OpenMessage("a", ibnbd.ReadOnly), 0, true},
		{"OPEN for writing", readOnly, OpenMessage("a", ibnbd.ReadWrite), 0, false},
		{"OPEN for writing within a range", scratch, OpenMessage("a", ibnbd.ReadWrite), 0, true},
		{"OPEN without its access mode", readOnly, OpenMessage("a", ibnbd.ReadWrite)[:4], 0, true},
		{"a cut message", readOnly, io(ibnbd.OpWrite, 0, 512)[:20], 0, true},
		{"a cut message with data", readOnly, io(ibnbd.OpWrite, 0, 512)[:20], 512, false},
		{"one byte", readOnly, []byte{1}, 0, true},
		{"a write of the whole range", scratch, io(ibnbd.OpWrite, 1000, 64*512), 64 * 512, true},
		{"a write of its last sector", scratch, io(ibnbd.OpWrite, 1063, 512), 512, true},
		{"a write in front of it", scratch, io(ibnbd.OpWrite, 999, 512), 512, false},
		{"a write behind it", scratch, io(ibnbd.OpWrite, 1064, 512), 512, false},
		{"a write over its end", scratch, io(ibnbd.OpWrite, 1063, 1024), 1024, false},
		{"a write that declares more", scratch, io(ibnbd.OpWrite, 1063, math.MaxUint32), 512, false},
		{"a write that brings more", scratch, io(ibnbd.OpWrite, 1063, 512), 4096, false},
		{"a write of the last sector that has a number", scratch, io(ibnbd.OpWrite, math.MaxUint64, 512), 512, false},
	} {
		err := c.limit.allows(Request{Header: c.header, Data: make([]byte, c.data)})
		if (err == nil) != c.allowed || (err != nil && !errors.Is(err, ErrForbidden)) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
