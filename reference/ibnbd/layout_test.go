// SPDX-License-Identifier: Apache-2.0

package ibnbd

import (
	"bytes"
	"testing"

	"github.com/ibnbd/ibnbd/reference/layout/layouttest"
)

func TestLayoutMatchesCodec(t *testing.T) {
	layouttest.Check(t, sessInfoLayout, ParseSessInfo)
	layouttest.Check(t, sessInfoResponseLayout, ParseSessInfoResponse)
	layouttest.Check(t, openLayout, ParseOpenRequest)
	layouttest.Check(t, openResponseLayout, ParseOpenResponse)
	layouttest.Check(t, ioLayout, ParseIORequest)
	layouttest.Check(t, closeLayout, ParseCloseRequest)
}

func TestShortIOIsTheStartOfTheLongForm(t *testing.T) {
	if err := shortIOLayout.Check(); err != nil {
		t.Fatal(err)
	}
	m := IORequest{Type: 4, DeviceID: 0x01020304, Sector: 0x1112131415161718, OpFlags: 0x21222324, Size: 0x31323334, Priority: 0x4142}
	long, _ := m.AppendBinary(nil)
	m.Short = true
	short, _ := m.AppendBinary(nil)
	if !bytes.Equal(short, long[:shortIOLayout.Size]) {
		t.Errorf("short form % x, long form % x", short, long)
	}
	if back, err := ParseIORequest(append(short, 1, 2, 3, 4, 5, 6, 7)); err != nil || !back.Short || back.Priority != 0 {
		t.Errorf("31 bytes parsed as %+v (%v), want the short form", back, err)
	}
}
