// SPDX-License-Identifier: Apache-2.0

package foreign

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Effect is what a spec does to the data of a target that behaves.
type Effect int

// The effects, from the harmless to the worst.
const (
	Reads          Effect = iota // opens for reading, and reads
	Writes                       // opens for writing, and writes in the scratch range
	WritesAnywhere               // sends writes that only a target's own checks keep from any other block
)

// Consent is what the owner of a target allows. Its zero value allows reads.
type Consent struct {
	Writes  bool     // opening for writing, and writing into the scratch range of every export
	Scratch Range    // that range
	Loss    []string // exports whose data may be lost
	Outage  bool     // the service, or the machine of the initiator, may end
}

// Range is some sectors of [SectorSize] bytes.
type Range struct{ First, Count uint64 }

// ParseRange reads FIRST+COUNT, of at least so many sectors.
func ParseRange(text string, least uint64) (Range, error) {
	first, count, plus := strings.Cut(text, "+")
	f, err1 := strconv.ParseUint(first, 10, 64)
	c, err2 := strconv.ParseUint(count, 10, 64)
	if !plus || err1 != nil || err2 != nil {
		return Range{}, fmt.Errorf("%q is not of the form FIRST+COUNT, in sectors of 512 bytes", text)
	}
	if c < least || c > math.MaxUint64-f {
		return Range{}, fmt.Errorf("%q has %d sectors, and must have at least %d and an end that has a number", text, c, least)
	}
	return Range{f, c}, nil
}

// Everything says whether all data of the exports may be lost.
func (c Consent) Everything(exports []string) bool {
	return !slices.ContainsFunc(exports, func(name string) bool { return !slices.Contains(c.Loss, name) })
}

// lacks is what is not allowed and an attack of some effect needs, or "".
func (c Consent) lacks(effect Effect, mayEnd bool, exports []string) string {
	switch {
	case mayEnd && !c.Outage:
		return "it may end the service, which was not allowed (--allow-outage)"
	case c.Everything(exports) || effect == Reads:
		return ""
	case !c.Writes:
		return "it writes, or opens for writing, which was not allowed (--allow-writes with --scratch, or --allow-data-loss)"
	case effect == WritesAnywhere:
		return "it sends writes outside of the scratch range, and the loss of all data was not allowed (--allow-data-loss with every export)"
	}
	return ""
}
