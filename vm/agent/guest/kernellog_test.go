// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"io"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ibnbd/ibnbd/vm/agent/internal/wire"
)

func TestParseRecord(t *testing.T) {
	for name, test := range map[string]struct {
		record string
		want   wire.LogEntry
	}{
		"plain": {"6,339,5140900,-;NET: Registered PF_INET6\n",
			wire.LogEntry{Seq: 339, Priority: 6, Monotonic: 5140900, Text: "NET: Registered PF_INET6"}},
		"with a semicolon": {"4,1,2,-;a;b\n", wire.LogEntry{Seq: 1, Priority: 4, Monotonic: 2, Text: "a;b"}},
		"with a dictionary": {"30,340,5690716,-;udevd[80]: starting\n SUBSYSTEM=acpi\n DEVICE=+acpi:PNP0A03:00\n",
			wire.LogEntry{Seq: 340, Priority: 30, Monotonic: 5690716, Text: "udevd[80]: starting",
				Dictionary: " SUBSYSTEM=acpi\n DEVICE=+acpi:PNP0A03:00"}},
		"with a caller":  {"6,1,2,-,caller=T1;x\n", wire.LogEntry{Seq: 1, Priority: 6, Monotonic: 2, Text: "x"}},
		"with an escape": {`6,1,2,-;tab\x09 back\x5cslash \xzz` + "\n", wire.LogEntry{Seq: 1, Priority: 6, Monotonic: 2, Text: "tab\t back\\slash \\xzz"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseRecord(test.record)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	for _, bad := range []string{"", "no semicolon", "1,2;x", "x,1,2,-;y", "1,-1,2,-;y"} {
		if _, err := parseRecord(bad); err == nil {
			t.Errorf("%q was taken for a record", bad)
		}
	}
}

func TestFollowTellsWhatIsMissing(t *testing.T) {
	steps := []struct {
		record string
		err    error
	}{
		{record: "6,2,0,-;before what was asked for"},
		{record: "6,3,0,-;first"},
		{err: unix.EPIPE},
		{record: "6,9,0,-;after an overrun"},
		{record: "6,10,0,-;next"},
		{err: os.ErrClosed},
	}
	read := func(buf []byte) (int, error) {
		if len(steps) == 0 {
			return 0, io.ErrUnexpectedEOF
		}
		step := steps[0]
		steps = steps[1:]
		return copy(buf, step.record), step.err
	}
	var got []wire.LogEntry
	err := follow(read, 3, func(entry wire.LogEntry) error {
		got = append(got, entry)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []wire.LogEntry{
		{Seq: 3, Priority: 6, Text: "first"},
		{Seq: 9, Lost: 5},
		{Seq: 9, Priority: 6, Text: "after an overrun"},
		{Seq: 10, Priority: 6, Text: "next"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
