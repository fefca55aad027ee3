// SPDX-License-Identifier: Apache-2.0

package fabric

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// Pick says which of the matching frames a fault takes, counted from the moment when the fault begins to act.
type Pick interface {
	// start returns the choice for one run of a fault: a function of the number of the match, from 1.
	start() func(n uint64) bool
	check() error
	String() string
}

// Nth takes the frames with these numbers among the matches, the first being 1.
type Nth []uint64

// First takes the first so many matches.
type First uint64

// Every takes each so-many-th match: Every(10) takes the 10th, the 20th and so on.
type Every uint64

// Chance takes each match with a probability, by a generator with a seed of its own: the same matches in the same order
// are taken or spared alike.
type Chance struct {
	Probability float64 // 0 to 1
	Seed        uint64
}

func (p Nth) start() func(uint64) bool {
	return func(n uint64) bool { return slices.Contains(p, n) }
}

func (p First) start() func(uint64) bool {
	return func(n uint64) bool { return n <= uint64(p) }
}

func (p Every) start() func(uint64) bool {
	return func(n uint64) bool { return n%uint64(p) == 0 }
}

func (p Chance) start() func(uint64) bool {
	random := seeded(p.Seed)
	return func(uint64) bool { return random.Float64() < p.Probability }
}

func (p Nth) check() error {
	if len(p) == 0 || slices.Contains(p, 0) {
		return fmt.Errorf("pick: Nth%v: it needs at least one number, and they count from 1", []uint64(p))
	}
	return nil
}

func (p First) check() error {
	if p == 0 {
		return fmt.Errorf("pick: First(0) takes nothing; it needs at least 1")
	}
	return nil
}

func (p Every) check() error {
	if p == 0 {
		return fmt.Errorf("pick: Every(0): it needs at least 1")
	}
	return nil
}

func (p Chance) check() error {
	if !(p.Probability >= 0 && p.Probability <= 1) {
		return fmt.Errorf("pick: Chance: the probability %v is outside 0 to 1", p.Probability)
	}
	return nil
}

func (p Nth) String() string {
	words := make([]string, len(p))
	for i, n := range p {
		words[i] = fmt.Sprint(n)
	}
	return "nth " + strings.Join(words, ",")
}

func (p First) String() string { return fmt.Sprintf("first %d", uint64(p)) }

func (p Every) String() string { return fmt.Sprintf("every %d", uint64(p)) }

func (p Chance) String() string { return fmt.Sprintf("chance %v seed %d", p.Probability, p.Seed) }

// seeded returns the generator that everything random here uses.
func seeded(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, seed)) }

// marshalText gives a value as the JSON string of what it prints; nil as null.
func marshalText(s fmt.Stringer) (json.RawMessage, error) {
	if s == nil {
		return json.RawMessage("null"), nil
	}
	return json.Marshal(s.String())
}
