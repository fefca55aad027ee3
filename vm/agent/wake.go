// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/ibnbd/ibnbd/vm/agent/internal/wire"
)

// seedSize is that of the state of the kernel's random number generator, in bytes.
const seedSize = 32

// Wake is for a guest whose machine goes on from a saved state, as others may: it makes the guest's random numbers its own,
// and gives it the time of day.
func (c *Client) Wake(ctx context.Context) error {
	seed := make([]byte, seedSize)
	_, _ = rand.Read(seed) // never fails
	return c.call(ctx, wire.OpWake, wire.Wake{Seed: seed, Now: time.Now().UnixNano()}, nil, nil)
}
