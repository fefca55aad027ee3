// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/ibnbd/ibnbd/reference/roce"
)

// damage is a way in which a recording differs from what was on the wire, or the wire from what was sent.
type damage struct {
	name string
	do   func(random *rand.Rand, c capture) capture
}

var damages = []damage{
	{"lost frames", func(random *rand.Rand, c capture) capture { return lose(random, c, 0.05) }},
	{"many lost frames", func(random *rand.Rand, c capture) capture { return lose(random, c, 0.4) }},
	{"a lost stretch", func(random *rand.Rand, c capture) capture {
		if len(c) < 2 {
			return c
		}
		from := random.IntN(len(c))
		return slices.Delete(c, from, from+random.IntN(len(c)-from))
	}},
	{"several lost stretches", func(random *rand.Rand, c capture) capture {
		for i := 0; i < 5 && len(c) > 1; i++ {
			from := random.IntN(len(c))
			c = slices.Delete(c, from, min(len(c), from+random.IntN(60)))
		}
		return c
	}},
	{"begin in the middle", func(random *rand.Rand, c capture) capture { return c[random.IntN(len(c)):] }},
	{"doubled frames", func(random *rand.Rand, c capture) capture {
		var doubled capture
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
	{"written out of order", func(random *rand.Rand, c capture) capture {
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
func everything(random *rand.Rand, c capture) capture {
	for _, d := range damages {
		if random.IntN(2) == 0 && len(c) > 1 {
			c = d.do(random, c)
		}
	}
	return c
}

func lose(random *rand.Rand, c capture, share float64) capture {
	return slices.DeleteFunc(c, func(Frame) bool { return random.Float64() < share })
}

// overtake lets frames be overtaken by frames of the same direction, as happens on two links of one bond. No frame comes
// after what answers it.
func overtake(random *rand.Rand, c capture) capture {
	var a, b roce.Packet
	slices.SortStableFunc(c, func(a, b Frame) int { return a.At.Compare(b.At) })
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
	if raceDetector {
		return 4
	}
	return 40
}

// TestDamageNeverBlames damages captures at random: whatever is missing, doubled or out of order, nobody may be blamed for
// what the whole capture shows to be right.
func TestDamageNeverBlames(t *testing.T) {
	wholes := map[string]func(testing.TB) capture{
		"rnbd": ofCapture(rnbdCapture...), "srp": ofCapture(srpCapture...), "srp channels": ofCapture(srpChannels...),
		"srp reconnect": ofCapture(srpReconnect...),
	}
	for _, r := range recordings {
		wholes[r.name] = ofRecording(r.name)
	}
	for name, load := range wholes {
		whole := load(t)
		known := failures(judged(t, whole, Configuration{}))
		for i, d := range append(damages, damage{"everything", everything}) {
			t.Run(fmt.Sprintf("%s/%s", name, d.name), func(t *testing.T) {
				for round := range rounds() {
					seed := uint64(i)<<32 | round
					c := d.do(rand.New(rand.NewPCG(seed, 1)), whole.clone())
					for key, message := range failures(judged(t, c, Configuration{})) {
						if _, expected := known[key]; !expected {
							t.Errorf("seed %#x: %s: %s", seed, key, message)
						}
					}
				}
			})
		}
	}
}

// TestDamageInventsNothing: what is told of a damaged capture was also in the whole one, with the same frames.
func TestDamageInventsNothing(t *testing.T) {
	whole := load(t, rnbdCapture...)
	told := make(map[string]bool)
	audit := Audit{Observe: func(e *Event) {
		if e.Kind == RequestAnswered && e.Request != nil {
			told[e.Request.text()+e.Request.Frames[0].String()] = true
		}
	}}
	if _, err := audit.Run(t.Context(), whole.source()); err != nil {
		t.Fatal(err)
	}
	for round := range rounds() {
		c := lose(rand.New(rand.NewPCG(round, 2)), whole.clone(), 0.1)
		audit.Observe = func(e *Event) {
			if e.Kind != RequestAnswered || e.Request == nil || !e.Request.Parsed || e.Request.Incomplete || !e.Request.ChunkKnown {
				return
			}
			if key := e.Request.text() + e.Request.Frames[0].String(); !told[key] {
				t.Errorf("seed %d: %s was not in the whole capture", round, key)
			}
		}
		if _, err := audit.Run(t.Context(), c.source()); err != nil {
			t.Fatal(err)
		}
	}
}
