// SPDX-License-Identifier: Apache-2.0

package roce

import (
	"errors"
	"fmt"
)

var (
	// ErrNotRoCE says that a frame is not a RoCEv2 packet at all: another
	// EtherType, another IP protocol, an IP fragment (it is not a whole packet),
	// or a UDP destination port other than [UDPPort]. It is no fault of the frame.
	ErrNotRoCE = errors.New("not a RoCEv2 packet")

	// ErrMalformed is wrapped by every [Error] about a packet whose own length
	// fields contradict its contents.
	ErrMalformed = errors.New("malformed")

	// ErrTruncated is wrapped by every [Error] about bytes that the packet
	// promised and that were not captured or handed over.
	ErrTruncated = errors.New("truncated")

	// ErrTooLong is wrapped by every [Error] about a value that does not fit
	// the room the wire format has for it.
	ErrTooLong = errors.New("too long")
)

// Error names the header and the field that cannot be right, the value found
// and the limit it breaks.
type Error struct {
	Header string // header at fault, for example "BTH"
	Field  string // field at fault, for example "UDP payload length"
	Value  int    // value found, in the unit of Limit
	Limit  int    // permitted value
	Bound  string // how Limit binds: "at least", "at most" or "exactly"
	Err    error  // ErrMalformed, ErrTruncated or ErrTooLong
}

// Error gives a sentence like "BTH: length is 3, must be at least 12: truncated".
func (e *Error) Error() string {
	return fmt.Sprintf("%s: %s is %d, must be %s %d: %v", e.Header, e.Field, e.Value, e.Bound, e.Limit, e.Err)
}

// Unwrap gives ErrMalformed, ErrTruncated or ErrTooLong.
func (e *Error) Unwrap() error { return e.Err }

func tooShort(header, field string, value, limit int, cause error) error {
	return &Error{Header: header, Field: field, Value: value, Limit: limit, Bound: "at least", Err: cause}
}

func tooLong(header, field string, value, limit int) error {
	return &Error{Header: header, Field: field, Value: value, Limit: limit, Bound: "at most", Err: ErrTooLong}
}

func notExactly(header, field string, value, limit int) error {
	return &Error{Header: header, Field: field, Value: value, Limit: limit, Bound: "exactly", Err: ErrMalformed}
}
