// SPDX-License-Identifier: Apache-2.0

package scsi_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/ibnbd/ibnbd/reference/scsi"
)

// TestAnswersOfAUnit reads what a unit of this package answers.
func TestAnswersOfAUnit(t *testing.T) {
	r := newRig(t)
	id, err := scsi.ParseInquiry(r.good("12 00 00 00 ff 00", nil))
	if err != nil || id.Absent || id.Type != 0 || id.Vendor == "" || id.Product == "" {
		t.Errorf("INQUIRY: %+v, %v", id, err)
	}
	c, err := scsi.ParseCapacity16(r.good("9e 10 00000000 00000000 00000020 0000", nil))
	if err != nil || c.Blocks != blocks || c.BlockSize != 512 || !c.Thin {
		t.Errorf("READ CAPACITY(16): %+v, %v", c, err)
	}
	c, big, err := scsi.ParseCapacity10(r.good("25 00 00000000 0000 00 00", nil))
	if err != nil || big || c.Blocks != blocks || c.BlockSize != 512 {
		t.Errorf("READ CAPACITY(10): %+v, %v, %v", c, big, err)
	}
	luns, more, err := scsi.ParseLUNs(r.good("a0 00 00 00 00 00 00 00 01 00 00 00", nil))
	if err != nil || more || !slices.Equal(luns, []scsi.LUN{{}}) {
		t.Errorf("REPORT LUNS: %v, %v, %v", luns, more, err)
	}
	m, err := scsi.ParseMode10(r.good("5a 08 08 00 00 00 00 00 ff 00", nil))
	if err != nil || m.ReadOnly || !m.FUA {
		t.Errorf("MODE SENSE(10): %+v, %v", m, err)
	}
	page := func(code uint8) []byte {
		body, err := scsi.ParseVital(code, r.good(fmt.Sprintf("12 01 %02x 01 00 00", code), nil))
		if err != nil {
			t.Fatal(err)
		}
		return body
	}
	if s := scsi.ParseSerial(page(0x80)); s != "disk0" {
		t.Errorf("serial number %q", s)
	}
	if s := scsi.ParseDesignator(page(0x83)); len(s) != 16 || s[0] != '3' {
		t.Errorf("identifier %q", s)
	}
	if l := scsi.ParseLimits(page(0xb0)); l.MaxTransfer == 0 || l.MaxUnmap == 0 || l.MaxWriteSame == 0 {
		t.Errorf("limits %+v", l)
	}
	if p := scsi.ParseProvisioning(page(0xb2)); !p.Unmap || !p.WriteSame {
		t.Errorf("provisioning %+v", p)
	}
	r.good("42 00 00 00 00 00 00 00 18 00", scsi.AppendUnmap(nil, 8, 16))
}

// TestAnswersThatAreWrong names what is wrong, and its limit.
func TestAnswersThatAreWrong(t *testing.T) {
	capacity := func(last uint64, block uint32) []byte {
		b := binary.BigEndian.AppendUint64(nil, last)
		return append(binary.BigEndian.AppendUint32(b, block), make([]byte, 20)...)
	}
	for _, c := range []struct {
		name  string
		parse func() error
		says  string
	}{
		{"short list", func() error { _, _, err := scsi.ParseLUNs(make([]byte, 7)); return err }, "has 7 bytes, must have at least 8"},
		{"odd list", func() error { _, _, err := scsi.ParseLUNs([]byte{0, 0, 0, 9, 0, 0, 0, 0}); return err }, "has 9 bytes, must be a multiple of 8"},
		{"short INQUIRY", func() error { _, err := scsi.ParseInquiry(make([]byte, 35)); return err }, "has 35 bytes, must have at least 36"},
		{"short page", func() error { _, err := scsi.ParseVital(0x80, make([]byte, 3)); return err }, "has 3 bytes, must have at least 4"},
		{"other page", func() error { _, err := scsi.ParseVital(0x80, make([]byte, 4)); return err }, "VPD page 0x00 came for page 0x80"},
		{"short capacity", func() error { _, err := scsi.ParseCapacity16(make([]byte, 15)); return err }, "has 15 bytes, must have at least 16"},
		{"no blocks", func() error { _, err := scsi.ParseCapacity16(capacity(1, 0)); return err }, "block of 0 bytes"},
		{"odd blocks", func() error { _, err := scsi.ParseCapacity16(capacity(1, 520)); return err }, "block of 520 bytes"},
		{"size wraps", func() error { _, err := scsi.ParseCapacity16(capacity(1<<64-1, 512)); return err }, "less than 2^63 bytes"},
		{"size of 2^63", func() error { _, err := scsi.ParseCapacity16(capacity(1<<54-1, 512)); return err }, "less than 2^63 bytes"},
		{"short capacity(10)", func() error { _, _, err := scsi.ParseCapacity10(make([]byte, 7)); return err }, "has 7 bytes, must have at least 8"},
		{"short mode", func() error { _, err := scsi.ParseMode10(make([]byte, 7)); return err }, "has 7 bytes, must have at least 8"},
	} {
		if err := c.parse(); !errors.Is(err, syscall.EPROTO) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if _, more, err := scsi.ParseLUNs(append([]byte{0, 0, 0, 16, 0, 0, 0, 0}, make([]byte, 8)...)); err != nil || !more {
		t.Errorf("a list that does not fit: %v, %v", more, err)
	}
}

// FuzzAnswers feeds parsers with anything: none may look outside of it, and none may give what no disk has.
func FuzzAnswers(f *testing.F) {
	f.Add([]byte{0, 0x83, 0, 8, 1, 3, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{0, 12, 0, 0, 0, 0, 0, 0, 8, 2, 4, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if luns, _, err := scsi.ParseLUNs(b); err == nil && len(luns)*8 > len(b) {
			t.Errorf("%d units in %d bytes", len(luns), len(b))
		}
		if c, err := scsi.ParseCapacity16(b); err == nil && (int64(c.Blocks)*int64(c.BlockSize) <= 0 || c.PhysicalBlock < c.BlockSize) {
			t.Errorf("%+v", c)
		}
		if c, _, err := scsi.ParseCapacity10(b); err == nil && int64(c.Blocks)*int64(c.BlockSize) <= 0 {
			t.Errorf("%+v", c)
		}
		if body, err := scsi.ParseVital(0x83, b); err == nil {
			_ = scsi.ParseDesignator(body)
		}
		_, _ = scsi.ParseInquiry(b)
		_, _ = scsi.ParseMode10(b)
		_, _, _ = scsi.ParseLimits(b), scsi.ParseProvisioning(b), scsi.ParseRotational(b)
		_ = scsi.ParseSerial(b)
	})
}
