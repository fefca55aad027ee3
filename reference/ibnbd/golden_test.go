// SPDX-License-Identifier: Apache-2.0

package ibnbd

import (
	"encoding"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fromHex reads bytes as people write them, and fills up with zeros to size.
func fromHex(t testing.TB, size int, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		t.Fatal(err)
	}
	return append(b, make([]byte, max(0, size-len(b)))...)
}

var goldenOpenResponse = OpenResponse{
	Type: TypeOpenResponse, Capacity: 2097152, MaxHWSectors: 248, MaxWriteZeroesSectors: 65535,
	DiscardGranularity: 4096, PhysicalBlockSize: 4096, LogicalBlockSize: 512, MaxSegments: 128,
	CachePolicy: CacheFUA | CacheWriteBack,
}

func goldenOpen(t testing.TB) OpenRequest {
	t.Helper()
	m, err := NewOpenRequest("dev/ram0", ReadWrite, AutoIOMode)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestGoldenMessages(t *testing.T) {
	golden(t, "SESS_INFO", ParseSessInfo, SessInfo{Version: 2}, 36, "00 00 00 00 02")
	golden(t, "SESS_INFO with marker", ParseSessInfo, NewSessInfo(AllFeatures), 36, `
		00 00 00 00 02 00 00 00 49 42 4e 42 44 2b 30 31 07`)
	golden(t, "SESS_INFO_RSP", ParseSessInfoResponse, SessInfo{Type: 1, Version: 2}, 36, "01 00 00 00 02")
	golden(t, "OPEN", ParseOpenRequest, goldenOpen(t), 264, "02 00 00 00 01 02 64 65 76 2f 72 61 6d 30")
	golden(t, "OPEN_RSP", ParseOpenResponse, goldenOpenResponse, 56, `
		03 00 00 00 00 00 00 00 00 00 20 00 00 00 00 00
		f8 00 00 00 ff ff 00 00 00 00 00 00 00 10 00 00
		00 00 00 00 00 10 00 02 80 00 00 00 00 03`)
	golden(t, "IO write", ParseIORequest, NewIORequest(OpWrite, 0, 0, 2048, 4096), 32, `
		04 00 00 00 00 00 00 00 00 08 00 00 00 00 00 00
		01 00 00 00 00 10`)
	golden(t, "IO flush of a 6.12 client", ParseIORequest, NewIORequest(OpFlush, FlagSync|FlagFUA, 0, FlushSector, 0), 32, `
		04 00 00 00 00 00 00 00 ff ff ff ff ff ff ff ff
		02 03`)
	golden(t, "IO discard", ParseIORequest, NewIORequest(OpDiscard, 0, 7, 8192, 1<<20), 32, `
		04 00 00 00 07 00 00 00 00 20 00 00 00 00 00 00
		03 00 00 00 00 00 10`)
	golden(t, "CLOSE", ParseCloseRequest, CloseRequest{Type: TypeClose, DeviceID: 7}, 8, "05 00 00 00 07")
}

func golden[M encoding.BinaryAppender](t *testing.T, name string, parse func([]byte) (M, error), message M, size int, text string) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		want := fromHex(t, size, text)
		got, err := message.AppendBinary([]byte("in front"))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(append([]byte("in front"), want...), got); diff != "" {
			t.Error("bytes differ (-want +got):\n" + diff)
		}
		parsed, err := parse(append(want, 0xee, 0xee))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(message, parsed); diff != "" {
			t.Error("parsed value differs (-want +got):\n" + diff)
		}
	})
}

func TestGoldenShortRead(t *testing.T) {
	read := NewIORequest(OpRead, FlagSync, 0, 2048, 4096)
	read.Short = true
	want := fromHex(t, 24, "04 00 00 00 00 00 00 00 00 08 00 00 00 00 00 00 00 01 00 00 00 10")
	if got, _ := read.AppendBinary(nil); !cmp.Equal(got, want) {
		t.Errorf("% x, want % x", got, want)
	}
	if got, err := ParseIORequest(want); got != read || err != nil {
		t.Errorf("parsed as %+v (%v)", got, err)
	}
}
