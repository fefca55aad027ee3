// SPDX-License-Identifier: Apache-2.0

package scsi

import (
	"encoding/binary"
	"fmt"
)

// Key is the coarse kind of a sense.
type Key uint8

// The sense keys that occur here.
const (
	NoSense        Key = 0x0
	NotReady       Key = 0x2
	MediumError    Key = 0x3
	HardwareError  Key = 0x4
	IllegalRequest Key = 0x5
	UnitAttention  Key = 0x6
	DataProtect    Key = 0x7
	AbortedCommand Key = 0xb
	Miscompare     Key = 0xe
)

var keyNames = map[Key]string{
	NoSense: "NO SENSE", NotReady: "NOT READY", MediumError: "MEDIUM ERROR", HardwareError: "HARDWARE ERROR",
	IllegalRequest: "ILLEGAL REQUEST", UnitAttention: "UNIT ATTENTION", DataProtect: "DATA PROTECT",
	AbortedCommand: "ABORTED COMMAND", Miscompare: "MISCOMPARE",
}

// String returns the name that SPC gives the key.
func (k Key) String() string {
	if name, ok := keyNames[k]; ok {
		return name
	}
	return fmt.Sprintf("sense key %#x", uint8(k))
}

// Code is an additional sense code in the upper and its qualifier in the lower byte.
type Code uint16

// The additional sense codes that occur here.
const (
	NoAdditionalSense          Code = 0x0000
	WriteError                 Code = 0x0c00
	UnrecoveredReadError       Code = 0x1100
	ParameterListLengthError   Code = 0x1a00
	MiscompareDuringVerify     Code = 0x1d00
	InvalidOperationCode       Code = 0x2000
	LBAOutOfRange              Code = 0x2100
	InvalidFieldInCDB          Code = 0x2400
	LogicalUnitNotSupported    Code = 0x2500
	InvalidFieldInParameters   Code = 0x2600
	WriteProtected             Code = 0x2700
	SpaceAllocationFailed      Code = 0x2707
	PowerOnOrReset             Code = 0x2900
	BusDeviceReset             Code = 0x2903
	NexusLoss                  Code = 0x2907
	CommandsCleared            Code = 0x2f00
	SavingNotSupported         Code = 0x3900
	ReportedLUNsChanged        Code = 0x3f0e
	InternalTargetFailure      Code = 0x4400
	DataPhaseError             Code = 0x4b00
	OverlappedCommands         Code = 0x4e00
	InsufficientTargetResource Code = 0x5503
)

var codeNames = map[Code]string{
	NoAdditionalSense: "no additional sense", WriteError: "write error", UnrecoveredReadError: "unrecovered read error",
	ParameterListLengthError: "parameter list length error", MiscompareDuringVerify: "miscompare during verify",
	InvalidOperationCode: "invalid command operation code", LBAOutOfRange: "logical block address out of range",
	InvalidFieldInCDB: "invalid field in CDB", LogicalUnitNotSupported: "logical unit not supported",
	InvalidFieldInParameters: "invalid field in parameter list", WriteProtected: "write protected",
	SpaceAllocationFailed: "space allocation failed write protect", PowerOnOrReset: "power on, reset, or bus device reset",
	BusDeviceReset: "bus device reset function occurred", NexusLoss: "I_T nexus loss occurred",
	CommandsCleared: "commands cleared by another initiator", SavingNotSupported: "saving parameters not supported",
	ReportedLUNsChanged: "reported LUNs data has changed", InternalTargetFailure: "internal target failure",
	DataPhaseError: "data phase error", OverlappedCommands: "overlapped commands attempted",
	InsufficientTargetResource: "insufficient resources",
}

// String returns the meaning that SPC gives the code.
func (c Code) String() string {
	if name, ok := codeNames[c]; ok {
		return name
	}
	return fmt.Sprintf("additional sense %02x/%02x", uint8(c>>8), uint8(c))
}

// Sense says why a command failed. The zero value reports nothing.
type Sense struct {
	Key  Key
	Code Code

	// InformationValid says that Information is a number that belongs to the code; a miscompare has the offset there.
	InformationValid bool
	Information      uint64

	// PointerValid says that a field is at fault, of the command block or else of the parameter list. It begins at byte
	// Pointer, and within it at bit Bit unless that is WholeByte.
	PointerValid bool
	InCDB        bool
	Pointer      uint16
	Bit          int8
}

// WholeByte is the Bit of a field that begins with a byte.
const WholeByte = -1

// Error makes a sense an error for initiators.
func (s Sense) Error() string {
	text := fmt.Sprintf("%s, %s", s.Key, s.Code)
	if s.PointerValid {
		text += fmt.Sprintf(" (byte %d)", s.Pointer)
	}
	return text
}

const (
	fixedSense      = 0x70
	descriptorSense = 0x72

	// FixedSenseSize is the length of sense data in fixed format, in bytes.
	FixedSenseSize = 18
	// MaxSenseSize bounds the sense data of one command in either format, in bytes.
	MaxSenseSize = 32

	senseHeader         = 8
	informationSize     = 12 // of the descriptor with all
	keySpecificSize     = 8  // of the descriptor with all
	informationType     = 0x00
	keySpecificType     = 0x02
	informationValidBit = 0x80
	pointerValidBit     = 0x80
	pointerInCDBBit     = 0x40
	bitPointerValidBit  = 0x08
)

// AppendFixed appends the sense in fixed format (SPC-4 4.5.3).
func (s Sense) AppendFixed(b []byte) []byte {
	var p [FixedSenseSize]byte
	p[0] = fixedSense
	p[2] = uint8(s.Key)
	if s.InformationValid && s.Information>>32 == 0 {
		p[0] |= informationValidBit
		binary.BigEndian.PutUint32(p[3:], uint32(s.Information))
	}
	p[7] = FixedSenseSize - senseHeader
	binary.BigEndian.PutUint16(p[12:], uint16(s.Code))
	specific := s.keySpecific()
	copy(p[15:], specific[:])
	return append(b, p[:]...)
}

// AppendDescriptor appends the sense in descriptor format (SPC-4 4.5.2).
func (s Sense) AppendDescriptor(b []byte) []byte {
	start := len(b)
	b = append(b, descriptorSense, uint8(s.Key), uint8(s.Code>>8), uint8(s.Code), 0, 0, 0, 0)
	if s.InformationValid {
		b = append(b, informationType, informationSize-2, informationValidBit, 0)
		b = binary.BigEndian.AppendUint64(b, s.Information)
	}
	if s.PointerValid {
		specific := s.keySpecific()
		b = append(b, keySpecificType, keySpecificSize-2, 0, 0, specific[0], specific[1], specific[2], 0)
	}
	b[start+7] = uint8(len(b) - start - senseHeader)
	return b
}

// keySpecific are the three bytes that point to a field (SPC-4 4.5.2.4.2).
func (s Sense) keySpecific() (p [3]byte) {
	if !s.PointerValid {
		return p
	}
	p[0] = pointerValidBit
	if s.InCDB {
		p[0] |= pointerInCDBBit
	}
	if s.Bit >= 0 {
		p[0] |= bitPointerValidBit | uint8(s.Bit)&7
	}
	binary.BigEndian.PutUint16(p[1:], s.Pointer)
	return p
}

// ParseSense reads sense data of either format. What b does not reach to is left zero; ok is false if not even key and code
// are there, or the format is another.
func ParseSense(b []byte) (s Sense, ok bool) {
	if len(b) == 0 {
		return s, false
	}
	switch b[0] & 0x7f {
	case fixedSense, fixedSense + 1:
		return parseFixed(b)
	case descriptorSense, descriptorSense + 1:
		return parseDescriptors(b)
	}
	return s, false
}

func parseFixed(b []byte) (s Sense, ok bool) {
	if len(b) < 14 {
		return s, false
	}
	b = b[:min(len(b), senseHeader+int(b[7]))]
	if len(b) < 14 {
		return s, false
	}
	s.Key, s.Code = Key(b[2]&0x0f), Code(binary.BigEndian.Uint16(b[12:]))
	if b[0]&informationValidBit != 0 {
		s.InformationValid, s.Information = true, uint64(binary.BigEndian.Uint32(b[3:]))
	}
	if len(b) >= FixedSenseSize {
		s.takeKeySpecific(b[15:18])
	}
	return s, true
}

func parseDescriptors(b []byte) (s Sense, ok bool) {
	if len(b) < senseHeader {
		return s, false
	}
	s.Key, s.Code = Key(b[1]&0x0f), Code(binary.BigEndian.Uint16(b[2:]))
	rest := b[senseHeader:min(len(b), senseHeader+int(b[7]))]
	for len(rest) >= 2 {
		size := 2 + int(rest[1])
		if size > len(rest) {
			break
		}
		switch d := rest[:size]; {
		case d[0] == informationType && size >= informationSize && d[2]&informationValidBit != 0:
			s.InformationValid, s.Information = true, binary.BigEndian.Uint64(d[4:])
		case d[0] == keySpecificType && size >= keySpecificSize:
			s.takeKeySpecific(d[4:7])
		}
		rest = rest[size:]
	}
	return s, true
}

// takeKeySpecific reads a field pointer, which only an illegal request has (SPC-4 4.5.2.4.1).
func (s *Sense) takeKeySpecific(p []byte) {
	if p[0]&pointerValidBit == 0 || s.Key != IllegalRequest {
		return
	}
	s.PointerValid, s.InCDB = true, p[0]&pointerInCDBBit != 0
	s.Pointer, s.Bit = binary.BigEndian.Uint16(p[1:]), WholeByte
	if p[0]&bitPointerValidBit != 0 {
		s.Bit = int8(p[0] & 7)
	}
}
