// SPDX-License-Identifier: Apache-2.0

package scsi_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/ibnbd/ibnbd/reference/backend"
	"github.com/ibnbd/ibnbd/reference/scsi"
)

func hexOf(b []byte) string { return hex.EncodeToString(b) }

func noDiscard(p *backend.Properties)  { p.MaxDiscard = 0 }
func readOnly(p *backend.Properties)   { p.ReadOnly = true }
func writeCache(p *backend.Properties) { p.WriteCache = true }
func fua(p *backend.Properties)        { p.FUA = true }

// TestSense holds the sense data of failing commands byte for byte: key, code, field pointer.
func TestSense(t *testing.T) {
	block := make([]byte, 512)
	for _, tc := range []struct {
		name, cdb, want string
		lun             uint16
		out             []byte
		change          func(*backend.Properties)
		fail            error
	}{
		{name: "SRP-CMD-020 unknown unit", lun: 5, cdb: "000000000000", want: "70 00 05 00000000 0a 00000000 2500 00 000000"},
		{name: "read beyond the end", cdb: "2800 00001000 00 0001 00", want: "70 00 05 00000000 0a 00000000 2100 00 000000"},
		{name: "read across the end", cdb: "2800 00000fff 00 0002 00", want: "70 00 05 00000000 0a 00000000 2100 00 000000"},
		{name: "read that wraps 64 bits", cdb: "8800 ffffffffffffffff 00000002 0000", want: "70 00 05 00000000 0a 00000000 2100 00 000000"},
		{name: "read longer than the limit", cdb: "8800 0000000000000000 00000801 0000", want: "70 00 05 00000000 0a 00000000 2400 00 c0 000a"},
		{name: "read with protection", cdb: "2820 00000000 00 0001 00", want: "70 00 05 00000000 0a 00000000 2400 00 cf 0001"},
		{name: "unknown operation code", cdb: "ff0000000000", want: "70 00 05 00000000 0a 00000000 2000 00 000000"},
		{name: "unknown service action", cdb: "9e01 00000000000000000000 00000000", want: "70 00 05 00000000 0a 00000000 2400 00 cc 0001"},
		{name: "command block cut short", cdb: "2800000000", want: "70 00 05 00000000 0a 00000000 2000 00 000000"},
		{name: "no command block", cdb: "", want: "70 00 05 00000000 0a 00000000 2000 00 000000"},
		{name: "NACA", cdb: "000000000004", want: "70 00 05 00000000 0a 00000000 2400 00 ca 0005"},
		{name: "page without EVPD", cdb: "120080006000", want: "70 00 05 00000000 0a 00000000 2400 00 c0 0002"},
		{name: "unknown vital page", cdb: "120184006000", want: "70 00 05 00000000 0a 00000000 2400 00 c0 0002"},
		{name: "saved mode pages", cdb: "1a00c8002000", want: "70 00 05 00000000 0a 00000000 3900 00 000000"},
		{name: "unknown mode page", cdb: "1a001d002000", want: "70 00 05 00000000 0a 00000000 2400 00 cd 0002"},
		{name: "unknown mode subpage", cdb: "1a0008012000", want: "70 00 05 00000000 0a 00000000 2400 00 c0 0003"},
		{name: "LUN list without room", cdb: "a000 00 000000 0000000f 0000", want: "70 00 05 00000000 0a 00000000 2400 00 c0 0006"},
		{name: "unknown LUN list", cdb: "a000 03 000000 00000100 0000", want: "70 00 05 00000000 0a 00000000 2400 00 c0 0002"},
		{name: "write to read-only", cdb: "2a00 00000000 00 0001 00", out: block, change: readOnly, want: "70 00 07 00000000 0a 00000000 2700 00 000000"},
		{name: "unmap of read-only", cdb: "4200 00000000 00 0018 00", out: make([]byte, 24), change: readOnly, want: "70 00 07 00000000 0a 00000000 2700 00 000000"},
		{name: "unmap that the unit lacks", cdb: "4200 00000000 00 0018 00", out: make([]byte, 24), change: noDiscard, want: "70 00 05 00000000 0a 00000000 2000 00 000000"},
		{name: "unmap list too short", cdb: "4200 00000000 00 0007 00", out: make([]byte, 7), want: "70 00 05 00000000 0a 00000000 1a00 00 000000"},
		{name: "unmap ranges beyond the list", cdb: "4200 00000000 00 0018 00", out: unmapList(32, 0, 1)[:24], want: "70 00 05 00000000 0a 00000000 1a00 00 000000"},
		{name: "unmap beyond the end", cdb: "4200 00000000 00 0018 00", out: unmapList(16, blocks, 1), want: "70 00 05 00000000 0a 00000000 2100 00 000000"},
		{name: "write same without a number", cdb: "4100 00000000 00 0000 00", out: block, want: "70 00 05 00000000 0a 00000000 2400 00 c0 0007"},
		{name: "write same with unmap that the unit lacks", cdb: "4108 00000000 00 0001 00", out: block, change: noDiscard, want: "70 00 05 00000000 0a 00000000 2400 00 cb 0001"},
		{name: "write with too little data-out", cdb: "2a00 00000000 00 0002 00", out: block, want: "70 00 05 00000000 0a 00000000 2400 00 000000"},
		{name: "medium error of a read", cdb: "2800 00000000 00 0001 00", fail: errIO, want: "70 00 03 00000000 0a 00000000 1100 00 000000"},
		{name: "medium error of a write", cdb: "2a00 00000000 00 0001 00", out: block, fail: errIO, want: "70 00 03 00000000 0a 00000000 0c00 00 000000"},
		{name: "medium error of a flush", cdb: "3500 00000000 00 0000 00", fail: errIO, want: "70 00 03 00000000 0a 00000000 0c00 00 000000"},
		{name: "no space", cdb: "2a00 00000000 00 0001 00", out: block, fail: errSpace, want: "70 00 07 00000000 0a 00000000 2707 00 000000"},
		{name: "miscompare", cdb: "2f02 00000000 00 0001 00", out: append(make([]byte, 300), bytes.Repeat([]byte{1}, 212)...), want: "f0000e0000012c0a000000001d0000000000"},
		{name: "unknown byte check", cdb: "2f04 00000000 00 0001 00", out: block, want: "70 00 05 00000000 0a 00000000 2400 00 ca 0001"},
		{name: "service action asked for without", cdb: "a30c 01 9e 0010 00000100 0000", want: "70 00 05 00000000 0a 00000000 2400 00 c0 0003"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var change []func(*backend.Properties)
			if tc.change != nil {
				change = append(change, tc.change)
			}
			r := newRig(t, change...)
			r.disk.fail = tc.fail
			got := r.run(tc.lun, tc.cdb, tc.out)
			if want := strings.ReplaceAll(tc.want, " ", ""); got.Status != scsi.CheckCondition || hexOf(got.Sense.AppendFixed(nil)) != want {
				t.Errorf("%s, sense %x, want %s", got.Status, got.Sense.AppendFixed(nil), want)
			}
			again, ok := scsi.ParseSense(got.Sense.AppendFixed(nil))
			other, ok2 := scsi.ParseSense(got.Sense.AppendDescriptor(nil))
			if again != got.Sense || other != got.Sense || !ok || !ok2 {
				t.Errorf("%+v is parsed as %+v and %+v", got.Sense, again, other)
			}
		})
	}
}

func unmapList(size int, lba uint64, count uint32) []byte {
	return fmt.Appendf(nil, "%s%s%s", be16(size+6), be16(size), "\x00\x00\x00\x00"+be64(lba)+be32(count)+"\x00\x00\x00\x00")
}

func be16(v int) string    { return string([]byte{byte(v >> 8), byte(v)}) }
func be32(v uint32) string { return be16(int(v>>16)) + be16(int(v&0xffff)) }
func be64(v uint64) string { return be32(uint32(v>>32)) + be32(uint32(v)) }

// TestParameters holds what a unit reports of itself byte for byte.
func TestParameters(t *testing.T) {
	for _, tc := range []struct {
		name, cdb, want string
		change          func(*backend.Properties)
	}{
		{name: "standard inquiry", cdb: "120000004a00", want: "0000061245001002" +
			hexOf([]byte("IBNBD   REFERENCE       1   ")) + strings.Repeat("00", 22) + "00a0046004c0" + strings.Repeat("00", 10)},
		{name: "inquiry with little room", cdb: "120000000500", want: "0000061245"},
		{name: "inquiry without room", cdb: "120000000000", want: ""},
		{name: "vital pages", cdb: "12010000ff00", want: "00000006" + "008083b0b1b2"},
		{name: "serial number", cdb: "12018000ff00", want: "00800005" + "6469736b30"},
		{name: "block limits", cdb: "1201b000ff00", want: "00b0003c" + "01000008" + "00000800" + "00000000" + "00000000" + "00008000" + "00000100" +
			"00000008" + "80000000" + "0000000000008000" + strings.Repeat("00", 20)},
		{name: "block limits without discard", cdb: "1201b0001800", change: noDiscard, want: "00b0003c" + "01000008" + "00000800" + strings.Repeat("00", 12)},
		{name: "block characteristics", cdb: "1201b100ff00", want: "00b1003c" + "0001" + strings.Repeat("00", 58)},
		{name: "provisioning", cdb: "1201b200ff00", want: "00b20004" + "00e00200"},
		{name: "provisioning without discard", cdb: "1201b200ff00", change: noDiscard, want: "00b20004" + "00000000"},
		{name: "capacity", cdb: "2500 00000000 0000 00 00", want: "00000fff00000200"},
		{name: "long capacity", cdb: "9e10 0000000000000000 000000ff 0000", want: "0000000000000fff" + "00000200" + "0003" + "8000" + strings.Repeat("00", 16)},
		{name: "long capacity without discard", cdb: "9e10 0000000000000000 00000010 0000", change: noDiscard, want: "0000000000000fff" + "00000200" + "00030000"},
		{name: "caching page", cdb: "1a000800ff00", want: "1f001008" + "0000100000000200" + "0812" + strings.Repeat("00", 18)},
		{name: "caching page, write cache", cdb: "1a080800ff00", change: writeCache, want: "17001000" + "081204" + strings.Repeat("00", 17)},
		{name: "changeable parameters", cdb: "1a084800ff00", change: writeCache, want: "17001000" + "0812" + strings.Repeat("00", 18)},
		{name: "read-only", cdb: "1a083f000400", change: readOnly, want: "3b009000"},
		{name: "long block descriptor", cdb: "5a10 0a 00 000000 00ff 00", want: "0022001001000010" + "0000000000001000" + "0000000000000200" +
			"0a0a" + "001000000000ffff0000"},
		{name: "all pages", cdb: "5a08 3f 00 000000 0008 00", want: "003e0010" + "00000000"},
		{name: "LUNs", cdb: "a000 00 000000 000000ff 0000", want: "0000000800000000" + "0000000000000000"},
		{name: "well known units", cdb: "a000 01 000000 000000ff 0000", want: "0000000000000000"},
		{name: "no sense", cdb: "0300 0000 ff00", want: "700000000000000a" + strings.Repeat("00", 10)},
		{name: "no sense in descriptors", cdb: "0301 0000 ff00", want: "7200000000000000"},
		{name: "a command that there is", cdb: "a30c 01 28 0000 000000ff 0000", want: "0003000a" + "28f8ffffffff1fffff04"},
		{name: "a command that there is not", cdb: "a30c 01 29 0000 000000ff 0000", want: "00010000"},
		{name: "a service action that there is, with times", cdb: "a30c 82 9e 0010 000000ff 0000", want: "00830010" + "9e10" + strings.Repeat("00", 8) + "ffffffff" + "0004" + "000a" + strings.Repeat("00", 10)},
		{name: "a service action that there is not", cdb: "a30c 02 9e 0011 000000ff 0000", want: "00010000"},
		{name: "a command that the unit lacks", cdb: "a30c 03 42 0000 000000ff 0000", change: noDiscard, want: "00010000"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var change []func(*backend.Properties)
			if tc.change != nil {
				change = append(change, tc.change)
			}
			if got := hexOf(newRig(t, change...).good(tc.cdb, nil)); got != tc.want {
				t.Errorf("reports\n%s, want\n%s", got, tc.want)
			}
		})
	}
}

// TestIdentification: two paths to one unit show one identifier (Clause SRP-MP-001), two units two.
func TestIdentification(t *testing.T) {
	r := newRig(t)
	cfg := scsi.DefaultUnitConfig()
	cfg.Serial = "disk1"
	other, err := scsi.NewUnit(r.disk, cfg)
	if err != nil {
		t.Fatal(err)
	}
	for number, u := range map[uint16]*scsi.Unit{1: r.unit, 300: other} {
		if err := r.luns.Add(number, u); err != nil {
			t.Fatal(err)
		}
	}
	page := func(lun uint16) string { return hexOf(r.run(lun, "12018300ff00", nil).in) }
	if a, b, c := page(0), page(1), page(300); a != b || a == c || !strings.HasPrefix(a, "0083002d"+"01030008"+"3") ||
		!strings.HasSuffix(a, "0201001d"+hexOf([]byte("IBNBD   REFERENCE       disk0"))) {
		t.Errorf("identifiers\n%s\n%s\n%s", a, b, c)
	}
	if got, want := hexOf(r.run(0, "a000 02 000000 000000ff 0000", nil).in), "0000001800000000"+"0000000000000000"+"0001000000000000"+"412c000000000000"; got != want {
		t.Errorf("LUN list %s, want %s", got, want)
	}
}

func TestInquiryOfUnknownUnit(t *testing.T) {
	r := newRig(t)
	if got := r.run(7, "120000002400", nil); got.Status != scsi.Good || len(got.in) != 36 || got.in[0] != 0x7f {
		t.Errorf("%s, %x", got.Status, got.in)
	}
	if got := r.run(7, "030000001200", nil); got.Status != scsi.Good || hexOf(got.in) != "700005000000000a"+"00000000"+"2500"+"00000000" {
		t.Errorf("%s, %x", got.Status, got.in)
	}
	if got := r.run(7, "a000 00 000000 00000010 0000", nil); got.Status != scsi.Good || got.in[3] != 8 {
		t.Errorf("%s, %x", got.Status, got.in)
	}
}

// TestForms holds the table of commands together: fields inside the block that do not overlap, lengths by group, order.
func TestForms(t *testing.T) {
	last := -1
	for _, f := range scsi.Forms {
		if code := int(f.Opcode)<<8 | max(f.Action, 0); code <= last {
			t.Errorf("%s is out of order", f.Name)
		} else {
			last = code
		}
		if want := [...]int{6, 10, 10, 0, 16, 12}[f.Opcode>>5]; f.Length != want {
			t.Errorf("%s has %d bytes, its group %d", f.Name, f.Length, want)
		}
		if err := scsi.CheckForm(f); err != nil {
			t.Error(err)
		}
		if got := scsi.FormOf(f.New()); got != f {
			t.Errorf("%s is not found by its own block", f.Name)
		}
	}
}

// TestIO writes with each form and reads with each other.
func TestIO(t *testing.T) {
	r := newRig(t)
	writes := []*scsi.Form{scsi.Write6, scsi.Write10, scsi.Write12, scsi.Write16}
	reads := []*scsi.Form{scsi.Read6, scsi.Read10, scsi.Read12, scsi.Read16}
	verifies := []*scsi.Form{scsi.Verify10, scsi.Verify12, scsi.Verify16}
	for i, w := range writes {
		for j, rd := range reads {
			lba, n := uint64(100*i+10*j+blocks/2), uint32(i+j+1)
			data := pattern(i*4+j, int(n)*512)
			r.good(hexOf(must(w.AppendIO(nil, lba, n, false))), data)
			if got := r.good(hexOf(must(rd.AppendIO(nil, lba, n, false))), nil); !bytes.Equal(got, data) {
				t.Errorf("%s after %s gives other data", rd.Name, w.Name)
			}
			for _, v := range verifies {
				cdb := must(v.AppendIO(nil, lba, n, false))
				r.good(hexOf(cdb), nil)
				if err := v.Put(cdb, v.Check, 1); err != nil {
					t.Fatal(err)
				}
				r.good(hexOf(cdb), data)
				data[len(data)-1] ^= 1
				if got := r.run(0, hexOf(cdb), data); got.Sense.Key != scsi.Miscompare || got.Sense.Information != uint64(len(data)-1) {
					t.Errorf("%s of other data: %+v", v.Name, got.Sense)
				}
				data[len(data)-1] ^= 1
			}
		}
	}
	if got := r.good("080000000000", nil); len(got) != 256*512 {
		t.Errorf("READ(6) of 0 blocks gives %d bytes", len(got))
	}
	for _, cdb := range []string{"2800 00001000 00 0000 00", "2a00 00000000 00 0000 00", "3500 00000000 00 0000 00", "4200 00000000 00 0000 00"} {
		if got := r.good(cdb, nil); len(got) != 0 {
			t.Errorf("%s gives %d bytes", cdb, len(got))
		}
	}
}

func must(cdb []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return cdb
}

func pattern(seed, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(seed*31 + i*7 + i>>8)
	}
	return b
}

func TestAppendIOLimits(t *testing.T) {
	for _, tc := range []struct {
		form   *scsi.Form
		lba    uint64
		blocks uint32
		forced bool
	}{
		{scsi.Read6, 1 << 21, 1, false}, {scsi.Read6, 0, 256, false}, {scsi.Read6, 0, 1, true},
		{scsi.Read10, 1 << 32, 1, false}, {scsi.Read10, 0, 1 << 16, false}, {scsi.Write12, 1 << 32, 1, false},
	} {
		if cdb, err := tc.form.AppendIO(nil, tc.lba, tc.blocks, tc.forced); err == nil {
			t.Errorf("%s takes %+v: %x", tc.form.Name, tc, cdb)
		}
	}
	if got := hexOf(must(scsi.Read10.AppendIO(nil, 1<<32-1, 1<<16-1, true))); got != "2808ffffffff00ffff00" {
		t.Error(got)
	}
}

// TestDurability: what FUA and SYNCHRONIZE CACHE make of the backend.
func TestDurability(t *testing.T) {
	for _, tc := range []struct {
		name            string
		change          []func(*backend.Properties)
		cdb             string
		flushes, forced int32
	}{
		{"plain write", []func(*backend.Properties){writeCache, fua}, "2a00 00000000 00 0001 00", 0, 0},
		{"forced write", []func(*backend.Properties){writeCache, fua}, "2a08 00000000 00 0001 00", 0, 1},
		{"forced write without FUA", []func(*backend.Properties){writeCache}, "2a08 00000000 00 0001 00", 1, 0},
		{"forced write without a cache", nil, "2a08 00000000 00 0001 00", 0, 0},
		{"forced read", []func(*backend.Properties){writeCache, fua}, "2808 00000000 00 0001 00", 1, 0},
		{"synchronize", []func(*backend.Properties){writeCache}, "3500 00000000 00 0000 00", 1, 0},
		{"synchronize without waiting", []func(*backend.Properties){writeCache}, "9102 0000000000000000 00000001 0000", 1, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t, tc.change...)
			r.good(tc.cdb, make([]byte, 512))
			if flushes, forced := r.disk.flushes.Load(), r.disk.forced.Load(); flushes != tc.flushes || forced != tc.forced {
				t.Errorf("%d flushes and %d forced writes, want %d and %d", flushes, forced, tc.flushes, tc.forced)
			}
		})
	}
}

// TestModel runs random commands that change the disk, and compares it with an array after each.
func TestModel(t *testing.T) {
	for _, change := range [][]func(*backend.Properties){nil, {func(p *backend.Properties) { p.MaxWriteZeroes = 0 }}} {
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		random := rand.New(rand.NewPCG(seed, 1))
		r, model := newRig(t, change...), make([]byte, blocks*512)
		for range 300 {
			lba := random.IntN(blocks - 64)
			n := 1 + random.IntN(64)
			span := model[lba*512 : (lba+n)*512]
			switch random.IntN(5) {
			case 0:
				data := pattern(random.IntN(256), len(span))
				r.good(hexOf(must(scsi.Write10.AppendIO(nil, uint64(lba), uint32(n), false))), data)
				copy(span, data)
			case 1:
				data := pattern(random.IntN(256), 512)
				r.good(hexOf(must(scsi.WriteSame10.AppendIO(nil, uint64(lba), uint32(n), false))), data)
				for at := range n {
					copy(span[at*512:], data)
				}
			case 2:
				cdb := must(scsi.WriteSame16.AppendIO(nil, uint64(lba), uint32(n), false))
				if err := scsi.WriteSame16.Put(cdb, scsi.WriteSame16.NoData, 1); err != nil {
					t.Fatal(err)
				}
				if err := scsi.WriteSame16.Put(cdb, scsi.WriteSame16.Unmap, uint64(random.IntN(2))); err != nil {
					t.Fatal(err)
				}
				r.good(hexOf(cdb), nil)
				clear(span)
			case 3: // memory reads as zeros afterwards
				r.good("4200 00000000 00 0018 00", unmapList(16, uint64(lba), uint32(n)))
				clear(span)
			default:
				if got := r.good(hexOf(must(scsi.Read16.AppendIO(nil, uint64(lba), uint32(n), false))), nil); !bytes.Equal(got, span) {
					t.Fatalf("%d blocks at %d differ from the model", n, lba)
				}
			}
		}
	}
}

// TestUnmapChecksFirst: of a list with a bad range nothing is deallocated.
func TestUnmapChecksFirst(t *testing.T) {
	r := newRig(t)
	data := pattern(1, 512)
	r.good("2a00 00000000 00 0001 00", data)
	list := unmapList(32, 0, 1)
	list = append(list, unmapList(16, blocks-1, 2)[8:]...)
	if got := r.run(0, "4200 00000000 00 0028 00", list); got.Sense.Code != scsi.LBAOutOfRange {
		t.Errorf("%s, %v", got.Status, got.Sense)
	}
	if got := r.good("2800 00000000 00 0001 00", nil); !bytes.Equal(got, data) {
		t.Error("the good range of a bad list was deallocated")
	}
}

func TestBadUnits(t *testing.T) {
	r := newRig(t)
	for field, change := range map[string]func(*scsi.UnitConfig){
		"serial number": func(c *scsi.UnitConfig) { c.Serial = "" },
		"vendor":        func(c *scsi.UnitConfig) { c.Vendor = "ninechars" },
		"product":       func(c *scsi.UnitConfig) { c.Product = "tab\t" },
		"revision":      func(c *scsi.UnitConfig) { c.Revision = "12345" },
		"max transfer":  func(c *scsi.UnitConfig) { c.MaxTransfer = 1000 },
	} {
		cfg := scsi.DefaultUnitConfig()
		cfg.Serial = "disk0"
		change(&cfg)
		if _, err := scsi.NewUnit(r.disk, cfg); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("bad %s: %v", field, err)
		}
	}
	if err := r.luns.Add(0, r.unit); err == nil {
		t.Error("a number is given twice")
	}
	if err := r.luns.Add(16384, r.unit); err == nil {
		t.Error("number 16384 is taken")
	}
	if err := r.luns.Remove(9); err == nil {
		t.Error("a unit that is not there is removed")
	}
}
