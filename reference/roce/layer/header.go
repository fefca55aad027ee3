// SPDX-License-Identifier: Apache-2.0

package layer

import (
	"errors"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/ibnbd/ibnbd/reference/roce"
)

// header is a header of package roce behind a pointer.
type header[T any] interface {
	*T
	roce.Header
}

// base is what every layer above the BTH shares: its own bytes, those after it, and the BTH whose opcode says what these are.
type base[T any, P header[T]] struct {
	layers.BaseLayer
	Header T

	bth *BTH
}

func (l *base[T, P]) follow(b *BTH) { l.bth = b }

// DecodeFromBytes decodes the header; the rest is the payload.
func (l *base[T, P]) DecodeFromBytes(data []byte, df gopacket.DecodeFeedback) error {
	h := P(&l.Header)
	if err := h.Decode(data); err != nil {
		if errors.Is(err, roce.ErrTruncated) {
			df.SetTruncated()
		}
		return err
	}
	l.Contents, l.Payload = data[:h.Len():h.Len()], data[h.Len():]
	return nil
}

// prepend writes the header in front of what the buffer holds.
func (l *base[T, P]) prepend(b gopacket.SerializeBuffer) error {
	return prepend(b, P(&l.Header))
}

func prepend(b gopacket.SerializeBuffer, h roce.Header) error {
	room, err := b.PrependBytes(h.Len())
	if err != nil {
		return err
	}
	h.Put(room)
	return nil
}

// padTo lengthens with zeros what the buffer holds to size bytes. It fails if there are more.
func padTo(b gopacket.SerializeBuffer, name, field string, size int) error {
	n := len(b.Bytes())
	if n > size {
		return tooLong(name, field, n, size)
	}
	room, err := b.AppendBytes(size - n)
	if err != nil {
		return err
	}
	clear(room)
	return nil
}

func tooLong(name, field string, value, limit int) error {
	return &roce.Error{Header: name, Field: field, Value: value, Limit: limit, Bound: "at most", Err: roce.ErrTooLong}
}
