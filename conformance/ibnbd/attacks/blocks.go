// SPDX-License-Identifier: Apache-2.0

package attacks

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

func blocks() []Attack {
	return []Attack{
		{Name: "I/O to devices that are not open", Does: Writes, Clauses: []string{"IBNBD-IO-002"}, Run: closedDevices},
		{Name: "I/O to the number of a device that was closed beside another", Clauses: []string{"IBNBD-OPEN-029", "IBNBD-OPEN-030"}, Run: oneOfTwoClosed},
		{Name: "IO message whose size differs from its data", Does: WritesAnywhere, Clauses: []string{"IBNBD-IO-003"}, Run: otherSize},
		{Name: "flush with any sector", Clauses: []string{"IBNBD-IO-004"}, Run: flushAnywhere},
		{Name: "read with the flag FUA", Clauses: []string{"IBNBD-IO-010"}, Instead: SurvivalWarning, Run: fuaRead},
		{Name: "IO message with an unknown operation", Does: Writes, Clauses: []string{"IBNBD-IO-011"}, Instead: SurvivalWarning, Run: unknownOperations},
		{Name: "write in a transport read", Does: Writes, Clauses: []string{"IBNBD-IO-013"}, Run: writeAsRead},
		{Name: "read in a transport write", Clauses: []string{"IBNBD-IO-014"}, Run: readAsWrite},
		{Name: "write on a read-only mapping", Does: Writes, Clauses: []string{"IBNBD-IO-015", "IBNBD-IO-029"}, Run: writeReadOnly},
		{Name: "every change on a read-only mapping", Does: Writes, Clauses: []string{"IBNBD-IO-015"}, Run: changeReadOnly},
		{Name: "I/O beyond the end of a device", Does: WritesAnywhere, Clauses: []string{"IBNBD-IO-016"}, Run: beyondEnd},
		{Name: "secure erase", Does: Writes, Clauses: []string{"IBTRS-IMM-005"}, Run: eraseForGood},
	}
}

// eraseForGood asks for what few disks can do. A kernel has numbers for that which do not fit on the wire.
func eraseForGood(ctx context.Context, t *tester.Tester) error {
	p, opened, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	message := tester.Marshal(ibnbd.NewIORequest(ibnbd.OpSecureErase, 0, opened.DeviceID, t.Base(), readSize))
	_, err = p.Call(ctx, p.Write(message, nil), 0)
	if err == nil || errors.Is(err, ibtrs.EOPNOTSUPP) {
		return nil
	}
	return tester.Broken("IBTRS-IMM-005", "a secure erase: %s, it must succeed or be EOPNOTSUPP", tester.Outcome(err))
}

func closedDevices(ctx context.Context, t *tester.Tester) error {
	p, opened, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	if err := p.CloseDevice(ctx, opened.DeviceID); err != nil {
		return err
	}
	for _, id := range []uint32{opened.DeviceID, opened.DeviceID + 1, nobody, 1 << 31, math.MaxUint32} {
		_, read := p.ReadAt(ctx, id, 0, readSize)
		write := p.WriteAt(ctx, id, 0, make([]byte, readSize))
		for _, err := range []error{read, write} {
			if err := answered("IBNBD-IO-002", err, ibtrs.ENOTCONN); err != nil {
				return fmt.Errorf("device %d: %w", id, err)
			}
		}
	}
	return nil
}

// otherSize declares more and less than is sent, and than there is room for.
func otherSize(ctx context.Context, t *tester.Tester) error {
	p, opened, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	const length = 4096
	for _, size := range []uint32{0, 512, 2 * length, math.MaxUint32} {
		read := tester.Marshal(ibnbd.NewIORequest(ibnbd.OpRead, 0, opened.DeviceID, t.Base(), size))
		write := tester.Marshal(ibnbd.NewIORequest(ibnbd.OpWrite, 0, opened.DeviceID, t.Base(), size))
		for _, r := range []tester.Request{p.Read(read, length), p.Write(write, make([]byte, length))} {
			_, err := p.Call(ctx, r, 0)
			if err := answered("IBNBD-IO-003", err, ibtrs.EINVAL); err != nil {
				return fmt.Errorf("size %d with %d bytes of data: %w", size, length, err)
			}
		}
	}
	return nil
}

func flushAnywhere(ctx context.Context, t *tester.Tester) error {
	p, opened, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	for _, sector := range []uint64{0, 1, 1 << 40, math.MaxUint64} {
		for _, flags := range []uint32{0, ibnbd.FlagSync, ibnbd.FlagSync | ibnbd.FlagFUA} {
			_, err := p.Call(ctx, p.Read(tester.Marshal(ibnbd.NewIORequest(ibnbd.OpFlush, flags, opened.DeviceID, sector, 0)), 0), 0)
			if err := succeeded("IBNBD-IO-004", err); err != nil {
				return fmt.Errorf("flush of sector %#x with flags %#x: %w", sector, flags, err)
			}
		}
	}
	return nil
}

func fuaRead(ctx context.Context, t *tester.Tester) error {
	p, opened, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	_, err = p.Call(ctx, p.Read(tester.Marshal(ibnbd.NewIORequest(ibnbd.OpRead, ibnbd.FlagSync|ibnbd.FlagFUA, opened.DeviceID, 0, readSize)), readSize), readSize)
	return succeeded("IBNBD-IO-010", err)
}

// unchanged writes stamped blocks, does something, and looks whether they are still there.
func unchanged(ctx context.Context, clause string, p *tester.Path, device uint32, do func(sector uint64) error) error {
	const sector, size = 56, 4096
	if err := p.WriteAt(ctx, device, sector, tester.Stamped(sector, size, 5)); err != nil {
		return err
	}
	if err := do(sector); err != nil {
		return err
	}
	return succeeded(clause, p.CheckStamped(ctx, device, sector, size, 5))
}

func unknownOperations(ctx context.Context, t *tester.Tester) error {
	p, opened, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	return unchanged(ctx, "IBNBD-IO-011", p, opened.DeviceID, func(sector uint64) error {
		for _, op := range []ibnbd.Op{6, 7, 0x80, 0xFF} {
			message := tester.Marshal(ibnbd.NewIORequest(op, 0, opened.DeviceID, t.Base()+sector, readSize))
			for _, r := range []tester.Request{p.Write(message, make([]byte, readSize)), p.Read(message, readSize)} {
				a, err := p.Do(ctx, r)
				if err != nil || a.Errno != ibtrs.EOPNOTSUPP || !a.Untouched(0) {
					return tester.Broken("IBNBD-IO-011", "operation %d: %s, errno %s, data came: %t; it must be EOPNOTSUPP",
						op, tester.Outcome(err), a.Errno, !a.Untouched(0))
				}
			}
		}
		return nil
	})
}

func writeAsRead(ctx context.Context, t *tester.Tester) error {
	p, opened, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	return unchanged(ctx, "IBNBD-IO-013", p, opened.DeviceID, func(sector uint64) error {
		_, err := p.Call(ctx, p.Read(tester.Marshal(ibnbd.NewIORequest(ibnbd.OpWrite, 0, opened.DeviceID, t.Base()+sector, readSize)), readSize), 0)
		return answered("IBNBD-IO-013", err, ibtrs.EINVAL)
	})
}

func readAsWrite(ctx context.Context, t *tester.Tester) error {
	p, opened, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	message := tester.Marshal(ibnbd.NewIORequest(ibnbd.OpRead, 0, opened.DeviceID, 0, readSize))
	_, err = p.Call(ctx, p.Write(message, make([]byte, readSize)), 0)
	return answered("IBNBD-IO-014", err, ibtrs.EINVAL)
}

func writeReadOnly(ctx context.Context, t *tester.Tester) error {
	writer, device, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	reader, opened, err := t.NewSession().Ready(ctx, t.Target().Exports[0], ibnbd.ReadOnly)
	if err != nil {
		return err
	}
	var answer error
	err = unchanged(ctx, "IBNBD-IO-015", writer, device.DeviceID, func(sector uint64) error {
		answer = reader.WriteAt(ctx, opened.DeviceID, sector, make([]byte, readSize))
		return nil
	})
	if err != nil {
		return err
	}
	if err := failed("IBNBD-IO-015", answer); err != nil {
		return err
	}
	return answered("IBNBD-IO-029", answer, ibtrs.EROFS)
}

// oneOfTwoClosed uses the id of a device that was closed, while another is open.
func oneOfTwoClosed(ctx context.Context, t *tester.Tester) error {
	p, first, err := t.NewSession().Ready(ctx, t.Target().Exports[0], ibnbd.ReadOnly)
	if err != nil {
		return err
	}
	second, err := p.Open(ctx, t.Target().Exports[1], ibnbd.ReadOnly)
	if err != nil {
		return err
	}
	if first.DeviceID == second.DeviceID && t.Target().Exports[0] != t.Target().Exports[1] {
		return tester.Broken("IBNBD-OPEN-029", "both devices have number %d", first.DeviceID)
	}
	if err := p.CloseDevice(ctx, first.DeviceID); err != nil {
		return err
	}
	_, err = p.ReadAt(ctx, first.DeviceID, 0, readSize)
	if err := answered("IBNBD-OPEN-030", err, ibtrs.ENOTCONN); err != nil {
		return err
	}
	if first.DeviceID == second.DeviceID {
		return nil // one export alone was named, so that both were the same mapping
	}
	_, err = p.ReadAt(ctx, second.DeviceID, 0, readSize)
	return succeeded("IBNBD-OPEN-030", err)
}

// beyondEnd reads and writes over the end of the device, and far behind it.
func beyondEnd(ctx context.Context, t *tester.Tester) error {
	p, opened, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	const size = 4096
	capacity := opened.Capacity - t.Base()
	last := capacity - size/512
	if err := p.WriteAt(ctx, opened.DeviceID, last, tester.Stamped(last, size, 6)); err != nil {
		return fmt.Errorf("write of the last blocks: %w", err)
	}
	far := []uint64{last + 1, capacity, capacity + 8, 1 << 54, math.MaxUint64 - 7}
	for _, bits := range []int{23, 31, 32, 55} { // where numbers of sectors or bytes are cut that are kept in 32 or 64 bits
		if sector := uint64(1) << bits; sector > capacity {
			far = append(far, sector)
		}
	}
	for _, sector := range far {
		_, read := p.ReadAt(ctx, opened.DeviceID, sector, size)
		write := p.WriteAt(ctx, opened.DeviceID, sector, make([]byte, size))
		for _, err := range []error{read, write} {
			if err := failed("IBNBD-IO-016", err); err != nil {
				return fmt.Errorf("%d bytes from sector %d of %d: %w", size, t.Base()+sector, opened.Capacity, err)
			}
		}
	}
	return succeeded("IBNBD-IO-016", p.CheckStamped(ctx, opened.DeviceID, last, size, 6))
}
