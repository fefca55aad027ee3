// SPDX-License-Identifier: Apache-2.0

package ibnbd

import (
	"errors"
	"strings"
	"testing"

	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/layout"
)

func TestTooShortMessages(t *testing.T) {
	for _, c := range []struct {
		name  string
		need  int
		parse func([]byte) error
	}{
		{"type", 4, func(b []byte) error { _, err := MessageType(b); return err }},
		{"sess_info", 36, func(b []byte) error { _, err := ParseSessInfo(b); return err }},
		{"sess_info_rsp", 36, func(b []byte) error { _, err := ParseSessInfoResponse(b); return err }},
		{"open", 264, func(b []byte) error { _, err := ParseOpenRequest(b); return err }},
		{"open_rsp", 56, func(b []byte) error { _, err := ParseOpenResponse(b); return err }},
		{"io", 24, func(b []byte) error { _, err := ParseIORequest(b); return err }},
		{"close", 8, func(b []byte) error { _, err := ParseCloseRequest(b); return err }},
	} {
		t.Run(c.name, func(t *testing.T) {
			for n := range c.need {
				if err := c.parse(make([]byte, n)); !errors.Is(err, layout.ErrShort) {
					t.Errorf("%d of %d bytes: %v, want ErrShort", n, c.need, err)
				}
			}
			if err := c.parse(make([]byte, c.need)); errors.Is(err, layout.ErrShort) {
				t.Errorf("%d bytes: %v", c.need, err)
			}
		})
	}
}

func TestFieldsAtFault(t *testing.T) {
	unterminated := OpenRequest{Type: TypeOpen, DevicePath: layout.Name([]byte(strings.Repeat("x", 255)))}
	noBlockSize := goldenOpenResponse
	noBlockSize.DeviceID, noBlockSize.LogicalBlockSize = 5, 0
	for _, c := range []struct {
		name  string
		parse func() error
		field string
	}{
		{"SESS_INFO of version 0", func() error { return parseErr(SessInfo{}, ParseSessInfo) }, "version"},
		{"SESS_INFO_RSP for SESS_INFO", func() error { return parseErr(SessInfo{Type: 1, Version: 2}, ParseSessInfo) }, "type"},
		{"SESS_INFO for SESS_INFO_RSP", func() error { return parseErr(SessInfo{Version: 2}, ParseSessInfoResponse) }, "type"},
		{"OPEN without path", func() error { return parseErr(OpenRequest{Type: TypeOpen}, ParseOpenRequest) }, "device_path"},
		{"OPEN without NUL", func() error { return parseErr(unterminated, ParseOpenRequest) }, "device_path"},
		{"OPEN of another type", func() error { return parseErr(OpenRequest{Type: 6}, ParseOpenRequest) }, "type"},
		{"OPEN_RSP without block size", func() error { return parseErr(noBlockSize, ParseOpenResponse) }, "logical_block_size"},
		{"OPEN_RSP of another type", func() error { return parseErr(OpenResponse{Type: 2}, ParseOpenResponse) }, "type"},
		{"IO of another type", func() error { return parseErr(IORequest{Type: 65535}, ParseIORequest) }, "type"},
		{"CLOSE of another type", func() error { return parseErr(CloseRequest{Type: 4}, ParseCloseRequest) }, "type"},
	} {
		var fault *layout.Error
		if err := c.parse(); !errors.As(err, &fault) || fault.Field != c.field || !errors.Is(err, layout.ErrValue) {
			t.Errorf("%s: error %v, want one about %s", c.name, err, c.field)
		}
	}
	wire, _ := noBlockSize.AppendBinary(nil)
	if back, err := ParseOpenResponse(wire); back.DeviceID != 5 {
		t.Errorf("the response in error (%v) lost its device id", err)
	}
}

func parseErr[M interface{ AppendBinary([]byte) ([]byte, error) }](m M, parse func([]byte) (M, error)) error {
	wire, err := m.AppendBinary(nil)
	if err != nil {
		return err
	}
	_, err = parse(wire)
	return err
}

func TestNewOpenRequestLimits(t *testing.T) {
	if m, err := NewOpenRequest(strings.Repeat("x", 254), ReadOnly, BlockIO); err != nil || len(m.DevicePath.Bytes()) != 254 {
		t.Errorf("path of 254 bytes: %v", err)
	}
	for _, path := range []string{"", strings.Repeat("x", 255), "a\x00b"} {
		if _, err := NewOpenRequest(path, ReadOnly, BlockIO); !errors.Is(err, layout.ErrValue) {
			t.Errorf("path %.8q: %v, want ErrValue", path, err)
		}
	}
}

func TestCheckIO(t *testing.T) {
	const r, w = ibtrs.Read, ibtrs.Write
	for _, c := range []struct {
		name      string
		op        Op
		size      uint32
		direction ibtrs.Direction
		data      uint32
		writeSame bool
		want      error
	}{
		{"read", OpRead, 4096, r, 4096, false, nil},
		{"write", OpWrite, 4096, w, 4096, false, nil},
		{"flush", OpFlush, 0, r, 0, false, nil},
		{"discard", OpDiscard, 1 << 20, w, 0, false, nil},
		{"secure erase", OpSecureErase, 1 << 20, w, 0, false, nil},
		{"write zeroes", OpWriteZeroes, 1 << 20, w, 0, false, nil},
		{"write same", OpWriteZeroes, 4096, w, 512, true, nil},
		{"write same, not agreed on", OpWriteZeroes, 4096, w, 512, false, ibtrs.EOPNOTSUPP},
		{"write same, not a multiple", OpWriteZeroes, 4095, w, 512, true, ibtrs.EINVAL},
		{"operation 6", 6, 4096, w, 4096, false, ibtrs.EOPNOTSUPP},
		{"operation 255", 255, 4096, r, 4096, false, ibtrs.EOPNOTSUPP},
		{"read as transport write", OpRead, 4096, w, 4096, false, ibtrs.EINVAL},
		{"write as transport read", OpWrite, 4096, r, 4096, false, ibtrs.EINVAL},
		{"discard as transport read", OpDiscard, 4096, r, 0, false, ibtrs.EINVAL},
		{"write zeroes as transport read", OpWriteZeroes, 4096, r, 0, false, ibtrs.EINVAL},
		{"data larger than size", OpWrite, 4096, w, 4608, false, ibtrs.EINVAL},
		{"data smaller than size", OpRead, 4096, r, 512, false, ibtrs.EINVAL},
		{"write without data", OpWrite, 4096, w, 0, false, ibtrs.EINVAL},
		{"read without data", OpRead, 4096, r, 0, false, ibtrs.EINVAL},
		{"empty read", OpRead, 0, r, 0, false, nil},
	} {
		m := NewIORequest(c.op, FlagSync|1<<20, 0, FlushSector, c.size)
		if err := m.Check(c.direction, c.data, c.writeSame); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

func TestEffectivePriority(t *testing.T) {
	m := IORequest{Priority: 3}
	if m.EffectivePriority(2) != 3 || m.EffectivePriority(1) != 0 {
		t.Error("priority counts from version 2 on")
	}
	m.Short = true
	if m.EffectivePriority(2) != 0 {
		t.Error("the short form has no priority")
	}
}
