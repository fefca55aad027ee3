// SPDX-License-Identifier: Apache-2.0

package roce

import "time"

// Codes of 5 bits on the wire.
const (
	codeCount = 32

	// CreditsUnlimited is the credit code that grants no counted credits.
	CreditsUnlimited uint8 = 31
)

// rnrTimes is the RNR timer table in units of 10 microseconds (InfiniBand
// Architecture Specification, volume 1, table "Encoding for RNR NAK Timer
// Field"). Code 0 is the longest wait.
var rnrTimes = [codeCount]time.Duration{
	65536, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192,
	256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192, 12288, 16384, 24576, 32768, 49152,
}

const rnrUnit = 10 * time.Microsecond

// creditCounts is the end-to-end credit table without code 31 (InfiniBand
// Architecture Specification, volume 1, table "End-to-End Flow Control Credit
// Encoding").
var creditCounts = [codeCount - 1]int{
	0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192,
	256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192, 12288, 16384, 24576, 32768,
}

// RNRTime gives the wait that an RNR timer code asks for. Only bits 4:0 of the
// code count.
func RNRTime(code uint8) time.Duration { return rnrTimes[code%codeCount] * rnrUnit }

// RNRCode gives the code of the shortest RNR wait that is not shorter than d;
// the longest, code 0, if there is none.
func RNRCode(d time.Duration) uint8 {
	for code := uint8(1); code < codeCount; code++ {
		if RNRTime(code) >= d {
			return code
		}
	}
	return 0
}

// Credits gives the number of receive credits of a credit code; limited is
// false for code 31, which grants no counted credits. Only bits 4:0 count.
func Credits(code uint8) (n int, limited bool) {
	code %= codeCount
	if code == CreditsUnlimited {
		return 0, false
	}
	return creditCounts[code], true
}

// CreditCode gives the code of the largest credit count that does not exceed n.
// A negative n counts as 0.
func CreditCode(n int) uint8 {
	code := uint8(0)
	for code+1 < CreditsUnlimited && creditCounts[code+1] <= n {
		code++
	}
	return code
}

// timeUnit is the unit of the exponential timeouts, 4.096 microseconds.
const timeUnit = 4096 * time.Nanosecond

// ACKTimeout gives the nominal retry period of a local ACK timeout code:
// 4.096 us * 2^code; 0, no timer, for code 0. A requester may wait up to four
// times as long. Only bits 4:0 of the code count.
func ACKTimeout(code uint8) time.Duration {
	code %= codeCount
	if code == 0 {
		return 0
	}
	return timeUnit << code
}

// CMTimeout gives the time of a connection management timeout code (response
// timeout, service timeout, target ACK delay): 4.096 us * 2^code. Only bits 4:0
// of the code count.
func CMTimeout(code uint8) time.Duration { return timeUnit << (code % codeCount) }

// LinuxCMTimeout gives what Linux 6.12 takes for the same code: 2^(code-8)
// milliseconds, at least one.
func LinuxCMTimeout(code uint8) time.Duration {
	code %= codeCount
	if code < 8 {
		return time.Millisecond
	}
	return time.Millisecond << (code - 8)
}
