// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMessagesArriveAsSent(t *testing.T) {
	var conn bytes.Buffer
	bodies := [][]byte{nil, []byte("body"), bytes.Repeat([]byte("x"), 3<<20)}
	for _, body := range bodies {
		if err := WriteMessage(&conn, Bytes, body); err != nil {
			t.Fatal(err)
		}
	}
	for i, want := range bodies {
		kind, got, err := ReadMessage(&conn)
		if err != nil || kind != Bytes || !bytes.Equal(want, got) {
			t.Errorf("message %d: kind %d, %d bytes, error %v", i, kind, len(got), err)
		}
	}
}

func TestBadMessagesAreRefused(t *testing.T) {
	header := func(kind byte, length uint32) string {
		return string(binary.BigEndian.AppendUint32([]byte{kind}, length))
	}
	for name, test := range map[string]struct{ input, says string }{
		"unknown kind":    {header(99, 0), "unknown kind 99"},
		"kind zero":       {header(0, 0), "unknown kind 0"},
		"too long":        {header(byte(Bytes), MaxMessage+1), "8388609 bytes: the limit is 8388608"},
		"longest, absent": {header(byte(Bytes), MaxMessage), "cut short"},
		"cut short":       {header(byte(Bytes), 10) + "123", "10 bytes cut short"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := ReadMessage(strings.NewReader(test.input))
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("error %v, want one that says %q", err, test.says)
			}
		})
	}
	if err := WriteMessage(io.Discard, Bytes, make([]byte, MaxMessage+1)); err == nil {
		t.Error("a message beyond the limit was written")
	}
}

func TestErrorsKeepTheirErrno(t *testing.T) {
	for _, sent := range []error{
		&fs.PathError{Op: "open", Path: "/x", Err: syscall.ENOENT},
		syscall.EEXIST,
		errors.New("no system call"),
	} {
		got := PackError(sent).Unpack()
		if got.Error() != sent.Error() {
			t.Errorf("%q arrived as %q", sent, got)
		}
		var errno syscall.Errno
		if errors.As(sent, &errno) && !errors.Is(got, errno) {
			t.Errorf("%q lost its errno", sent)
		}
	}
}

func FuzzReadMessage(f *testing.F) {
	f.Add([]byte("\x01\x00\x00\x00\x0e{\"op\":\"alive\"}"))
	f.Add([]byte("\x06\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		kind, body, err := ReadMessage(bytes.NewReader(data))
		if err != nil {
			return
		}
		var again bytes.Buffer
		if err := WriteMessage(&again, kind, body); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(data[:again.Len()], again.Bytes()); diff != "" {
			t.Fatal(diff)
		}
		if call, err := ParseCall(body); err == nil && call.Op == "" {
			t.Fatal("call without an operation")
		}
	})
}
