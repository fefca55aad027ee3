// SPDX-License-Identifier: Apache-2.0

package roce

import (
	"fmt"
	"time"
)

// Syndrome is byte 0 of the AETH: the kind of acknowledgement in bits 7:5, its
// value in bits 4:0 (InfiniBand Architecture Specification, volume 1, table
// "AETH Syndrome Field").
type Syndrome uint8

// SyndromeClass is the kind of an acknowledgement.
type SyndromeClass uint8

// The kinds of acknowledgement.
const (
	SyndromeACK      SyndromeClass = iota // 0x00-0x1F
	SyndromeRNRNAK                        // 0x20-0x3F: receiver not ready
	SyndromeReserved                      // 0x40-0x5F, and all with bit 7 set
	SyndromeNAK                           // 0x60-0x7F
)

// Bits of a syndrome.
const (
	syndromeRNR   = 0x20
	syndromeNAK   = 0x60
	syndromeKind  = 0xE0
	syndromeValue = 0x1F
)

// ACKUnlimited is the syndrome of an ACK that grants no counted credits. Linux
// 6.12 rxe sends no other.
const ACKUnlimited Syndrome = 0x1F

// NAKCode is the value of a NAK syndrome.
type NAKCode uint8

// The NAK codes. All but the first are fatal for the queue pair.
const (
	NAKSequenceError          NAKCode = 0 // PSN sequence error: resend from the PSN of the NAK
	NAKInvalidRequest         NAKCode = 1
	NAKRemoteAccessError      NAKCode = 2
	NAKRemoteOperationalError NAKCode = 3
	NAKInvalidRDRequest       NAKCode = 4
)

var nakNames = [...]string{
	"PSN sequence error", "invalid request", "remote access error",
	"remote operational error", "invalid RD request",
}

// ACKSyndrome makes the syndrome of an ACK with a credit code, 0 to 31.
func ACKSyndrome(creditCode uint8) Syndrome { return Syndrome(creditCode & syndromeValue) }

// RNRSyndrome makes the syndrome of a receiver-not-ready NAK with an RNR timer
// code, 0 to 31.
func RNRSyndrome(timerCode uint8) Syndrome { return syndromeRNR | Syndrome(timerCode&syndromeValue) }

// NAKSyndrome makes the syndrome of a NAK, code 0 to 31.
func NAKSyndrome(code NAKCode) Syndrome { return syndromeNAK | Syndrome(code&syndromeValue) }

// Class gives the kind of acknowledgement.
func (s Syndrome) Class() SyndromeClass {
	switch s & syndromeKind {
	case 0:
		return SyndromeACK
	case syndromeRNR:
		return SyndromeRNRNAK
	case syndromeNAK:
		return SyndromeNAK
	}
	return SyndromeReserved
}

// Value gives bits 4:0: credit code, RNR timer code or NAK code.
func (s Syndrome) Value() uint8 { return uint8(s & syndromeValue) }

// Credits gives the number of receive credits an ACK grants; limited is false
// if it grants no counted credits, or is not an ACK.
func (s Syndrome) Credits() (n int, limited bool) {
	if s.Class() != SyndromeACK {
		return 0, false
	}
	return Credits(s.Value())
}

// RNRTime gives how long a receiver-not-ready NAK asks to wait at least; 0 if
// it is another kind.
func (s Syndrome) RNRTime() time.Duration {
	if s.Class() != SyndromeRNRNAK {
		return 0
	}
	return RNRTime(s.Value())
}

// NAKCode gives the code of a NAK; ok is false if it is another kind.
func (s Syndrome) NAKCode() (code NAKCode, ok bool) {
	return NAKCode(s.Value()), s.Class() == SyndromeNAK
}

// Fatal reports whether the syndrome ends the connection: every NAK but the
// PSN sequence error, and every reserved value.
func (s Syndrome) Fatal() bool {
	switch s.Class() {
	case SyndromeNAK:
		return NAKCode(s.Value()) != NAKSequenceError
	case SyndromeReserved:
		return true
	}
	return false
}

// String gives "ACK, credits unlimited", "ACK, 8 credits", "RNR NAK, 10.24ms"
// or "NAK, remote access error".
func (s Syndrome) String() string {
	switch s.Class() {
	case SyndromeACK:
		if n, limited := s.Credits(); limited {
			return fmt.Sprintf("ACK, %d credits", n)
		}
		return "ACK, credits unlimited"
	case SyndromeRNRNAK:
		return "RNR NAK, " + s.RNRTime().String()
	case SyndromeNAK:
		return "NAK, " + NAKCode(s.Value()).String()
	}
	return fmt.Sprintf("reserved syndrome %#02x", uint8(s))
}

// String gives the meaning of the code.
func (c NAKCode) String() string {
	if int(c) < len(nakNames) {
		return nakNames[c]
	}
	return fmt.Sprintf("reserved code %d", uint8(c))
}
