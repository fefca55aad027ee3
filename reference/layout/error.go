// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"errors"
	"fmt"
)

// The two ways a received message can be wrong. Every [Error] of a parser wraps one of them.
var (
	// ErrShort: fewer bytes than the message needs. The parsed value is not usable.
	ErrShort = errors.New("message too short")
	// ErrValue: a field holds what the protocol does not allow. The parsed value is complete nevertheless, and appends
	// to the same bytes, so that a judge can look at the rest of the message.
	ErrValue = errors.New("illegal value")
)

// Error names the field of a message that is at fault.
type Error struct {
	Message string // as people call it: "IBTRS connection request"
	Field   string // name in the layout table, or "length" for the message as a whole
	Offset  int    // byte offset of the field in the message
	Value   any    // what was found
	Limit   string // what is allowed
	Err     error  // ErrShort, ErrValue, or the error number the receiver answers with
}

// Error tells message, field, place, value and limit in one line.
func (e *Error) Error() string {
	return fmt.Sprintf("%s: %s at byte %d is %s, must be %s", e.Message, e.Field, e.Offset, show(e.Value), e.Limit)
}

// Unwrap gives the kind of fault to errors.Is.
func (e *Error) Unwrap() error { return e.Err }

func show(v any) string {
	switch v.(type) {
	case uint8, uint16, uint32, uint64:
		return fmt.Sprintf("%d (%#x)", v, v)
	case string, []byte:
		return fmt.Sprintf("%q", v)
	}
	return fmt.Sprint(v)
}

// Short returns the error of a message that needs need bytes and has got.
func Short(message string, got, need int) error {
	return &Error{message, "length", 0, got, fmt.Sprintf("at least %d", need), ErrShort}
}

// Illegal returns the error of a field that holds value where limit says what is allowed.
func Illegal(message, field string, offset int, value any, limit string) error {
	return &Error{message, field, offset, value, limit, ErrValue}
}
