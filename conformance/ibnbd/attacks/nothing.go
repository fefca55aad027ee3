// SPDX-License-Identifier: Apache-2.0

package attacks

import (
	"context"
	"errors"
	"fmt"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// nothing is the clause about operations of no bytes.
const nothing = "IBNBD-IO-024"

// noBytesRead reads no bytes, from the base and from the end of the device.
func noBytesRead(ctx context.Context, t *tester.Tester) error {
	p, opened, err := t.NewSession().Ready(ctx, t.Target().Exports[0], ibnbd.ReadOnly)
	if err != nil {
		return err
	}
	for _, sector := range []uint64{t.Base(), opened.Capacity} {
		message := tester.Marshal(ibnbd.NewIORequest(ibnbd.OpRead, 0, opened.DeviceID, sector, 0))
		if err := isAnswered(ctx, p, p.Read(message, 0)); err != nil {
			return fmt.Errorf("read of no bytes at sector %d: %w", sector, err)
		}
	}
	return nil
}

// noBytes asks for every operation that changes blocks on no bytes, at blocks that are stamped.
func noBytes(ctx context.Context, t *tester.Tester) error {
	p, opened, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	return unchanged(ctx, nothing, p, opened.DeviceID, func(sector uint64) error {
		for _, op := range []ibnbd.Op{ibnbd.OpWrite, ibnbd.OpDiscard, ibnbd.OpWriteZeroes, ibnbd.OpSecureErase} {
			message := tester.Marshal(ibnbd.NewIORequest(op, 0, opened.DeviceID, t.Base()+sector, 0))
			if err := isAnswered(ctx, p, p.Write(message, nil)); err != nil {
				return fmt.Errorf("%s of no bytes: %w", op, err)
			}
		}
		return nil
	})
}

// isAnswered judges that a request of no bytes is answered somehow.
func isAnswered(ctx context.Context, p *tester.Path, r tester.Request) error {
	var errno ibtrs.Errno
	if _, err := p.Call(ctx, r, 0); err != nil && !errors.As(err, &errno) {
		return tester.Broken(nothing, "%s, it must be answered", tester.Outcome(err))
	}
	return nil
}
