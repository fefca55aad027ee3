// SPDX-License-Identifier: Apache-2.0

package nbd_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/ibnbd/ibnbd/reference/nbd"
)

// kib are so many bytes.
const kib = 1 << 10

// sparse is a disk of 8 MiB with data in three places: 64 KiB at 1 MiB, a byte at 3 MiB + 4 KiB, and the last 512 bytes.
func sparse() *ram {
	d := &ram{data: make([]byte, size)}
	for i := range 64 * kib {
		d.data[1<<20+i] = 0xA5
	}
	d.data[3<<20+4*kib] = 1
	for i := range 512 {
		d.data[size-512+i] = 0x5A
	}
	return d
}

func TestOptionsOfStructuredReplies(t *testing.T) {
	r := dialRaw(t, map[string]nbd.Disk{"a": sparse()})
	r.expectOption(optListMeta, queries("a"), repErrInvalid) // structured replies come first
	r.expectOption(optSetMeta, queries("a", "base:allocation"), repErrInvalid)
	r.expectOption(optStructured, []byte{0}, repErrInvalid)
	r.expectOption(optStructured, nil, repAck)

	context := append(be.AppendUint32(nil, 0), "base:allocation"...)
	for _, tc := range []struct {
		option uint32
		data   []byte
		want   int // contexts
	}{
		{optListMeta, queries("a"), 1}, {optListMeta, queries("a", "base:"), 1}, {optListMeta, queries("a", "base:allocation", "base:"), 1},
		{optListMeta, queries("a", "qemu:", "base:other", "x", ""), 0}, {optListMeta, queries(""), 1},
		{optSetMeta, queries("a", "base:allocation"), 1}, {optSetMeta, queries("a", "x:y", "base:allocation", "base:allocation"), 1},
		{optSetMeta, queries("a", "base:"), 0}, {optSetMeta, queries("a"), 0},
	} {
		all := r.expectOption(tc.option, tc.data, repAck)
		if len(all)-1 != tc.want {
			t.Errorf("option %d with %q gives %d contexts, must be %d", tc.option, tc.data, len(all)-1, tc.want)
		}
		for _, c := range all[:len(all)-1] {
			if c.kind != repMeta || len(c.data) < 4 || !bytes.Equal(c.data[4:], context[4:]) {
				t.Errorf("option %d with %q gives %+v", tc.option, tc.data, c)
			}
		}
	}
	for _, option := range []uint32{optListMeta, optSetMeta} {
		r.expectOption(option, queries("b", "base:allocation"), repErrUnknown)
		whole := queries("a", "base:allocation")
		for n := range whole {
			r.expectOption(option, whole[:n], repErrInvalid)
		}
		r.expectOption(option, append(whole, 0), repErrInvalid)
		r.expectOption(option, append(named("a"), 0xff, 0xff, 0xff, 0xff), repErrInvalid)
		r.expectOption(option, []byte{0xff, 0xff, 0xff, 0xff, 'a', 0, 0, 0, 0}, repErrInvalid)
	}
}

// TestContextsAreOfOneExport chooses a context, and then what makes the choice void.
func TestContextsAreOfOneExport(t *testing.T) {
	disks := map[string]nbd.Disk{"a": sparse(), "b": sparse()}
	good := queries("a", "base:allocation")
	for name, tc := range map[string]struct {
		before func(r *raw)
		export string
		want   uint32
	}{
		"chosen":            {func(r *raw) { r.expectOption(optSetMeta, good, repAck) }, "a", 0},
		"not chosen":        {func(*raw) {}, "a", eInval},
		"listed":            {func(r *raw) { r.expectOption(optListMeta, good, repAck) }, "a", eInval},
		"of another export": {func(r *raw) { r.expectOption(optSetMeta, good, repAck) }, "b", eInval},
		"chosen and dropped": {func(r *raw) {
			r.expectOption(optSetMeta, good, repAck)
			r.expectOption(optSetMeta, queries("a"), repAck)
		}, "a", eInval},
		"chosen and failed": {func(r *raw) {
			r.expectOption(optSetMeta, good, repAck)
			r.expectOption(optSetMeta, queries("c", "base:allocation"), repErrUnknown)
		}, "a", eInval},
	} {
		t.Run(name, func(t *testing.T) {
			r := dialRaw(t, disks)
			r.expectOption(optStructured, nil, repAck)
			tc.before(r)
			r.reach(tc.export)
			if got := r.errno(0, blockStatus, 0, 4096, nil); got != tc.want {
				t.Errorf("a status fails with %d, must be %d", got, tc.want)
			}
		})
	}
}

func TestReadsTellZeroes(t *testing.T) {
	d := sparse()
	r := dialRaw(t, map[string]nbd.Disk{"a": d})
	r.structured("a")
	for _, tc := range []struct {
		flags  uint16
		offset uint64
		length uint32
		want   string
	}{
		{0, 0, 1 << 20, "h"}, {0, 1 << 20, 64 * kib, "d"}, {0, 1<<20 - 512, 1024, "hd"}, {0, 512 * kib, 1 << 20, "hdh"},
		{0, 3 << 20, 4096, "h"}, {0, 3<<20 + 4096, 512, "d"}, {0, 3 << 20, 64 * kib, "d"}, {0, size - 512, 512, "d"},
		{0, 0, size, "hdhdhd"}, {df, 0, size, "d"}, {df, 0, 1 << 20, "h"}, {0, 0, 512, "h"}, {0, 4096, 0, ""}, {df | fua, 1 << 20, 512, "d"},
	} {
		data, kinds := r.readBack(tc.flags, tc.offset, tc.length)
		if kinds != tc.want {
			t.Errorf("read of %d bytes at %d, flags %#x: chunks %q, must be %q", tc.length, tc.offset, tc.flags, kinds, tc.want)
		}
		if !bytes.Equal(data, d.data[tc.offset:tc.offset+uint64(tc.length)]) {
			t.Errorf("read of %d bytes at %d gives other bytes", tc.length, tc.offset)
		}
	}
}

// TestStatusTellsZeroesAlone: a run of zeroes has been read; whether storage is behind it nobody here knows, so it is never
// called a hole.
func TestStatusTellsZeroesAlone(t *testing.T) {
	r := dialRaw(t, map[string]nbd.Disk{"a": sparse()})
	r.structured("a")
	const zero, unknown = 2, 0
	whole := []extent{{1 << 20, zero}, {64 * kib, unknown}, {2<<20 - 64*kib, zero}, {64 * kib, unknown}, {5<<20 - 128*kib, zero}, {64 * kib, unknown}}
	for _, tc := range []struct {
		flags  uint16
		offset uint64
		length uint32
		want   []extent
	}{
		{0, 0, size, whole}, {reqOne, 0, size, whole[:1]}, {reqOne, 1 << 20, 7 << 20, whole[1:2]}, {0, 512, 512, []extent{{512, zero}}},
		{reqOne, 1<<20 - 512, 1024, []extent{{512, zero}}}, {0, 1<<20 - 512, 1024, []extent{{512, zero}, {512, unknown}}},
		{0, 3 << 20, 4096, []extent{{4096, zero}}}, {0, 3 << 20, 8192, []extent{{8192, unknown}}},
		{fua, size - 512, 512, []extent{{512, unknown}}},
	} {
		if got := r.status(tc.flags, tc.offset, tc.length); !reflect.DeepEqual(got, tc.want) {
			t.Errorf("status of %d bytes at %d, flags %#x: %v, must be %v", tc.length, tc.offset, tc.flags, got, tc.want)
		}
	}
}

// counting counts what is read of a disk, and can fail.
type counting struct {
	*ram
	bytes, reads atomic.Int64
	failAt       int64 // from there on; 0: nowhere
}

func (c *counting) ReadAt(ctx context.Context, p []byte, offset int64) error {
	c.reads.Add(1)
	c.bytes.Add(int64(len(p)))
	if c.failAt > 0 && offset+int64(len(p)) > c.failAt {
		return fmt.Errorf("bad sector: %w", syscall.EIO)
	}
	return c.ram.ReadAt(ctx, p, offset)
}

// TestCostOfAStatus: zeroes are read once, of data one part in sixteen, and no status goes through more than 32 MiB.
func TestCostOfAStatus(t *testing.T) {
	const whole = 64 << 20
	for name, tc := range map[string]struct {
		fill byte
		want int64 // bytes read of each MiB
	}{"zeroes": {0, 1<<20 + 64*kib}, "data": {1, 64 * kib}} {
		d := &counting{ram: &ram{data: bytes.Repeat([]byte{tc.fill}, whole)}}
		r := dialRaw(t, map[string]nbd.Disk{"a": d})
		r.structured("a")
		all := r.status(0, 0, whole)
		if len(all) != 1 || all[0].length != 32<<20 {
			t.Errorf("%s: %v, must be one extent of 32 MiB", name, all)
		}
		if got := d.bytes.Load(); got != 32*tc.want {
			t.Errorf("%s: %d bytes are read, must be %d", name, got, 32*tc.want)
		}
	}
}

// TestStatusOfABadDisk tells what is known in front of what cannot be read, and then the error.
func TestStatusOfABadDisk(t *testing.T) {
	d := &counting{ram: sparse(), failAt: 3 << 20}
	r := dialRaw(t, map[string]nbd.Disk{"a": d})
	r.structured("a")
	want := []extent{{1 << 20, 2}, {64 * kib, 0}, {2<<20 - 64*kib, 2}}
	if got := r.status(0, 0, size); !reflect.DeepEqual(got, want) {
		t.Errorf("status: %v, must be %v", got, want)
	}
	if got := r.errno(0, blockStatus, 3<<20, 4096, nil); got != 5 {
		t.Errorf("a status of what cannot be read fails with %d, must be 5", got)
	}
	if got := r.errno(0, read, 3<<20, 4096, nil); got != 5 {
		t.Errorf("a read fails with %d, must be 5", got)
	}
}

// TestProgramsSeeZeroes copies and maps a sparse disk with the programs of other people.
func TestProgramsSeeZeroes(t *testing.T) {
	d := &counting{ram: sparse()}
	uri := serve(t, map[string]nbd.Disk{"a": d})("a")
	var nbdMap []struct{ Offset, Length, Type int64 }
	parse(t, run(t, "nbdinfo", "--map", "--json", uri), &nbdMap)
	if n := len(nbdMap); n != 6 || nbdMap[0].Type != 2 || nbdMap[0].Length != 1<<20 || nbdMap[1].Type != 0 {
		t.Errorf("nbdinfo --map: %+v", nbdMap)
	}
	var qemuMap []struct {
		Start, Length int64
		Zero, Data    bool
	}
	parse(t, run(t, "qemu-img", "map", "--output", "json", "-f", "raw", uri), &qemuMap)
	if n := len(qemuMap); n != 6 || !qemuMap[0].Zero || qemuMap[0].Length != 1<<20 || qemuMap[1].Zero {
		t.Errorf("qemu-img map: %+v", qemuMap)
	}
	const once = size + size/16 // what is read when the whole disk is looked at
	for _, tc := range []struct {
		copying []string
		most    int64 // bytes read of the disk
	}{
		{[]string{"nbdcopy", uri}, once + 3*256*kib},                                                    // it reads 256 KiB at a time
		{[]string{"qemu-img", "convert", "-f", "raw", "-O", "raw", uri}, 2 * (once + 3<<20 + 6*64*kib)}, // it looks twice, for an extent at a time, and so at a window for each place with data again
	} {
		out := filepath.Join(t.TempDir(), "out")
		d.bytes.Store(0)
		run(t, tc.copying[0], append(tc.copying[1:], out)...)
		got, err := os.ReadFile(out)
		if err != nil || !bytes.Equal(got, d.data) {
			t.Errorf("%s: the copy differs: %v", tc.copying[0], err)
		}
		var st syscall.Stat_t
		if err := syscall.Stat(out, &st); err != nil || st.Blocks*512 > 256*kib {
			t.Errorf("%s: the copy takes %d bytes: %v", tc.copying[0], st.Blocks*512, err)
		}
		if n := d.bytes.Load(); n > tc.most {
			t.Errorf("%s: %d bytes of the disk were read, must be at most %d", tc.copying[0], n, tc.most)
		}
	}
}

func parse(t *testing.T, text string, into any) {
	t.Helper()
	if err := json.NewDecoder(strings.NewReader(text)).Decode(into); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
}
