// SPDX-License-Identifier: Apache-2.0

package scsi_test

import (
	"bytes"
	"testing"

	"github.com/ibnbd/ibnbd/reference/scsi"
)

// FuzzCommand: no command block and no data reach the backend out of bounds, move more than they announce, or change the disk
// without data-out or a command that may.
func FuzzCommand(f *testing.F) {
	for _, form := range scsi.Forms {
		f.Add(form.New(), make([]byte, 512), byte(0))
	}
	f.Add(must(scsi.Write10.AppendIO(nil, 3, 2, true)), pattern(1, 1024), byte(0))
	f.Add([]byte("\x42\x00\x00\x00\x00\x00\x00\x00\x18\x00"), unmapList(16, 3, 4), byte(0))
	f.Fuzz(func(t *testing.T, cdb, out []byte, lun byte) {
		r := newRig(t)
		r.good("2a00 00000000 00 0008 00", bytes.Repeat([]byte{0xa5}, 4096))
		got := execute(r.nexus, scsi.LUN{0, lun}, cdb, out)
		if got.Status != scsi.Good && (got.Status != scsi.CheckCondition || got.N != 0) {
			t.Errorf("ends with %s and %d bytes", got.Status, got.N)
		}
		if parsed, ok := scsi.ParseSense(got.Sense.AppendFixed(nil)); ok && got.Status == scsi.CheckCondition && parsed.Code != got.Sense.Code {
			t.Errorf("%v is parsed as %v", got.Sense, parsed)
		}
		if got.Status == scsi.CheckCondition && len(cdb) > 0 {
			if disk := r.good("2800 00000000 00 0008 00", nil); !bytes.Equal(disk, bytes.Repeat([]byte{0xa5}, 4096)) {
				t.Errorf("a command that failed with %v has changed the disk", got.Sense)
			}
		}
	})
}

// FuzzSense: parsing never reaches beyond its input, and what was parsed survives a round through descriptors.
func FuzzSense(f *testing.F) {
	s := scsi.Sense{Key: scsi.IllegalRequest, Code: scsi.InvalidFieldInCDB, PointerValid: true, InCDB: true, Pointer: 7, Bit: 3, InformationValid: true, Information: 9}
	f.Add(s.AppendFixed(nil))
	f.Add(s.AppendDescriptor(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, ok := scsi.ParseSense(b)
		if !ok {
			return
		}
		if again, ok := scsi.ParseSense(s.AppendDescriptor(nil)); !ok || again != s {
			t.Errorf("%+v comes back as %+v", s, again)
		}
		if n := len(s.AppendDescriptor(nil)); n > scsi.MaxSenseSize {
			t.Errorf("%d bytes of sense", n)
		}
	})
}
