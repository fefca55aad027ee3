// SPDX-License-Identifier: Apache-2.0

package ibtrs

import (
	"encoding/binary"
	"iter"

	"github.com/ibnbd/ibnbd/reference/layout"
)

// DescriptorSize is the size of a Descriptor on the wire, in bytes.
const DescriptorSize = 16

// Descriptor names memory that the peer may write by RDMA: a region of chunks in the INFO response, or the place for
// the data of a read.
type Descriptor struct {
	Address uint64 // I/O virtual address
	RKey    uint32
	Length  uint32 // bytes
}

// AppendBinary appends the 16 bytes of the descriptor. It never fails.
func (d Descriptor) AppendBinary(b []byte) ([]byte, error) {
	b, p := layout.Extend(b, DescriptorSize)
	binary.LittleEndian.PutUint64(p, d.Address)
	binary.LittleEndian.PutUint32(p[8:], d.RKey)
	binary.LittleEndian.PutUint32(p[12:], d.Length)
	return b, nil
}

// ParseDescriptor reads one descriptor.
func ParseDescriptor(b []byte) (d Descriptor, err error) {
	if len(b) < DescriptorSize {
		return d, layout.Short(descriptorLayout.Title, len(b), DescriptorSize)
	}
	return decodeDescriptor(b), nil
}

func decodeDescriptor(b []byte) Descriptor {
	return Descriptor{
		Address: binary.LittleEndian.Uint64(b),
		RKey:    binary.LittleEndian.Uint32(b[8:]),
		Length:  binary.LittleEndian.Uint32(b[12:]),
	}
}

// Descriptors is a list of descriptors in wire form; a parsed one is a part of the bytes it was parsed from.
type Descriptors []byte

// Len returns the number of whole descriptors in the list.
func (l Descriptors) Len() int { return len(l) / DescriptorSize }

// At returns descriptor i, which must be below Len.
func (l Descriptors) At(i int) Descriptor { return decodeDescriptor(l[i*DescriptorSize:]) }

// All yields the descriptors with their indexes.
func (l Descriptors) All() iter.Seq2[int, Descriptor] {
	return func(yield func(int, Descriptor) bool) {
		for i := range l.Len() {
			if !yield(i, l.At(i)) {
				return
			}
		}
	}
}

// Append returns the list with ds behind it.
func (l Descriptors) Append(ds ...Descriptor) Descriptors {
	for _, d := range ds {
		l, _ = d.AppendBinary(l)
	}
	return l
}

// takeDescriptors cuts count descriptors from the start of b; if b has fewer, it cuts those that are whole and
// complains about the count of the message titled title, which lies at offset.
func takeDescriptors(b []byte, count uint16, title string, offset int) (Descriptors, error) {
	fit := len(b) / DescriptorSize
	if int(count) <= fit {
		return Descriptors(b[:int(count)*DescriptorSize]), nil
	}
	err := layout.Illegal(title, "count", offset, count, "at most the descriptors the message has room for")
	return Descriptors(b[:fit*DescriptorSize]), err
}
