// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
)

// A Kind says what a message is for.
type Kind uint8

// The kinds of messages. Every stream begins with one Request and carries one operation. Reply and Failure end it, but for
// operations that go on (Started, Item).
const (
	Request  Kind = iota + 1 // host: the operation, a Call
	Reply                    // guest: its result
	Failure                  // guest: why there is none, an Error
	Started                  // guest: the program runs
	Item                     // guest: one of many results
	Bytes                    // both: content of a file, data of an I/O
	Stdin                    // host: input of the program
	Stdout                   // guest: output of the program
	Stderr                   // guest: output of the program
	End                      // both: no more Bytes, Stdin or Items
	Signal                   // host: send the program a signal
	Ping                     // host: tell me the time
	lastKind = Ping
)

// MaxMessage is the largest body of a message in bytes; it bounds what one read or write of a device can move.
const MaxMessage = 8 << 20

// ChunkSize is the size of the pieces in which content of any length travels.
const ChunkSize = 64 << 10

// WriteMessage writes a message: its kind, the length of its body, its body.
func WriteMessage(w io.Writer, kind Kind, body []byte) error {
	if len(body) > MaxMessage {
		return fmt.Errorf("message of %d bytes: the limit is %d", len(body), MaxMessage)
	}
	buf := make([]byte, 5, 5+len(body))
	buf[0] = byte(kind)
	binary.BigEndian.PutUint32(buf[1:], uint32(len(body)))
	_, err := w.Write(append(buf, body...))
	return err
}

// WriteJSON writes a message whose body is the JSON of value.
func WriteJSON(w io.Writer, kind Kind, value any) error {
	body, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return WriteMessage(w, kind, body)
}

// ReadMessage reads a message. The body is new memory, allocated as it arrives: a length alone costs nothing.
func ReadMessage(r io.Reader) (Kind, []byte, error) {
	var header [5]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return 0, nil, err
	}
	kind, length := Kind(header[0]), binary.BigEndian.Uint32(header[1:])
	if kind < Request || kind > lastKind {
		return 0, nil, fmt.Errorf("message of unknown kind %d", kind)
	}
	if length > MaxMessage {
		return 0, nil, fmt.Errorf("message of %d bytes: the limit is %d", length, MaxMessage)
	}
	body, err := readBody(r, int(length))
	if err != nil {
		return 0, nil, fmt.Errorf("message of %d bytes cut short: %w", length, eof(err))
	}
	return kind, body, nil
}

func readBody(r io.Reader, length int) ([]byte, error) {
	var body []byte
	for len(body) < length {
		have := len(body)
		body = append(body, make([]byte, min(length-have, 1<<20))...)
		if _, err := io.ReadFull(r, body[have:]); err != nil {
			return nil, err
		}
	}
	return body, nil
}
