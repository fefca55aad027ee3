// SPDX-License-Identifier: Apache-2.0

package nbd_test

import (
	"bytes"
	"testing"

	"github.com/ibnbd/ibnbd/reference/nbd"
)

// plain is a disk that can do nothing but be read and written.
type plain struct{ *ram }

func (p plain) Info() nbd.Info {
	return nbd.Info{Size: int64(len(p.data)), BlockSize: 4096, PreferredBlock: 4096, ReadOnly: p.readOnly}
}

// TestCommandsAreChecked sends every kind of command with what it may not have. After each the connection still serves.
func TestCommandsAreChecked(t *testing.T) {
	const longest = 32 << 20
	disks := map[string]nbd.Disk{
		"full": &ram{data: make([]byte, size)}, "ro": &ram{data: make([]byte, size), readOnly: true},
		"plain": plain{&ram{data: make([]byte, size)}}, "big": &ram{data: make([]byte, 2*longest)},
		"plain ro": plain{&ram{data: make([]byte, size), readOnly: true}},
	}
	block := make([]byte, 4096)
	for name, tc := range map[string]struct {
		disk        string
		flags, kind uint16
		offset      uint64
		length      uint32
		data        []byte
		want        uint32
	}{
		"read":                              {"full", 0, read, 0, 512, nil, 0},
		"read, FUA":                         {"full", fua, read, 0, 512, nil, 0},
		"read, NO_HOLE":                     {"full", noHole, read, 0, 512, nil, eInval},
		"read, REQ_ONE":                     {"full", reqOne, read, 0, 512, nil, eInval},
		"read, FAST_ZERO":                   {"full", fastZero, read, 0, 512, nil, eInval},
		"read, PAYLOAD_LEN":                 {"full", payload, read, 0, 512, nil, eInval},
		"read, unknown flag":                {"full", 1 << 15, read, 0, 512, nil, eInval},
		"read up to the end":                {"full", 0, read, size - 512, 512, nil, 0},
		"read across the end":               {"full", 0, read, size - 512, 1024, nil, eInval},
		"read behind the end":               {"full", 0, read, size, 512, nil, eInval},
		"read at the end of numbers":        {"full", 0, read, 1<<64 - 512, 1024, nil, eInval},
		"read at no block":                  {"plain", 0, read, 512, 4096, nil, eInval},
		"read of no block":                  {"plain", 0, read, 0, 512, nil, eInval},
		"read of nothing":                   {"full", 0, read, 0, 0, nil, 0},
		"longest read":                      {"big", 0, read, 0, longest, nil, 0},
		"longer read":                       {"big", 0, read, 0, longest + 512, nil, eInval},
		"write":                             {"full", 0, write, 0, 4096, block, 0},
		"write, FUA":                        {"full", fua, write, 0, 4096, block, 0},
		"write, DF":                         {"full", df, write, 0, 4096, block, eInval},
		"write, NO_HOLE":                    {"full", noHole, write, 0, 4096, block, eInval},
		"write, unknown flag":               {"full", 1 << 9, write, 0, 4096, block, eInval},
		"write across the end":              {"full", 0, write, size - 512, 4096, block, eNoSpace},
		"write at no block":                 {"plain", 0, write, 512, 4096, block, eInval},
		"write of a disk that is read-only": {"ro", 0, write, 0, 4096, block, ePerm},
		"longest write":                     {"big", 0, write, 0, longest, make([]byte, longest), 0},
		"longer write":                      {"big", 0, write, 0, longest + 4096, make([]byte, longest+4096), eInval},
		"flush":                             {"full", 0, flush, 0, 0, nil, 0},
		"flush, FUA":                        {"full", fua, flush, 0, 0, nil, 0},
		"flush, DF":                         {"full", df, flush, 0, 0, nil, eInval},
		"flush with an offset":              {"full", 0, flush, 512, 0, nil, eInval},
		"flush with a length":               {"full", 0, flush, 0, 512, nil, eInval},
		"trim":                              {"full", 0, trim, 0, 4096, nil, 0},
		"trim, FUA":                         {"full", fua, trim, 0, 4096, nil, 0},
		"trim, NO_HOLE":                     {"full", noHole, trim, 0, 4096, nil, eInval},
		"trim across the end":               {"full", 0, trim, size - 512, 4096, nil, eInval},
		"trim of a disk that is read-only":  {"ro", 0, trim, 0, 4096, nil, ePerm},
		"trim that was not offered":         {"plain", 0, trim, 0, 4096, nil, eInval},
		"zeroes":                            {"full", 0, writeZeroes, 0, 4096, nil, 0},
		"zeroes, all flags":                 {"full", fua | noHole | fastZero, writeZeroes, 0, 4096, nil, 0},
		"zeroes, DF":                        {"full", df, writeZeroes, 0, 4096, nil, eInval},
		"zeroes across the end":             {"full", 0, writeZeroes, size - 512, 4096, nil, eNoSpace},
		"zeroes that were not offered":      {"plain", fua | noHole, writeZeroes, 0, 4096, nil, 0},
		"zeroes, not offered, too many":     {"plain", 0, writeZeroes, size - 4096, 8192, nil, eNoSpace},
		"zeroes, not offered, read-only":    {"plain ro", 0, writeZeroes, 0, 4096, nil, ePerm},
		"zeroes, fast, not offered":         {"plain", fastZero, writeZeroes, 0, 4096, nil, eInval},
		"cache":                             {"full", 0, cache, 0, 4096, nil, eInval},
		"resize":                            {"full", 0, resize, 4096, 0, nil, eInval},
		"unknown command":                   {"full", 0, 77, 0, 0, nil, eInval},
		"last unknown command":              {"full", 0, 0xffff, 0, 0, nil, eInval},
	} {
		for _, structured := range []bool{false, true} {
			t.Run(name+map[bool]string{false: ", simple", true: ", structured"}[structured], func(t *testing.T) {
				r := dialRaw(t, map[string]nbd.Disk{"d": disks[tc.disk]})
				if structured {
					r.structured("d")
				} else {
					r.reach("d")
				}
				r.expectErrno(structured, tc.flags, tc.kind, tc.offset, tc.length, tc.data, tc.want)
				r.expectErrno(structured, 0, read, 0, 4096, nil, 0)
			})
		}
	}
}

// TestZeroesThatWereNotOffered sends the command to a disk that has none, as Linux does to the second disk of a device node.
func TestZeroesThatWereNotOffered(t *testing.T) {
	const offset, length = 4096, 3<<20 - 8192 // no multiple of what is written at once
	disk := &ram{data: bytes.Repeat([]byte{0xA5}, 4<<20)}
	r := dialRaw(t, map[string]nbd.Disk{"d": plain{disk}})
	r.reach("d")
	r.expectErrno(false, 0, writeZeroes, offset, length, nil, 0)
	want := bytes.Repeat([]byte{0xA5}, 4<<20)
	clear(want[offset : offset+length])
	if !bytes.Equal(disk.contents(), want) {
		t.Error("the range is not what was to be zeroed")
	}
	if disk.trims != 0 {
		t.Errorf("%d commands that the disk does not have", disk.trims)
	}
}

// expectErrno sends a command that must end so.
func (r *raw) expectErrno(structured bool, flags, kind uint16, offset uint64, length uint32, data []byte, want uint32) {
	r.t.Helper()
	if kind == read && structured && want == 0 {
		r.readBack(flags, offset, length)
		return
	}
	got := r.errno(flags, kind, offset, length, data)
	if got != want {
		r.t.Errorf("it ends with %d, must be %d", got, want)
	}
	if kind == read && got == 0 {
		r.take(int(length))
	}
}

// TestStructuredOnly sends what only a client may that has asked for structured replies, or for a context.
func TestStructuredOnly(t *testing.T) {
	d := map[string]nbd.Disk{"a": sparse()}
	r := dialRaw(t, d)
	r.reach("a")
	r.expectErrno(false, df, read, 0, 512, nil, eInval)
	r.expectErrno(false, 0, blockStatus, 0, 512, nil, eInval)

	r = dialRaw(t, d)
	r.structured("a")
	for _, tc := range []struct {
		flags  uint16
		offset uint64
		length uint32
	}{{0, 0, 0}, {noHole, 0, 512}, {df, 0, 512}, {0, size, 512}, {0, size - 512, 1024}, {0, 256, 512}, {0, 0, 256}} {
		r.expectErrno(true, tc.flags, blockStatus, tc.offset, tc.length, nil, eInval)
	}
	r.expectErrno(true, 0, read, 0, 512, nil, 0)
}

// TestFlagsOfDisks: the server offers what the checks allow, and DF to those alone that have structured replies.
func TestFlagsOfDisks(t *testing.T) {
	const hasFlags, readOnly, sendFlush, sendFUA, sendTrim, sendZeroes, sendDF, multi, sendFast = 1, 2, 4, 8, 32, 64, 128, 256, 2048
	r := dialRaw(t, map[string]nbd.Disk{"full": &ram{data: make([]byte, size)}, "plain": plain{&ram{data: make([]byte, size), readOnly: true}}})
	want := map[string]uint16{"full": hasFlags | sendFlush | sendFUA | sendTrim | sendZeroes | multi | sendFast, "plain": hasFlags | readOnly | sendFUA | multi}
	for name, flags := range want {
		for _, structured := range []uint16{0, sendDF} {
			r := r
			if structured != 0 {
				r = greet(t, r.conn.RemoteAddr())
				r.expectOption(optStructured, nil, repAck)
			}
			all := r.expectOption(optInfo, asking(name), repAck)
			if got := be.Uint16(all[0].data[10:]); all[0].kind != repInfo || got != flags|structured {
				t.Errorf("%s has flags %#x, must be %#x", name, got, flags|structured)
			}
		}
	}
}

// TestOptionsAreChecked sends options with what they may not have. After each the handshake goes on.
func TestOptionsAreChecked(t *testing.T) {
	r := dialRaw(t, map[string]nbd.Disk{"a": sparse()})
	long := bytes.Repeat([]byte{'x'}, 4097)
	for _, tc := range []struct {
		option uint32
		data   []byte
		want   uint32
	}{
		{optList, nil, repAck}, {optList, []byte{1}, repErrInvalid},
		{optInfo, nil, repErrInvalid}, {optInfo, named("a"), repErrInvalid}, {optInfo, append(asking("a"), 0), repErrInvalid},
		{optInfo, be.AppendUint16(named("a"), 1), repErrInvalid}, {optInfo, asking("b"), repErrUnknown}, {optInfo, asking(string(long)), repErrTooBig},
		{optInfo, []byte{0xff, 0xff, 0xff, 0xff, 0, 0}, repErrInvalid}, {optGo, []byte{0, 0, 0, 2, 'a', 0, 0}, repErrInvalid},
		{optInfo, append(be.AppendUint16(named("a"), 2), 0, 3, 0, 9), repAck},
		{5, nil, repErrUnsupported}, {4, nil, repErrUnsupported}, {optExtended, nil, repErrUnsupported}, {1 << 31, long, repErrUnsupported},
		{optInfo, make([]byte, 64<<10+1), repErrTooBig}, {99, make([]byte, 1<<20), repErrTooBig},
		{optGo, asking("a"), repAck},
	} {
		r.expectOption(tc.option, tc.data, tc.want)
	}
	if got := r.errno(0, read, 0, 512, nil); got != 0 {
		t.Errorf("a read fails with %d", got)
	}
}

// TestHangsUp: what cannot be answered ends the connection.
func TestHangsUp(t *testing.T) {
	d := map[string]nbd.Disk{"a": sparse()}
	for name, say := range map[string]func(r *raw){
		"no option": func(r *raw) { r.say(make([]byte, 16)) },
		"unknown old export": func(r *raw) {
			r.say(append(be.AppendUint32(be.AppendUint32(append([]byte(nil), "IHAVEOPT"...), optExportName), 1), 'b'))
		},
		"abort":      func(r *raw) { r.expectOption(optAbort, nil, repAck) },
		"no command": func(r *raw) { r.reach("a"); r.say(make([]byte, 28)) },
		"disconnect": func(r *raw) { r.reach("a"); r.command(0, disconnect, 0, 0, 0, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			r := dialRaw(t, d)
			say(r)
			r.gone()
		})
	}
}
