// SPDX-License-Identifier: Apache-2.0

package attacks

import (
	"context"
	"math/rand/v2"

	"github.com/ibnbd/ibnbd/conformance/srp/tester"
	"github.com/ibnbd/ibnbd/reference/scsi"
	"github.com/ibnbd/ibnbd/reference/srp"
)

const (
	randomRounds = 300 // units
	randomClause = "SRP-ROB-001"
)

// randomUnits sends units that are random, or whole ones with a few bytes changed, cut off or too long. The seed stands in the
// failure.
func randomUnits(ctx context.Context, t *tester.Tester) error {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	c, err := readyForRandom(ctx, t)
	if err != nil {
		return err // nothing random was sent so far
	}
	for i := range randomRounds {
		if c.Lost() {
			if c, err = readyForRandom(ctx, t); err != nil {
				return tester.Broken(randomClause, "a new login after %d random units of seed %d: %v", i, seed, err)
			}
		}
		unit, err := randomUnit(r, c, t.Target().LUNs[0])
		if err != nil {
			return err
		}
		if err := c.Post(unit); err != nil && !c.Lost() {
			return err
		}
		if c.Lost() {
			continue
		}
		if err := settle(ctx, c, i, t.Target().LUNs[0]); err != nil && !c.Lost() {
			return tester.Broken(randomClause, "after %d random units of seed %d: %v", i+1, seed, err)
		}
	}
	return nil
}

// readyForRandom logs in, with memory that units can name.
func readyForRandom(ctx context.Context, t *tester.Tester) (*tester.Channel, error) {
	c, err := t.Ready(ctx)
	if err != nil {
		return nil, err
	}
	_, err = c.Memory()
	return c, err
}

// settle waits until the target has answered a command behind a random one. It moves no data, and its tag is like no other, so that
// nobody takes something of the random one for its own. Its channel may end instead.
func settle(ctx context.Context, c *tester.Channel, i int, lun srp.LUN) error {
	const strange = 0x5e771e << 40
	_, err := c.Do(ctx, c.Tagged(srp.TagOf(strange|uint64(i)), lun, scsi.TestUnitReady.New(), srp.Buffer{}, srp.Buffer{}))
	return err
}

// randomUnit makes one of several kinds of bad units. None is a logout: nothing is answered behind that.
func randomUnit(r *rand.Rand, c *tester.Channel, lun srp.LUN) ([]byte, error) {
	for {
		unit, err := badUnit(r, c, lun)
		if err != nil || unit[0] != srp.TypeILogout {
			return unit, err
		}
	}
}

func badUnit(r *rand.Rand, c *tester.Channel, lun srp.LUN) ([]byte, error) {
	size := c.Geometry(lun).Block
	cdb, err := read(c, lun, 1)
	if err != nil {
		return nil, err
	}
	list := srp.MemoryDescriptors{}.Append(c.Piece(0, size/2), c.Piece(8192, size/2))
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
		unit = c.Command(lun, cdb, srp.Buffer{}, srp.DirectBuffer(c.Piece(0, size)))
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
