// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"errors"
	"strings"
	"testing"
)

func TestMessageCheck(t *testing.T) {
	good := Message{Name: "m", Size: 8, Fields: []Field{
		{Name: "a", Offset: 0, Size: 2, Encoding: Little},
		{Name: "b", Offset: 2, Size: 6, Encoding: Reserved},
	}}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	for name, fields := range map[string][]Field{
		"gap":            {{Name: "a", Size: 2}, {Name: "b", Offset: 3, Size: 5}},
		"overlap":        {{Name: "a", Size: 2}, {Name: "b", Offset: 1, Size: 7}},
		"too short":      {{Name: "a", Size: 2}},
		"too long":       {{Name: "a", Size: 9}},
		"empty field":    {{Name: "a", Size: 0}, {Name: "b", Size: 8}},
		"same name":      {{Name: "a", Size: 2}, {Name: "a", Offset: 2, Size: 6}},
		"integer of 9":   {{Name: "a", Size: 9, Encoding: Big}},
		"does not start": {{Name: "a", Offset: 4, Size: 4}},
	} {
		if err := (Message{Name: "m", Size: 8, Fields: fields}).Check(); err == nil {
			t.Errorf("%s passed", name)
		}
	}
}

func TestFieldUint(t *testing.T) {
	msg := []byte{0x01, 0x02, 0x03, 0x04}
	if got := (Field{Offset: 1, Size: 3, Encoding: Little}).Uint(msg); got != 0x040302 {
		t.Errorf("little-endian %#x", got)
	}
	if got := (Field{Offset: 1, Size: 3, Encoding: Big}).Uint(msg); got != 0x020304 {
		t.Errorf("big-endian %#x", got)
	}
}

func TestReservedSet(t *testing.T) {
	m := Message{Name: "m", Size: 8, Fields: []Field{
		{Name: "flags", Offset: 0, Size: 2, Encoding: Big, Bits: []Bits{{Name: "low", Mask: 0x0003}}},
		{Name: "name", Offset: 2, Size: 4, Encoding: Text},
		{Name: "reserved", Offset: 6, Size: 2, Encoding: Reserved},
	}}
	for in, want := range map[string]string{
		"\x00\x03abc\x00\x00\x00":    "",
		"\x80\x03abc\x00\x00\x00":    "flags",
		"\x00\x00a\x00\x00z\x00\x00": "name",
		"\x00\x00abcd\x00\x01":       "reserved",
		"\x80\x00a\x00b\x00\x01\x00": "flags name reserved",
		"\x80\x00a\x00b\x00\x01":     "flags name", // the last field is cut off
	} {
		var names []string
		for _, f := range m.ReservedSet([]byte(in)) {
			names = append(names, f.Field)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%q: found %q, want %q", in, got, want)
		}
	}
}

func TestName(t *testing.T) {
	n, err := NewName("blya")
	if err != nil || n.String() != "blya" || !n.Terminated() || n.Check("m", "f", 2) != nil {
		t.Errorf("name %q (%v)", n, err)
	}
	for _, bad := range []string{strings.Repeat("x", 255), "a\x00b"} {
		if _, err := NewName(bad); !errors.Is(err, ErrValue) {
			t.Errorf("%.8q: %v, want ErrValue", bad, err)
		}
	}
	var empty Name
	full := Name([]byte(strings.Repeat("x", 255)))
	for _, bad := range []*Name{&empty, &full} {
		var fault *Error
		if err := bad.Check("m", "f", 2); !errors.As(err, &fault) || fault.Field != "f" || fault.Offset != 2 {
			t.Errorf("%.8q: %v", bad, err)
		}
	}
	if len(full.Bytes()) != 255 {
		t.Errorf("unterminated name gives %d bytes", len(full.Bytes()))
	}
}

func TestErrorTellsEverything(t *testing.T) {
	err := Illegal("IBTRS connection request", "magic", 2, uint16(0x1234), "0x1bbd")
	want := "IBTRS connection request: magic at byte 2 is 4660 (0x1234), must be 0x1bbd"
	if err.Error() != want {
		t.Errorf("%q, want %q", err, want)
	}
	if !errors.Is(err, ErrValue) || errors.Is(err, ErrShort) || !errors.Is(Short("m", 3, 4), ErrShort) {
		t.Error("errors do not tell their kind")
	}
}
