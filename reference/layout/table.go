// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"encoding/binary"
	"fmt"
)

// Encoding says how the bytes of a field stand for its value.
type Encoding uint8

// The encodings that occur in the protocols of this project.
const (
	Little       Encoding = iota + 1 // unsigned integer, least significant byte first
	LittleSigned                     // two's complement, least significant byte first
	Big                              // unsigned integer, most significant byte first
	BigSigned                        // two's complement, most significant byte first
	Opaque                           // bytes without an order: UUIDs, tags, port identifiers
	Text                             // text ended by a NUL inside the field; the rest is zero
	Reserved                         // the sender writes zero, the receiver ignores
)

var encodingNames = [...]string{
	Little: "little-endian", LittleSigned: "little-endian signed", Big: "big-endian", BigSigned: "big-endian signed",
	Opaque: "bytes", Text: "text", Reserved: "reserved",
}

// String returns the name of the encoding as used in documentation.
func (e Encoding) String() string {
	if int(e) < len(encodingNames) && encodingNames[e] != "" {
		return encodingNames[e]
	}
	return fmt.Sprintf("Encoding(%d)", uint8(e))
}

// Value names one number that a field or a group of bits may hold.
type Value struct {
	Number uint64
	Name   string
}

// Bits names a group of bits of an integer field. Mask is applied to the decoded integer, so bit 0 is always the least
// significant one, whatever the byte order.
type Bits struct {
	Name    string
	Mask    uint64
	Meaning string
	Values  []Value
}

// Field is one row of a message table. Offset and Size are in bytes from the start of the message. Bits that no entry
// of Bits covers are reserved when Bits is not empty.
type Field struct {
	Name     string // lower case, words joined by underscores, unique in its message
	Offset   int
	Size     int
	Encoding Encoding
	Meaning  string
	Unit     string // what a number counts, e.g. "bytes"; empty if nothing
	Bits     []Bits
	Values   []Value
}

// End returns the offset of the first byte behind the field.
func (f Field) End() int { return f.Offset + f.Size }

// Comment returns the meaning and the unit of the field in one phrase, empty if it has neither.
func (f Field) Comment() string {
	if f.Meaning == "" || f.Unit == "" {
		return f.Meaning + f.Unit
	}
	return f.Meaning + " (" + f.Unit + ")"
}

// Uint returns the unsigned integer the field holds in msg, which must reach to the end of the field. It is zero for
// fields that are not integers.
func (f Field) Uint(msg []byte) uint64 {
	b := msg[f.Offset:f.End()]
	var wide [8]byte
	switch f.Encoding {
	case Little, LittleSigned:
		copy(wide[:], b)
		return binary.LittleEndian.Uint64(wide[:])
	case Big, BigSigned:
		copy(wide[8-len(b):], b)
		return binary.BigEndian.Uint64(wide[:])
	}
	return 0
}

// Message is the table of one message: its fixed part, and what may follow it.
type Message struct {
	Name    string // lower case, words joined by underscores, unique in its protocol
	Title   string // for people
	Size    int    // bytes of the fixed part
	Fields  []Field
	Repeats string // name of the message that follows the fixed part zero or more times; empty: none
}

// Field returns the row of the given name.
func (m Message) Field(name string) (Field, bool) {
	for _, f := range m.Fields {
		if f.Name == name {
			return f, true
		}
	}
	return Field{}, false
}

// Check reports the first gap, overlap, duplicate name or impossible size in the table; nil if every byte of the fixed
// part belongs to exactly one field.
func (m Message) Check() error {
	seen := map[string]bool{}
	end := 0
	for _, f := range m.Fields {
		switch {
		case f.Offset != end:
			return fmt.Errorf("%s: field %s begins at byte %d, the one before ends at %d", m.Name, f.Name, f.Offset, end)
		case f.Size <= 0:
			return fmt.Errorf("%s: field %s has %d bytes", m.Name, f.Name, f.Size)
		case f.isInteger() && f.Size > 8:
			return fmt.Errorf("%s: integer %s has %d bytes, at most 8", m.Name, f.Name, f.Size)
		case seen[f.Name]:
			return fmt.Errorf("%s: two fields are named %s", m.Name, f.Name)
		}
		seen[f.Name] = true
		end = f.End()
	}
	if end != m.Size {
		return fmt.Errorf("%s: fields end at byte %d, the message at %d", m.Name, end, m.Size)
	}
	return nil
}

func (f Field) isInteger() bool {
	return f.Encoding >= Little && f.Encoding <= BigSigned
}

// Protocol is the set of message tables of one protocol.
type Protocol struct {
	Name     string // lower case, the prefix of display filters
	Title    string
	Messages []Message
}

// Message returns the table of the given name.
func (p Protocol) Message(name string) (Message, bool) {
	for _, m := range p.Messages {
		if m.Name == name {
			return m, true
		}
	}
	return Message{}, false
}

// MustMessage is Message for names that are written in the program; it panics on a name the protocol does not have.
func (p Protocol) MustMessage(name string) Message {
	m, ok := p.Message(name)
	if !ok {
		panic(fmt.Sprintf("layout: %s has no message %q", p.Name, name))
	}
	return m
}
