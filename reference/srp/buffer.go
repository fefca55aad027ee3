// SPDX-License-Identifier: Apache-2.0

package srp

import (
	"encoding/binary"
	"fmt"
	"iter"

	"github.com/ibnbd/ibnbd/reference/layout"
)

// MemoryDescriptorSize is the size of a MemoryDescriptor on the wire, in bytes.
const MemoryDescriptorSize = 16

const (
	indirectHeaderSize  = 20
	immediateHeaderSize = 4

	// MaxListEntries is the number of table entries that a command can carry for one direction.
	MaxListEntries = 255
)

// MemoryDescriptor names memory of the initiator for RDMA by the target.
type MemoryDescriptor struct {
	Address uint64
	RKey    uint32
	Length  uint32 // bytes
}

// AppendBinary appends the 16 bytes of the descriptor. It never fails.
func (d MemoryDescriptor) AppendBinary(b []byte) ([]byte, error) {
	b, p := layout.Extend(b, MemoryDescriptorSize)
	binary.BigEndian.PutUint64(p, d.Address)
	binary.BigEndian.PutUint32(p[8:], d.RKey)
	binary.BigEndian.PutUint32(p[12:], d.Length)
	return b, nil
}

// ParseMemoryDescriptor reads one descriptor.
func ParseMemoryDescriptor(b []byte) (d MemoryDescriptor, err error) {
	if len(b) < MemoryDescriptorSize {
		return d, layout.Short(memoryDescriptorLayout.Title, len(b), MemoryDescriptorSize)
	}
	return decodeMemoryDescriptor(b), nil
}

func decodeMemoryDescriptor(b []byte) MemoryDescriptor {
	return MemoryDescriptor{
		Address: binary.BigEndian.Uint64(b),
		RKey:    binary.BigEndian.Uint32(b[8:]),
		Length:  binary.BigEndian.Uint32(b[12:]),
	}
}

// MemoryDescriptors is a list of descriptors in wire form: the part of a table that a command carries, or a table read
// from the initiator's memory.
type MemoryDescriptors []byte

// Len returns the number of whole descriptors in the list.
func (l MemoryDescriptors) Len() int { return len(l) / MemoryDescriptorSize }

// At returns descriptor i, which must be below Len.
func (l MemoryDescriptors) At(i int) MemoryDescriptor {
	return decodeMemoryDescriptor(l[i*MemoryDescriptorSize:])
}

// All yields the descriptors with their indexes.
func (l MemoryDescriptors) All() iter.Seq2[int, MemoryDescriptor] {
	return func(yield func(int, MemoryDescriptor) bool) {
		for i := range l.Len() {
			if !yield(i, l.At(i)) {
				return
			}
		}
	}
}

// Total returns the sum of the lengths in bytes.
func (l MemoryDescriptors) Total() (sum uint64) {
	for i := range l.Len() {
		sum += uint64(l.At(i).Length)
	}
	return sum
}

// Append returns the list with ds behind it.
func (l MemoryDescriptors) Append(ds ...MemoryDescriptor) MemoryDescriptors {
	for _, d := range ds {
		l, _ = d.AppendBinary(l)
	}
	return l
}

// Format says how a command describes one of its data buffers.
type Format uint8

// The formats. Immediate exists for data-out alone, and only where the login granted it.
const (
	NoData    Format = 0
	Direct    Format = 1 // one memory descriptor
	Indirect  Format = 2 // a table of memory descriptors, all or part of which is in the command
	Immediate Format = 3 // the data itself
)

// Buffer describes the data of a command in one direction.
type Buffer struct {
	Format  Format
	Length  uint32            // bytes of data
	Memory  MemoryDescriptor  // direct: the data; indirect: the whole table in the initiator's memory
	List    MemoryDescriptors // indirect: the entries that are in the command
	Padding []byte            // immediate: what lies between descriptor and data; zero if the sender is careful
	Data    []byte            // immediate: the data
}

// DirectBuffer returns the description of data in one piece.
func DirectBuffer(d MemoryDescriptor) Buffer {
	return Buffer{Format: Direct, Length: d.Length, Memory: d}
}

// IndirectBuffer returns the description of data in pieces: table is where the whole list lies in memory, list what
// the command carries of it, total the bytes of data.
func IndirectBuffer(table MemoryDescriptor, list MemoryDescriptors, total uint32) Buffer {
	return Buffer{Format: Indirect, Length: total, Memory: table, List: list}
}

// ImmediateBuffer returns the description of data that travels in the command.
func ImmediateBuffer(data []byte) Buffer {
	return Buffer{Format: Immediate, Length: uint32(len(data)), Data: data}
}

// Partial reports whether the command carries only a part of an indirect table, so that the target must read the table
// from the initiator's memory (Clause SRP-CMD-008).
func (b Buffer) Partial() bool {
	return b.Format == Indirect && uint64(b.List.Len())*MemoryDescriptorSize < uint64(b.Memory.Length)
}

// Check reports whether the numbers of an indirect description agree: the table has whole entries and at least those
// in the command, and, if it has no others, they add up to the length (Clause SRP-CMD-007).
func (b Buffer) Check() error {
	if b.Format != Indirect {
		return nil
	}
	table := b.Memory.Length
	if table%MemoryDescriptorSize != 0 || uint64(table) < uint64(len(b.List)) {
		return layout.Illegal(indirectLayout.Title, "table_length", 12, table, fmt.Sprintf("16 for each entry, of which %d are here", b.List.Len()))
	}
	if sum := b.List.Total(); sum != uint64(b.Length) && !b.Partial() {
		return layout.Illegal(indirectLayout.Title, "total", 16, b.Length, fmt.Sprintf("the sum of the entries, %d", sum))
	}
	return nil
}

// descriptorSize returns the bytes that a descriptor of the format takes in a command.
func (f Format) descriptorSize(entries uint8) int {
	switch f {
	case Direct:
		return MemoryDescriptorSize
	case Indirect:
		return indirectHeaderSize + int(entries)*MemoryDescriptorSize
	case Immediate:
		return immediateHeaderSize
	}
	return 0
}

// appendDescriptor appends what the command carries to describe the buffer.
func (b Buffer) appendDescriptor(to []byte) []byte {
	switch b.Format {
	case Direct:
		to, _ = b.Memory.AppendBinary(to)
	case Indirect:
		to, _ = b.Memory.AppendBinary(to)
		to = binary.BigEndian.AppendUint32(to, b.Length)
		to = append(to, b.List...)
	case Immediate:
		to = binary.BigEndian.AppendUint32(to, b.Length)
	}
	return to
}

// decodeBuffer reads a descriptor that is known to be whole.
func decodeBuffer(f Format, d []byte) Buffer {
	switch f {
	case Direct:
		return DirectBuffer(decodeMemoryDescriptor(d))
	case Indirect:
		return IndirectBuffer(decodeMemoryDescriptor(d), MemoryDescriptors(d[indirectHeaderSize:]), binary.BigEndian.Uint32(d[16:]))
	case Immediate:
		return Buffer{Format: Immediate, Length: binary.BigEndian.Uint32(d)}
	}
	return Buffer{Format: f}
}
