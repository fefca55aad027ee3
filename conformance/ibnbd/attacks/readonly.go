// SPDX-License-Identifier: Apache-2.0

package attacks

import (
	"context"
	"fmt"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
)

// changeReadOnly tries every operation that changes blocks through a mapping that was opened for reading: as it was opened, and after
// an OPEN for writing of the same device, while another session writes it.
func changeReadOnly(ctx context.Context, t *tester.Tester) error {
	writer, device, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	export := t.Target().Exports[0]
	reader, opened, err := t.NewSession().Ready(ctx, export, ibnbd.ReadOnly)
	if err != nil {
		return err
	}
	tries := func(when string) error {
		for _, op := range []ibnbd.Op{ibnbd.OpWrite, ibnbd.OpDiscard, ibnbd.OpWriteZeroes, ibnbd.OpSecureErase} {
			for _, flags := range flagSets {
				if err := unchangedBy(ctx, writer, device.DeviceID, reader, opened.DeviceID, op, flags); err != nil {
					return fmt.Errorf("%s with %s on a mapping opened for reading%s: %w", op, flagNames(flags), when, err)
				}
			}
		}
		return nil
	}
	if err := tries(""); err != nil {
		return err
	}
	again, err := reader.Open(ctx, export, ibnbd.ReadWrite)
	if err != nil || again.DeviceID != opened.DeviceID {
		return nil // what a repeated OPEN must be answered with is decided elsewhere
	}
	return tries(", and again for writing beside a writer")
}

// unchangedBy stamps blocks, has the reader try to change them, and looks whether they are as before. Whether the answer is an error
// is decided elsewhere.
func unchangedBy(ctx context.Context, writer *tester.Path, device uint32, reader *tester.Path, seen uint32, op ibnbd.Op, flags uint32) error {
	var data []byte
	if op == ibnbd.OpWrite {
		data = make([]byte, readSize)
	}
	return unchanged(ctx, "IBNBD-IO-015", writer, device, func(sector uint64) error {
		message := ibnbd.NewIORequest(op, flags, seen, reader.Base()+sector, readSize)
		_, err := reader.Do(ctx, reader.Write(tester.Marshal(message), data))
		return err
	})
}
