// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ibnbd/ibnbd/vm/agent"
	"github.com/ibnbd/ibnbd/vm/agent/ioprobe"
)

// ios makes the report of a probe on a guest that booted at the Unix epoch; times are in milliseconds.
func ios(records ...ioprobe.Record) IOs {
	for i := range records {
		records[i].Submit *= int64(time.Millisecond)
		records[i].Complete *= int64(time.Millisecond)
	}
	return IOs{records: records, clock: agent.Clock{Boot: time.Unix(0, 0)}}
}

func ms(n int) time.Time { return time.Unix(0, int64(n)*int64(time.Millisecond)) }

func TestIOs(t *testing.T) {
	o := ios(
		ioprobe.Record{Event: ioprobe.IO, Seq: 0, Submit: 0, Complete: 900},                              // before the moment
		ioprobe.Record{Event: ioprobe.IO, Seq: 1, Submit: 950, Complete: 3000},                           // across it
		ioprobe.Record{Event: ioprobe.IO, Seq: 2, Submit: 1100, Complete: 2000, Errno: int(syscall.EIO)}, // fails
		ioprobe.Record{Event: ioprobe.IO, Seq: 3, Submit: 1200, Complete: 1500, Errno: int(syscall.EIO)}, // fails first
		ioprobe.Record{Event: ioprobe.Outstanding, Seq: 4, Submit: 4000},                                 // hangs
		ioprobe.Record{Event: ioprobe.Outstanding, Seq: 5, Submit: 9990},                                 // issued just now
		ioprobe.Record{Event: ioprobe.End, Submit: 10000},
	)
	if got, want := o.Stall(ms(1000)), 6*time.Second; got != want {
		t.Errorf("Stall() = %s, want %s: that of the I/O that hangs", got, want)
	}
	if got, want := o.FirstError(ms(1000)), ms(1500); !got.Equal(want) {
		t.Errorf("FirstError() = %s, want %s", got, want)
	}
	list := o.Errors()
	if len(list) != 3 || !strings.Contains(list[2], "I/O 4") || !strings.Contains(list[2], "hung") {
		t.Errorf("Errors() = %q", list)
	}
}

func TestCheckBlock(t *testing.T) {
	block := make([]byte, 1024)
	stampOf := func(seq uint64, offset int64) ioprobe.Stamp { return ioprobe.Stamp{Seq: seq, Offset: offset} }
	for _, c := range []struct {
		name string
		fill func()
		want string // "" for a good block
	}{
		{"as acknowledged", func() { stampOf(7, 4096).Fill(block) }, ""},
		{"a later write that was not acknowledged", func() { stampOf(8, 4096).Fill(block) }, ""},
		{"an older write", func() { stampOf(6, 4096).Fill(block) }, "holds write 6, although write 7"},
		{"half an older write", func() { stampOf(7, 4096).Fill(block); stampOf(6, 4608).Fill(block[512:]) }, "byte 4608: holds write 6"},
		{"another place", func() { stampOf(7, 8192).Fill(block) }, "misplaced"},
		{"nothing", func() { clear(block) }, "not stamped"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.fill()
			err := checkBlock(block, 4096, 7)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("checkBlock() = %v, want %q", err, c.want)
			}
		})
	}
}
