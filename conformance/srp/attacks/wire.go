// SPDX-License-Identifier: Apache-2.0

package attacks

import (
	"context"
	"time"

	"github.com/ibnbd/ibnbd/conformance/foreign"
	"github.com/ibnbd/ibnbd/conformance/srp/tester"
	"github.com/ibnbd/ibnbd/reference/rdma/soft"
	"github.com/ibnbd/ibnbd/reference/roce"
)

func wire() []Attack {
	return []Attack{
		{Name: "packets that are doubled, overtaken and delayed", Clauses: []string{"SRP-ROB-002"}, Does: foreign.Writes, Takes: 5 * time.Second, Run: disorder},
		{Name: "packets that are damaged", Clauses: []string{"SRP-ROB-002"}, Does: foreign.Writes, Takes: 5 * time.Second, Run: damage},
	}
}

// disorder writes and reads while packets come twice, late, or in another order.
func disorder(ctx context.Context, t *tester.Tester) error {
	return writesUnder(ctx, t, []soft.Fault{
		{Name: "doubled", Stage: soft.Made, Every: 3, Copies: 1},
		{Name: "doubled again", Stage: soft.Made, Every: 7, Copies: 1, Delay: time.Millisecond},
		{Name: "overtaken", Stage: soft.Made, Every: 11, Behind: 1, Match: first},
	})
}

// first matches packets that others follow.
func first(p *soft.Packet) bool {
	return p.OpCode() == roce.RCReadResponseFirst || p.OpCode() == roce.RCReadResponseMiddle
}

// damage changes a byte of data on its way, behind the checksum.
func damage(ctx context.Context, t *tester.Tester) error {
	return writesUnder(ctx, t, []soft.Fault{{Name: "damaged", Stage: soft.Sealed, Every: 9, Count: 6, Match: hasData, Change: func(p *soft.Packet) {
		data := p.Data()
		data[len(data)/2] ^= 0x10
	}}})
}

// hasData matches packets whose payload is blocks.
func hasData(p *soft.Packet) bool { return len(p.Data()) >= 512 }

// writesUnder writes and reads stamped blocks under faults of the wire.
func writesUnder(ctx context.Context, t *tester.Tester, faults []soft.Fault) error {
	c, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	for _, f := range faults {
		if _, err := c.Inject(f); err != nil {
			return err
		}
	}
	lun := t.Target().LUNs[0]
	blocks := uint32(max(1, min(32, c.Room(lun))))
	for i := range uint64(16) {
		if err := c.WriteAt(ctx, lun, 0, c.Stamped(lun, 0, blocks, 300+i)); err != nil {
			return err
		}
		if err := c.CheckStamped(ctx, lun, 0, blocks, 300+i); err != nil {
			return tester.Broken("SRP-ROB-002", "write %d: %v", i+1, err)
		}
	}
	return nil
}
