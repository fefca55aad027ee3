// SPDX-License-Identifier: Apache-2.0

// Package layouttest proves that a layout table and the codec of the same message agree.
package layouttest

import (
	"bytes"
	"encoding"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/ibnbd/ibnbd/reference/layout"
)

// Check compares table with the codec of the message type M, a struct with one field for each row: names are equal
// when case and underscores are left out. It sets one field after the other to a pattern in which every byte differs,
// and wants to see the pattern at the offset, in the size and in the byte order of the row, with no other byte
// changed; parse must give the pattern back. Fields of type bool and slices are not part of the fixed layout and are
// passed over.
func Check[M encoding.BinaryAppender](t *testing.T, table layout.Message, parse func([]byte) (M, error)) {
	t.Helper()
	t.Run(table.Name, func(t *testing.T) {
		if err := table.Check(); err != nil {
			t.Fatal(err)
		}
		for _, row := range table.Fields {
			if err := checkRow(table, row, parse); err != nil {
				t.Errorf("%s.%s: %v", table.Name, row.Name, err)
			}
		}
		for field := range reflect.TypeFor[M]().Fields() {
			if isWire(field) && !hasRow(table, field.Name) {
				t.Errorf("%s: the table does not know the Go field %s", table.Name, field.Name)
			}
		}
	})
}

func checkRow[M encoding.BinaryAppender](table layout.Message, row layout.Field, parse func([]byte) (M, error)) error {
	var blank, marked M
	field, err := goField(reflect.ValueOf(&marked).Elem(), row)
	if err != nil {
		return err
	}
	pattern := mark(field, row)

	before, err := blank.AppendBinary(nil)
	if err != nil {
		return err
	}
	after, err := marked.AppendBinary(nil)
	if err != nil {
		return err
	}
	if len(before) != table.Size || len(after) != table.Size {
		return fmt.Errorf("message has %d bytes (%d when marked), the table says %d", len(before), len(after), table.Size)
	}
	if got := after[row.Offset:row.End()]; !bytes.Equal(got, pattern) {
		return fmt.Errorf("bytes at %d are % x, want % x (%v)", row.Offset, got, pattern, row.Encoding)
	}
	copy(after[row.Offset:row.End()], before[row.Offset:row.End()])
	if !bytes.Equal(before, after) {
		return fmt.Errorf("setting the field changed bytes outside %d..%d: % x", row.Offset, row.End()-1, after)
	}
	return checkParse(marked, row, parse)
}

func checkParse[M encoding.BinaryAppender](marked M, row layout.Field, parse func([]byte) (M, error)) error {
	wire, err := marked.AppendBinary(nil)
	if err != nil {
		return err
	}
	back, err := parse(wire)
	if errors.Is(err, layout.ErrShort) {
		return err
	}
	want, err := goField(reflect.ValueOf(&marked).Elem(), row)
	if err != nil {
		return err
	}
	got, err := goField(reflect.ValueOf(&back).Elem(), row)
	if err != nil {
		return err
	}
	if !got.Equal(want) {
		return fmt.Errorf("parsed as %v, want %v", got, want)
	}
	return nil
}

func goField(message reflect.Value, row layout.Field) (reflect.Value, error) {
	field := message.FieldByNameFunc(func(name string) bool { return sameName(row.Name, name) })
	if !field.IsValid() {
		return field, fmt.Errorf("%v has no such field", message.Type())
	}
	if size := int(field.Type().Size()); size != row.Size {
		return field, fmt.Errorf("the Go field has %d bytes, the table says %d", size, row.Size)
	}
	return field, nil
}

// mark sets field to a value whose bytes all differ and have the top bit set, and returns the bytes wanted on the wire.
func mark(field reflect.Value, row layout.Field) []byte {
	var ordered [8]byte
	for i := range ordered {
		ordered[i] = 0x81 + byte(i)
	}
	number := binary.BigEndian.Uint64(ordered[:]) >> (8 * (8 - min(row.Size, 8)))
	switch {
	case field.CanUint():
		field.SetUint(number)
	case field.CanInt():
		field.SetInt(int64(number) << (64 - 8*row.Size) >> (64 - 8*row.Size))
	default:
		for i := range row.Size {
			field.Index(i).SetUint(uint64(byte(0x81 + i)))
		}
	}
	wire := make([]byte, row.Size)
	for i := range wire {
		wire[i] = byte(0x81 + i)
		if row.Encoding == layout.Little || row.Encoding == layout.LittleSigned {
			wire[i] = byte(0x81 + row.Size - 1 - i)
		}
	}
	return wire
}

func isWire(f reflect.StructField) bool {
	return f.Type.Kind() != reflect.Bool && f.Type.Kind() != reflect.Slice
}

func hasRow(table layout.Message, goName string) bool {
	for _, row := range table.Fields {
		if sameName(row.Name, goName) {
			return true
		}
	}
	return false
}

func sameName(row, goName string) bool {
	return strings.EqualFold(strings.ReplaceAll(row, "_", ""), goName)
}

// RoundTrip fails unless a value that parse understood, legal or not, appends to the bytes it was parsed from. size
// says how many bytes of b the value stands for. It is the body of the fuzz targets.
func RoundTrip[M encoding.BinaryAppender](t *testing.T, b []byte, parse func([]byte) (M, error), size func(M) int) {
	t.Helper()
	m, err := parse(b)
	if errors.Is(err, layout.ErrShort) {
		return
	}
	if err != nil && !errors.Is(err, layout.ErrValue) {
		t.Fatalf("parse % x: %v wraps neither ErrShort nor ErrValue", b, err)
	}
	back, err := m.AppendBinary(nil)
	if err != nil {
		t.Fatalf("append %+v: %v", m, err)
	}
	if want := b[:size(m)]; !bytes.Equal(back, want) {
		t.Fatalf("parsed and appended:\n% x\nwant\n% x", back, want)
	}
}
