// SPDX-License-Identifier: Apache-2.0

package scsi

import (
	"bytes"
	"encoding/binary"
	"errors"
	"syscall"
)

// byteCheck is what a verification compares (SBC-3 5.22).
const (
	checkMedium = 0 // nothing: the medium must be readable
	checkBlocks = 1 // with data-out, byte by byte
)

// scratchSize is how much is read at once to be compared, and written at once by WRITE SAME. A slice of that size is aligned to
// pages, as backends demand.
const scratchSize = 64 << 10

// planIO checks what reads, writes and verifications have in common: address, number of blocks, and no protection.
func (t *Task) planIO() *Sense {
	f, u := t.form, t.unit
	if f.LBA.Size == 3 && t.blocks == 0 {
		t.blocks = 256 // SBC-3 5.8: of READ(6) and WRITE(6) alone
	}
	switch {
	case f.Protect.of(t.cdb[:]) != 0:
		s := f.Protect.invalid()
		return &s
	case !u.inside(t.lba, t.blocks):
		return &Sense{Key: IllegalRequest, Code: LBAOutOfRange}
	case t.blocks > u.maxTransfer():
		s := f.Count.invalid()
		return &s
	}
	return nil
}

func planRead(t *Task) *Sense {
	if s := t.planIO(); s != nil {
		return s
	}
	t.move(DataIn)
	return nil
}

func planWrite(t *Task) *Sense {
	if t.unit.props.ReadOnly {
		return &Sense{Key: DataProtect, Code: WriteProtected}
	}
	if s := t.planIO(); s != nil {
		return s
	}
	t.move(DataOut)
	return nil
}

func planVerify(t *Task) *Sense {
	switch t.form.Check.of(t.cdb[:]) {
	case checkMedium:
		return t.planIO()
	case checkBlocks:
		s := t.planIO()
		if s == nil {
			t.move(DataOut)
		}
		return s
	}
	s := t.form.Check.invalid()
	return &s
}

// move says that the blocks of the command are its data.
func (t *Task) move(d Direction) {
	if t.blocks == 0 {
		return
	}
	t.Direction, t.Length = d, int(int64(t.blocks)*t.unit.block)
}

// span is the byte range of the blocks.
func (t *Task) span() (offset, length int64) {
	return int64(t.lba) * t.unit.block, int64(t.blocks) * t.unit.block
}

func runRead(t *Task, data []byte) Result {
	u := t.unit
	if t.form.FUA.of(t.cdb[:]) != 0 && u.props.WriteCache {
		if err := u.backend.Flush(); err != nil { // SBC-3 5.9: what the medium has must not be older
			return failed(ioSense(err, WriteError))
		}
	}
	offset, _ := t.span()
	if len(data) == 0 {
		return Result{}
	}
	if err := u.backend.ReadAt(data, offset); err != nil {
		return failed(ioSense(err, UnrecoveredReadError))
	}
	return Result{N: len(data)}
}

func runWrite(t *Task, data []byte) Result {
	if len(data) == 0 {
		return Result{}
	}
	u := t.unit
	forced := t.form.FUA.of(t.cdb[:]) != 0
	offset, _ := t.span()
	err := u.backend.WriteAt(data, offset, forced && u.props.FUA)
	if err == nil && forced && u.props.WriteCache && !u.props.FUA {
		err = u.backend.Flush()
	}
	if err != nil {
		return failed(ioSense(err, WriteError))
	}
	return Result{}
}

func runVerify(t *Task, data []byte) Result {
	offset, length := t.span()
	buffer := make([]byte, min(length, scratchSize))
	for at := int64(0); at < length; {
		part := buffer[:min(length-at, scratchSize)]
		if err := t.unit.backend.ReadAt(part, offset+at); err != nil {
			return failed(ioSense(err, UnrecoveredReadError))
		}
		if t.Direction == DataOut {
			if i := difference(part, data[at:at+int64(len(part))]); i >= 0 {
				return failed(Sense{Key: Miscompare, Code: MiscompareDuringVerify, InformationValid: true, Information: uint64(at) + uint64(i)})
			}
		}
		at += int64(len(part))
	}
	return Result{}
}

// difference is the index of the first byte in which two slices of one length differ, or -1.
func difference(a, b []byte) int {
	if bytes.Equal(a, b) {
		return -1
	}
	for i := range a {
		if a[i] != b[i] {
			return i
		}
	}
	return -1
}

func planSync(t *Task) *Sense {
	if !t.unit.inside(t.lba, t.blocks) {
		return &Sense{Key: IllegalRequest, Code: LBAOutOfRange}
	}
	return nil
}

// runSync makes everything durable, whatever the range and whether or not the initiator would wait.
func runSync(t *Task, _ []byte) Result {
	if err := t.unit.backend.Flush(); err != nil {
		return failed(ioSense(err, WriteError))
	}
	return Result{}
}

func planWriteSame(t *Task) *Sense {
	f, u := t.form, t.unit
	var bad *Field
	switch {
	case u.props.ReadOnly:
		return &Sense{Key: DataProtect, Code: WriteProtected}
	case f.Protect.of(t.cdb[:]) != 0:
		bad = &f.Protect
	case f.Anchor.of(t.cdb[:]) != 0:
		bad = &f.Anchor
	case f.Unmap.of(t.cdb[:]) != 0 && !u.thin():
		bad = &f.Unmap
	case t.blocks == 0, t.blocks > u.maxWriteSame(): // the block limits say WSNZ
		bad = &f.Count
	case !u.inside(t.lba, t.blocks):
		return &Sense{Key: IllegalRequest, Code: LBAOutOfRange}
	case f.NoData.of(t.cdb[:]) == 0:
		t.Direction, t.Length = DataOut, int(u.block)
	}
	if bad != nil {
		s := bad.invalid()
		return &s
	}
	return nil
}

func runWriteSame(t *Task, data []byte) Result {
	u := t.unit
	offset, length := t.span()
	var err error
	if len(bytes.Trim(data, "\x00")) == 0 && u.props.MaxWriteZeroes > 0 {
		keep := t.form.Unmap.of(t.cdb[:]) == 0
		err = u.backend.WriteZeroes(offset, length, keep)
	} else {
		err = u.writeSame(data, offset, length)
	}
	if err != nil {
		return failed(ioSense(err, WriteError))
	}
	return Result{}
}

// writeSame fills a range with copies of one block; no block means zeros.
func (u *Unit) writeSame(block []byte, offset, length int64) error {
	buffer := make([]byte, min(length, scratchSize))
	for at := 0; at < len(buffer) && len(block) > 0; {
		at += copy(buffer[at:], block)
	}
	for length > 0 {
		part := buffer[:min(length, scratchSize)]
		if err := u.backend.WriteAt(part, offset, false); err != nil {
			return err
		}
		offset, length = offset+int64(len(part)), length-int64(len(part))
	}
	return nil
}

const (
	unmapHeader     = 8
	unmapDescriptor = 16

	// maxUnmapDescriptors is how many ranges one UNMAP may have.
	maxUnmapDescriptors = 256
)

func planUnmap(t *Task) *Sense {
	f, list := t.form, t.form.List.of(t.cdb[:])
	switch {
	case t.unit.props.ReadOnly:
		return &Sense{Key: DataProtect, Code: WriteProtected}
	case f.Anchor.of(t.cdb[:]) != 0:
		s := f.Anchor.invalid()
		return &s
	case list == 0: // SBC-3 5.28: no error
		return nil
	case list < unmapHeader:
		return &Sense{Key: IllegalRequest, Code: ParameterListLengthError}
	}
	t.Direction, t.Length = DataOut, int(list)
	return nil
}

// runUnmap checks all ranges before it deallocates the first.
func runUnmap(t *Task, data []byte) Result {
	if len(data) == 0 {
		return Result{}
	}
	ranges := data[unmapHeader:]
	size := int(binary.BigEndian.Uint16(data[2:]))
	switch {
	case size > len(ranges):
		return failed(Sense{Key: IllegalRequest, Code: ParameterListLengthError})
	case size/unmapDescriptor > maxUnmapDescriptors:
		return failed(parameter(2))
	}
	ranges = ranges[:size/unmapDescriptor*unmapDescriptor] // SBC-3 5.28.2: what follows the last whole one is ignored
	if s := t.unit.checkUnmap(ranges); s != nil {
		return failed(*s)
	}
	for d := ranges; len(d) > 0; d = d[unmapDescriptor:] {
		lba, blocks := unmapRange(d)
		if blocks == 0 {
			continue
		}
		if err := t.unit.backend.Discard(int64(lba)*t.unit.block, int64(blocks)*t.unit.block); err != nil {
			return failed(ioSense(err, WriteError))
		}
	}
	return Result{}
}

func unmapRange(d []byte) (lba, blocks uint64) {
	return binary.BigEndian.Uint64(d), uint64(binary.BigEndian.Uint32(d[8:]))
}

// checkUnmap holds the ranges of an UNMAP against the unit.
func (u *Unit) checkUnmap(ranges []byte) *Sense {
	var sum uint64
	for at := 0; at < len(ranges); at += unmapDescriptor {
		lba, blocks := unmapRange(ranges[at:])
		if !u.inside(lba, blocks) {
			return &Sense{Key: IllegalRequest, Code: LBAOutOfRange}
		}
		if sum += blocks; sum > u.maxUnmap() {
			s := parameter(uint16(unmapHeader + at + 8))
			return &s
		}
	}
	return nil
}

// parameter is the sense for a bad field at a byte of a parameter list.
func parameter(at uint16) Sense {
	return Sense{Key: IllegalRequest, Code: InvalidFieldInParameters, PointerValid: true, Pointer: at, Bit: WholeByte}
}

// ioSense says what an error of the backend means; medium is the code of an I/O error.
func ioSense(err error, medium Code) Sense {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return Sense{Key: DataProtect, Code: SpaceAllocationFailed}
	case errors.Is(err, syscall.EROFS), errors.Is(err, syscall.EPERM):
		return Sense{Key: DataProtect, Code: WriteProtected}
	case errors.Is(err, syscall.EIO), errors.Is(err, syscall.EBADMSG):
		return Sense{Key: MediumError, Code: medium}
	}
	return Sense{Key: HardwareError, Code: InternalTargetFailure}
}
