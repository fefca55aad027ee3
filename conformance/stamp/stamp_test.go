// SPDX-License-Identifier: Apache-2.0

package stamp

import (
	"errors"
	"strings"
	"testing"
)

var write7 = Stamp{Writer: 3, Sequence: 7, Time: 1234567890}

func TestCheckAcceptsWhatFillWrote(t *testing.T) {
	buf := make([]byte, 5*Sector)
	Fill(buf, 99, write7)
	if err := Check(buf, 99, write7); err != nil {
		t.Fatal(err)
	}
}

func TestCheckNamesTheFault(t *testing.T) {
	older := write7
	older.Sequence--
	for _, c := range []struct {
		name   string
		spoil  func(buf []byte)
		sector uint64
		want   string
	}{
		{"a lost write leaves the older one", func(b []byte) { Fill(b[Sector:2*Sector], 11, older) }, 11, "holds writer 3, write 6"},
		{"a sector of another place", func(b []byte) { copy(b[2*Sector:], b[:Sector]) }, 12, "misplaced: holds sector 10"},
		{"a torn sector", func(b []byte) {
			Fill(b[3*Sector:], 13, older)
			fillSector(b[3*Sector:3*Sector+Sector], 13, write7)
			b[3*Sector+300]++
		}, 13, "torn"},
		{"nothing written", func(b []byte) { clear(b[:Sector]) }, 10, "not stamped"},
		{"the last byte", func(b []byte) { b[len(b)-1] ^= 1 }, 13, "torn"},
	} {
		t.Run(c.name, func(t *testing.T) {
			buf := make([]byte, 4*Sector)
			Fill(buf, 10, write7)
			c.spoil(buf)
			err := Check(buf, 10, write7)
			var m *Mismatch
			if !errors.As(err, &m) {
				t.Fatalf("Check() = %v, want a *Mismatch", err)
			}
			if m.Sector != c.sector || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Check() = %q at sector %d, want %q at sector %d", err, m.Sector, c.want, c.sector)
			}
		})
	}
}

func TestReadRefusesAShortBuffer(t *testing.T) {
	if _, _, err := Read(make([]byte, Sector-1)); err == nil {
		t.Fatal("Read() of 511 bytes succeeded")
	}
}

func BenchmarkFill(b *testing.B) {
	buf := make([]byte, 128*1024)
	b.SetBytes(int64(len(buf)))
	for b.Loop() {
		Fill(buf, 0, write7)
	}
}
