// SPDX-License-Identifier: Apache-2.0

package nbd

import "context"

// zeroes are what is written where a disk has no command for it.
var zeroes [1 << 20]byte

// zero makes a range read as zeroes. Linux sends the command also where it was not offered: a device node that once had a disk with
// it keeps the limit for the next disk (drivers/block/nbd.c of 6.12 sets max_write_zeroes_sectors, and never takes it back), and does
// not fall back to writes when the command fails.
func (t *transmission) zero(ctx context.Context, offset, length int64, keep bool) error {
	if t.info.WriteZeroes {
		return t.disk.WriteZeroes(ctx, offset, length, keep)
	}
	for end := offset + length; offset < end; {
		n := min(end-offset, int64(len(zeroes)))
		if err := t.disk.WriteAt(ctx, zeroes[:n], offset, false); err != nil {
			return err
		}
		offset += n
	}
	return nil
}
