// SPDX-License-Identifier: Apache-2.0

package ibtrs

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

func goldenConnRequest() ConnRequest {
	r := ConnRequest{
		Magic: Magic, Version: Version, CID: 0, ConnectionCount: 3, Incarnation: 1, FirstConnection: FirstConnection,
	}
	for i := range 16 {
		r.PathUUID[i], r.GroupUUID[i] = 0x10+byte(i), 0xa0+byte(i)
	}
	return r
}

var goldenRegions = Descriptors{}.Append(
	Descriptor{Address: 0x12340000, RKey: 0x0001e4a1, Length: 33554432},
	Descriptor{Address: 0x16340000, RKey: 0x0001e5a1, Length: 33554432},
)

var goldenReadPlace = Descriptors{}.Append(Descriptor{Address: 0xffff888100200000, RKey: 0x00a0b1c2, Length: 4096})

func TestGoldenMessages(t *testing.T) {
	info, err := NewInfoRequest("blya")
	if err != nil {
		t.Fatal(err)
	}
	goldenMessage(t, "connection request", ParseConnRequest, goldenConnRequest(), 56, `
		00 00 bd 1b 00 02 00 00 03 00 01 00 10 11 12 13
		14 15 16 17 18 19 1a 1b 1c 1d 1e 1f a0 a1 a2 a3
		a4 a5 a6 a7 a8 a9 aa ab ac ad ae af 01 00 00 00`)
	goldenMessage(t, "accept", ParseConnResponse, Accept(DefaultGeometry, KeyRefresh), 56, `
		bd 1b 00 02 00 00 00 02 00 f0 01 00 00 10 00 00
		02 00 00 00`)
	goldenMessage(t, "reject ECONNRESET", ParseConnResponse, Reject(ECONNRESET), 56, "bd 1b 00 02 98 ff")
	goldenMessage(t, "reject EBUSY", ParseConnResponse, Reject(EBUSY), 56, "bd 1b 00 02 f0 ff")
	goldenMessage(t, "reject ENXIO", ParseConnResponse, Reject(ENXIO), 56, "bd 1b 00 02 fa ff")
	goldenMessage(t, "reject EEXIST", ParseConnResponse, Reject(EEXIST), 56, "bd 1b 00 02 ef ff")
	goldenMessage(t, "reject ENOMEM", ParseConnResponse, Reject(ENOMEM), 56, "bd 1b 00 02 f4 ff")
	goldenMessage(t, "INFO request", ParseInfoRequest, info, 272, "00 00 62 6c 79 61")
	goldenMessage(t, "INFO response", ParseInfoResponse, NewInfoResponse(goldenRegions), 40, `
		01 00 02 00 00 00 00 00 00 00 34 12 00 00 00 00
		a1 e4 01 00 00 00 00 02 00 00 34 16 00 00 00 00
		a1 e5 01 00 00 00 00 02`)
	goldenMessage(t, "write message", ParseWriteMessage, WriteMessage{TypeWrite, 32}, 4, "02 00 20 00")
	goldenMessage(t, "read message without descriptor", ParseReadMessage,
		ReadMessage{Type: TypeRead, HeaderLength: 32, Descriptors: Descriptors{}}, 8, "03 00 20 00")
	goldenMessage(t, "read message", ParseReadMessage,
		ReadMessage{TypeRead, 32, NeedInvalidate, 1, goldenReadPlace}, 24, `
		03 00 20 00 01 00 01 00 00 00 20 00 81 88 ff ff c2 b1 a0 00 00 10 00 00`)
	goldenMessage(t, "key response", ParseKeyResponse, KeyResponse{TypeKeyResponse, 3, 0x0001e4a2}, 8, "04 00 03 00 a2 e4 01 00")
}

// goldenMessage wants message to append to the bytes of text, and the bytes to parse to message. Bytes behind the
// message must not matter.
func goldenMessage[M encoding.BinaryAppender](t *testing.T, name string, parse func([]byte) (M, error), message M, size int, text string) {
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

func TestGoldenRequestImmediates(t *testing.T) {
	for _, c := range []struct {
		name          string
		chunk, offset uint32
		wire          string
	}{
		{"write on chunk 3, D 4096, U 32", 3, 4096 + 32, "00 18 10 20"},
		{"read on chunk 511, D 126976, U 32", 511, 126976 + 32, "0f f9 f0 20"},
		{"SESS_INFO on chunk 0", 0, 36 + 36, "00 00 00 48"},
		{"OPEN on chunk 1", 1, 56 + 264, "00 08 01 40"},
		{"CLOSE on chunk 2", 2, 0 + 8, "00 10 00 08"},
	} {
		i, err := DefaultGeometry.RequestImmediate(c.chunk, c.offset)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		checkImmediate(t, c.name, i, c.wire)
		if chunk, offset, err := DefaultGeometry.Request(i); chunk != c.chunk || offset != c.offset || err != nil {
			t.Errorf("%s: names chunk %d offset %d (%v)", c.name, chunk, offset, err)
		}
	}
}

func TestGoldenResponseImmediates(t *testing.T) {
	for _, c := range []struct {
		id          uint32
		errno       Errno
		invalidated bool
		wire        string
	}{
		{3, 0, false, "10 00 00 03"},
		{511, 0, true, "20 00 01 ff"},
		{3, EIO, false, "10 28 00 03"},
		{3, EINVAL, true, "20 b0 00 03"},
		{0, ENOTCONN, false, "13 58 00 00"},
		{1, EPERM, false, "10 08 00 01"},
		{1, ENOENT, true, "20 10 00 01"},
	} {
		i, err := ResponseImmediate(c.id, c.errno, c.invalidated)
		if err != nil {
			t.Error(err)
		}
		checkImmediate(t, c.errno.String(), i, c.wire)
		if id, errno, invalidated, ok := i.Response(); id != c.id || errno != c.errno || invalidated != c.invalidated || !ok {
			t.Errorf("%v parsed as id %d errno %v invalidated %v", c, id, errno, invalidated)
		}
	}
	checkImmediate(t, "heartbeat", Heartbeat, "80 00 00 00")
	checkImmediate(t, "acknowledge", HeartbeatAck, "90 00 00 00")
	checkImmediate(t, "truncated 524", MakeImmediate(ImmResponse, uint32(ENOTSUPP)<<19|7), "10 60 00 07")
}

func checkImmediate(t *testing.T, name string, i Immediate, text string) {
	t.Helper()
	want := fromHex(t, 4, text)
	if got, _ := i.AppendBinary(nil); !cmp.Equal(got, want) {
		t.Errorf("%s: % x, want % x", name, got, want)
	}
	if back, err := ParseImmediate(want); back != i || err != nil {
		t.Errorf("%s: parsed as %v (%v)", name, back, err)
	}
}
