// SPDX-License-Identifier: Apache-2.0

package audittest

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/reference/roce"
)

// damage is a way in which a recording differs from what was on the wire, or the wire from what was sent.
type damage struct {
	name string
	do   func(random *rand.Rand, c Capture) Capture
}

var damages = []damage{
	{"lost frames", func(random *rand.Rand, c Capture) Capture { return lose(random, c, 0.05) }},
	{"many lost frames", func(random *rand.Rand, c Capture) Capture { return lose(random, c, 0.4) }},
	{"a lost stretch", func(random *rand.Rand, c Capture) Capture {
		if len(c) < 2 {
			return c
		}
		from := random.IntN(len(c))
		return slices.Delete(c, from, from+random.IntN(len(c)-from))
	}},
	{"several lost stretches", func(random *rand.Rand, c Capture) Capture {
		for i := 0; i < 5 && len(c) > 1; i++ {
			from := random.IntN(len(c))
			c = slices.Delete(c, from, min(len(c), from+random.IntN(60)))
		}
		return c
	}},
	{"begin in the middle", func(random *rand.Rand, c Capture) Capture { return c[random.IntN(len(c)):] }},
	{"doubled frames", func(random *rand.Rand, c Capture) Capture {
		var doubled Capture
		for _, f := range c {
			doubled = append(doubled, f)
			if random.IntN(10) == 0 {
				f.At = f.At.Add(time.Duration(random.IntN(1000)) * time.Microsecond)
				f.Number += 1_000_000
				doubled = append(doubled, f)
			}
		}
		return doubled
	}},
	{"written out of order", func(random *rand.Rand, c Capture) Capture {
		for i := range c {
			if j := i + random.IntN(8); random.IntN(10) == 0 && j < len(c) {
				f := c[i]
				c = slices.Insert(slices.Delete(c, i, i+1), j, f)
			}
		}
		return c
	}},
	{"overtaken on the wire", overtake},
}

// everything does several of them. Losses come first: a frame that is missing is missing together with its doubles.
func everything(random *rand.Rand, c Capture) Capture {
	for _, d := range damages {
		if random.IntN(2) == 0 && len(c) > 1 {
			c = d.do(random, c)
		}
	}
	return c
}

func lose(random *rand.Rand, c Capture, share float64) Capture {
	return slices.DeleteFunc(c, func(audit.Frame) bool { return random.Float64() < share })
}

// overtake lets frames be overtaken by frames of the same direction, as happens on two links of one bond. No frame comes
// after what answers it.
func overtake(random *rand.Rand, c Capture) Capture {
	var a, b roce.Packet
	slices.SortStableFunc(c, func(a, b audit.Frame) int { return a.At.Compare(b.At) })
	for i := range c {
		if random.IntN(10) > 0 || a.Decode(c[i].Data) != nil {
			continue
		}
		for j := i + 1; j < min(len(c), i+6); j++ {
			if c[j].At.Sub(c[i].At) > 10*time.Millisecond || b.Decode(c[j].Data) != nil || a.SrcMAC != b.SrcMAC {
				break
			}
			if a.IsMAD() == b.IsMAD() {
				c[i].Data, c[j].Data = c[j].Data, c[i].Data
				c[i].OrigLen, c[j].OrigLen = c[j].OrigLen, c[i].OrigLen
				break
			}
		}
	}
	return c
}

// rounds is how many seeds each damage is tried with.
func rounds() uint64 {
	if RaceDetector {
		return 4
	}
	return 40
}

// Damage damages a capture at random: whatever is missing, doubled or out of order, nobody may be blamed for what the whole
// capture shows to be right.
func (j Judge) Damage(t *testing.T, whole Capture) {
	known := Failures(j.Judged(t, whole))
	for i, d := range append(damages, damage{"everything", everything}) {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			for round := range rounds() {
				seed := uint64(i)<<32 | round
				c := d.do(rand.New(rand.NewPCG(seed, 1)), whole.Clone())
				for key, message := range Failures(j.Judged(t, c)) {
					if _, expected := known[key]; !expected {
						t.Errorf("seed %#x: %s: %s", seed, key, message)
					}
				}
			}
		})
	}
}

// Losses gives a capture several times, each with other frames missing.
func Losses(whole Capture) []Capture {
	var all []Capture
	for round := range rounds() {
		all = append(all, lose(rand.New(rand.NewPCG(round, 2)), whole.Clone(), 0.1))
	}
	return all
}
