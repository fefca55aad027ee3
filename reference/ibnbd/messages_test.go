// SPDX-License-Identifier: Apache-2.0

package ibnbd_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// message is anything that can be sent.
type message interface {
	AppendBinary([]byte) ([]byte, error)
}

// raw sends a message of our own making.
func raw(t *testing.T, c *ibnbd.Client, d ibtrs.Direction, m message, data []byte) error {
	t.Helper()
	header, err := m.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	return c.Session().Do(context.Background(), &ibtrs.Request{Direction: d, Header: header, Data: data})
}

// bare is a message of plain bytes.
type bare []byte

func (b bare) AppendBinary(to []byte) ([]byte, error) { return append(to, b...), nil }

// TestServerJudgesMessages sends what no conforming client does, and some of what one may. Device 0 is open for writing,
// device 1 for reading.
func TestServerJudgesMessages(t *testing.T) {
	const read, write = ibtrs.Read, ibtrs.Write
	io := func(op ibnbd.Op, flags, device uint32, sector uint64, size uint32) ibnbd.IORequest {
		return ibnbd.NewIORequest(op, flags, device, sector, size)
	}
	short := io(ibnbd.OpRead, 0, 0, 0, 512)
	short.Short = true
	garbage := io(ibnbd.OpRead, 0, 0, 0, 512)
	garbage.Tail, garbage.Padding, garbage.Priority = [6]byte{1, 2, 3, 4, 5, 6}, [2]byte{7, 8}, 999
	version0 := ibnbd.NewSessInfo(0)
	version0.Version = 0
	open, err := ibnbd.NewOpenRequest("ram0", ibnbd.ReadWrite, ibnbd.BlockIO)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		dir  ibtrs.Direction
		m    message
		data int
		want error
	}{
		{"IBNBD-IO-001 read", read, io(ibnbd.OpRead, 0, 0, 0, 512), 512, nil},
		{"IBNBD-MSG-005 short form", read, short, 512, nil},
		{"IBNBD-IO-018 garbage in the tail", read, garbage, 512, nil},
		{"IBNBD-MSG-006 longer than known", read, longer{garbage}, 512, nil},
		{"IBNBD-IO-002 unknown device", read, io(ibnbd.OpRead, 0, 7, 0, 512), 512, ibtrs.ENOTCONN},
		{"IBNBD-IO-003 size", read, io(ibnbd.OpRead, 0, 0, 0, 1024), 512, ibtrs.EINVAL},
		{"IBNBD-IO-003 no data", write, io(ibnbd.OpWrite, 0, 0, 0, 512), 0, ibtrs.EINVAL},
		{"IBNBD-IO-004 flush", read, bare{4, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255, 2, 3, 0, 0, 0, 0, 0, 0}, 0, nil},
		{"IBNBD-IO-006 discard", write, io(ibnbd.OpDiscard, 0, 0, 0, 4096), 0, nil},
		{"IBNBD-IO-007 write-zeroes", write, io(ibnbd.OpWriteZeroes, 0, 0, 0, 4096), 0, nil},
		{"IBNBD-IO-008 write-same", write, io(ibnbd.OpWriteZeroes, 0, 0, 0, 4096), 512, nil},
		{"IBNBD-IO-010 FUA on a read", read, io(ibnbd.OpRead, ibnbd.FlagFUA, 0, 0, 512), 512, nil},
		{"IBNBD-IO-011 unknown operation", read, io(6, 0, 0, 0, 512), 512, ibtrs.EOPNOTSUPP},
		{"IBNBD-IO-012 unknown flags", read, io(ibnbd.OpRead, 0xfffff000, 0, 0, 512), 512, nil},
		{"IBNBD-IO-013 write as a read", read, io(ibnbd.OpWrite, 0, 0, 0, 512), 512, ibtrs.EINVAL},
		{"IBNBD-IO-014 read as a write", write, io(ibnbd.OpRead, 0, 0, 0, 512), 512, ibtrs.EINVAL},
		{"IBNBD-IO-015 write, read-only", write, io(ibnbd.OpWrite, 0, 1, 0, 512), 512, ibtrs.EROFS},
		{"IBNBD-IO-015 discard, read-only", write, io(ibnbd.OpDiscard, 0, 1, 0, 512), 0, ibtrs.EROFS},
		{"IBNBD-IO-016 beyond the end", write, io(ibnbd.OpWrite, 0, 0, deviceSize/512, 512), 512, ibtrs.EIO},
		{"IBNBD-IO-016 far beyond the end", write, io(ibnbd.OpWrite, 0, 0, 1<<62, 512), 512, ibtrs.EIO},
		{"IBNBD-MSG-011 type 1", read, bare{1, 0, 0, 0}, 36, ibtrs.EINVAL},
		{"IBNBD-MSG-011 type 65535", read, bare{255, 255, 0, 0}, 0, ibtrs.EINVAL},
		{"IBNBD-MSG-012 three bytes", read, bare{4, 0, 0}, 0, ibtrs.EINVAL},
		{"IBNBD-MSG-012 short IO", read, bare{4, 0, 0, 0, 0}, 512, ibtrs.EINVAL},
		{"IBNBD-MSG-013 no room for the reply", read, open, 55, ibtrs.EINVAL},
		{"IBNBD-MSG-007 OPEN as a write", write, open, 56, ibtrs.EINVAL},
		{"IBNBD-MSG-016 version 0", read, version0, 36, ibtrs.EINVAL},
		{"IBNBD-MSG-017 SESS_INFO again", read, ibnbd.NewSessInfo(0), 36, nil},
		{"IBNBD-OPEN-013 OPEN again", read, open, 56, nil},
		{"IBNBD-OPEN-022 CLOSE of an unknown id", write, ibnbd.CloseRequest{Type: ibnbd.TypeClose, DeviceID: 9}, 0, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				cfg := l.serverConfig()
				cfg.Exports = append(cfg.Exports, ibnbd.Export{Path: "ram1", Backend: l.memory(deviceSize, 512)})
				l.listen(cfg)
				c := l.connect(l.clientConfig("blya", 0))
				d := l.mapDevice(c, "ram0", ibnbd.ReadWrite)
				frozen := l.mapDevice(c, "ram1", ibnbd.ReadOnly)
				if err := raw(t, c, tc.dir, tc.m, bytes.Repeat([]byte{0xEE}, tc.data)); !errors.Is(err, tc.want) {
					t.Errorf("answered %v, want %v", err, tc.want)
				}
				if tc.want != nil { // nothing was stored
					expect(t, d, 0, make([]byte, 4096))
				}
				expect(t, frozen, 0, make([]byte, 4096))
			})
		})
	}
}

// longer appends bytes that nobody knows.
type longer struct{ message }

func (l longer) AppendBinary(b []byte) ([]byte, error) {
	b, err := l.message.AppendBinary(b)
	return append(b, 9, 9, 9, 9), err
}

// TestProfilesOfClients looks at the bytes that mean different things to different families (Clauses IBNBD-COMPAT-003 to
// IBNBD-COMPAT-006, IBNBD-MSG-014, IBNBD-MSG-015).
func TestProfilesOfClients(t *testing.T) {
	type info = ibnbd.SessInfo
	for _, tc := range []struct {
		name       string
		info       *info // nil: none is sent
		mode       ibnbd.IOMode
		version    uint8 // of the answer
		marker     bool
		bytes44to6 [3]byte
	}{
		{"L, block", &info{Version: 1}, ibnbd.BlockIO, 1, false, [3]byte{0, 1, 0}},
		{"L, file", &info{Version: 1}, ibnbd.FileIO, 1, false, [3]byte{0, 0, 0}},
		{"M, byte 5 is garbage", &info{Version: 2}, 77, 2, false, [3]byte{0, 3, 0}},
		{"M, newer", &info{Version: 9}, ibnbd.FileIO, 2, false, [3]byte{0, 3, 0}},
		{"X, block", &info{Version: 2, Marker: ibnbd.Marker, Features: 7}, ibnbd.BlockIO, 2, true, [3]byte{0, 3, 1}},
		{"X, file", &info{Version: 2, Marker: ibnbd.Marker, Features: 7}, ibnbd.FileIO, 2, true, [3]byte{0, 0, 0}},
		{"X without features", &info{Version: 2, Marker: ibnbd.Marker}, ibnbd.FileIO, 2, true, [3]byte{0, 3, 0}},
		{"no SESS_INFO", nil, ibnbd.FileIO, 0, false, [3]byte{0, 3, 0}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := newLab(t)
			cfg := l.serverConfig()
			cfg.Exports[0].Backend = &cached{cfg.Exports[0].Backend}
			l.listen(cfg)
			ccfg := l.clientConfig("blya", 0)
			ccfg.Rules.NoSessInfo = true
			c := l.connect(ccfg)
			if tc.info != nil {
				body := bytes.Repeat([]byte{0xEE}, ibnbd.SessInfoSize)
				if err := raw(t, c, ibtrs.Read, tc.info, body); err != nil {
					t.Fatal(err)
				}
				r, err := ibnbd.ParseSessInfoResponse(body)
				if err != nil || r.Version != tc.version || (r.Marker == ibnbd.Marker) != tc.marker || r.Features != tc.info.Features {
					t.Errorf("answer %+v, %v", r, err)
				}
			}
			open, err := ibnbd.NewOpenRequest("ram0", ibnbd.ReadWrite, tc.mode)
			if err != nil {
				t.Fatal(err)
			}
			body := bytes.Repeat([]byte{0xEE}, ibnbd.OpenResponseSize)
			if err := raw(t, c, ibtrs.Read, open, body); err != nil {
				t.Fatal(err)
			}
			if got := [3]byte(body[44:47]); got != tc.bytes44to6 || !bytes.Equal(body[47:], make([]byte, 9)) {
				t.Errorf("bytes 44 to 46 are %v, want %v; the rest is %v", got, tc.bytes44to6, body[47:])
			}
		})
	}
}
