// SPDX-License-Identifier: Apache-2.0

package attacks

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/ibnbd/ibnbd/conformance/srp/tester"
	"github.com/ibnbd/ibnbd/reference/srp"
)

const (
	randomRounds = 300 // units
	together     = 8   // units without waiting
)

// randomUnits sends units that are random, or whole ones with a few bytes changed, cut off or too long. The seed stands in the
// failure.
func randomUnits(ctx context.Context, t *tester.Tester) error {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	var c *tester.Channel
	for i := range randomRounds {
		if c == nil || c.Lost() {
			var err error
			if c, err = t.Ready(ctx); err != nil {
				return tester.Broken("SRP-ROB-001", "a new login after %d random units of seed %d: %v", i, seed, err)
			}
			if _, err := c.Memory(); err != nil {
				return err
			}
		}
		unit, err := randomUnit(r, i, c, t.Target().LUNs[0])
		if err != nil {
			return err
		}
		if err := c.Post(unit); err != nil && !c.Lost() {
			return err
		}
		if i%together != together-1 || c.Lost() {
			continue
		}
		if err := settle(ctx, c); err != nil && !c.Lost() {
			return tester.Broken("SRP-ROB-001", "%s: %v", fmt.Sprintf("after %d random units of seed %d", i+1, seed), err)
		}
	}
	return nil
}

// settle waits until the target has answered a command behind the random ones. Its channel may end instead.
func settle(ctx context.Context, c *tester.Channel) error {
	inquiry, err := inquiryOf(0, false, 36)
	if err != nil {
		return err
	}
	_, err = c.Do(ctx, c.Command(srp.LUN{}, inquiry, srp.Buffer{}, srp.DirectBuffer(c.Piece(tableOffset, 36))))
	return err
}

// randomUnit makes one of several kinds of bad units.
func randomUnit(r *rand.Rand, i int, c *tester.Channel, lun srp.LUN) ([]byte, error) {
	size := c.Geometry(lun).Block
	cdb, err := read(c, lun, 1)
	if err != nil {
		return nil, err
	}
	at := i % together * 2 * size // so that no two commands have the same memory
	list := srp.MemoryDescriptors{}.Append(c.Piece(at, size/2), c.Piece(at+size, size/2))
	var unit []byte
	switch r.IntN(5) {
	case 0:
		unit = make([]byte, 1+r.IntN(200))
		for i := range unit {
			unit[i] = byte(r.Uint32())
		}
		return unit, nil
	case 1:
		unit = c.Manage(srp.TaskFunction(r.Uint32()), lun, c.Tag())
	case 2:
		unit = c.Command(lun, cdb, srp.Buffer{}, srp.IndirectBuffer(c.Piece(tableOffset+4096, 32), list, uint32(size)))
	default:
		unit = c.Command(lun, cdb, srp.Buffer{}, srp.DirectBuffer(c.Piece(at, size)))
	}
	for range 1 + r.IntN(4) {
		if at := r.IntN(len(unit)); at != 0 || r.IntN(8) == 0 { // mostly, it stays a command
			unit[at] = byte(r.Uint32())
		}
	}
	switch r.IntN(4) {
	case 0:
		unit = unit[:1+r.IntN(len(unit))]
	case 1:
		unit = append(unit, make([]byte, r.IntN(300))...)
	}
	return unit, nil
}
