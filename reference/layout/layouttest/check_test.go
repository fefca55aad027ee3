// SPDX-License-Identifier: Apache-2.0

package layouttest

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/ibnbd/ibnbd/reference/layout"
)

// sample is a message of 8 bytes with one field of each kind.
type sample struct {
	Kind  uint16
	Delta int16
	Tag   [4]byte
}

func (s sample) AppendBinary(b []byte) ([]byte, error) {
	b = binary.LittleEndian.AppendUint16(b, s.Kind)
	b = binary.BigEndian.AppendUint16(b, uint16(s.Delta))
	return append(b, s.Tag[:]...), nil
}

func parseSample(b []byte) (s sample, err error) {
	s.Kind = binary.LittleEndian.Uint16(b)
	s.Delta = int16(binary.BigEndian.Uint16(b[2:]))
	copy(s.Tag[:], b[4:])
	return s, nil
}

func TestCheckRowTellsTableFromCodec(t *testing.T) {
	table := layout.Message{Name: "sample", Size: 8}
	for _, c := range []struct {
		name string
		row  layout.Field
		want string // part of the error, empty for none
	}{
		{"right, little", layout.Field{Name: "kind", Offset: 0, Size: 2, Encoding: layout.Little}, ""},
		{"right, big signed", layout.Field{Name: "delta", Offset: 2, Size: 2, Encoding: layout.BigSigned}, ""},
		{"right, bytes", layout.Field{Name: "tag", Offset: 4, Size: 4, Encoding: layout.Opaque}, ""},
		{"wrong byte order", layout.Field{Name: "kind", Offset: 0, Size: 2, Encoding: layout.Big}, "bytes at 0 are"},
		{"wrong offset", layout.Field{Name: "kind", Offset: 1, Size: 2, Encoding: layout.Little}, "bytes at 1 are"},
		{"wrong size", layout.Field{Name: "kind", Offset: 0, Size: 4, Encoding: layout.Little}, "the Go field has 2 bytes"},
		{"unknown", layout.Field{Name: "colour", Offset: 0, Size: 2, Encoding: layout.Little}, "no such field"},
	} {
		err := checkRow(table, c.row, parseSample)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", c.name, err, c.want)
		}
	}
	table.Size = 9
	if err := checkRow(table, layout.Field{Name: "kind", Size: 2, Encoding: layout.Little}, parseSample); err == nil {
		t.Error("a wrong message size was not noticed")
	}
	if hasRow(layout.Message{Fields: []layout.Field{{Name: "kind"}}}, "Delta") {
		t.Error("a Go field without a row was not noticed")
	}
}

func TestCheckParseNoticesAForgottenField(t *testing.T) {
	forgetful := func(b []byte) (sample, error) {
		s, err := parseSample(b)
		s.Delta = 0
		return s, err
	}
	row := layout.Field{Name: "delta", Offset: 2, Size: 2, Encoding: layout.BigSigned}
	if err := checkRow(layout.Message{Name: "sample", Size: 8}, row, forgetful); err == nil {
		t.Error("a parser that forgets a field passed")
	}
}
