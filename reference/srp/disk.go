// SPDX-License-Identifier: Apache-2.0

package srp

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"sync/atomic"
	"syscall"

	"github.com/ibnbd/ibnbd/reference/scsi"
)

// Disk is a logical unit of a port. It stays as long as the port does.
type Disk struct {
	port *RemotePort
	lun  LUN
	info atomic.Pointer[DiskInfo]
	zero []byte // a block
}

// DiskInfo is what a disk tells of itself.
type DiskInfo struct {
	Vendor, Product, Revision string
	Serial                    string // "" if it tells none
	ID                        string // by which paths to the same disk are found; NAA, in hexadecimal
	Size                      int64  // bytes
	BlockSize, PhysicalBlock  int    // bytes
	MaxIO                     int    // bytes of one read or write
	ReadOnly, Rotational      bool
	WriteCache                bool // volatile
	FUA                       bool // writes can be forced to the medium

	MaxDiscard     int64 // bytes of one command; 0: not supported
	MaxWriteZeroes int64
	unmap          bool // by UNMAP, else by WRITE SAME
}

// Op is what is done with a disk.
type Op uint8

// The operations.
const (
	OpRead Op = iota
	OpWrite
	OpFlush
	OpDiscard     // the contents of a range do not matter any more
	OpWriteZeroes // a range reads as zeroes
)

// String names the operation.
func (o Op) String() string {
	return [...]string{"read", "write", "flush", "discard", "write zeroes"}[o]
}

// ioRetries is how often I/O is sent again after unit attentions, and while the target is busy.
const ioRetries = 20

// IO is one operation on a disk, for those who keep many in flight. Its fields are the caller's until [Disk.Submit] is called, and again
// when Done is; it may then be used again.
type IO struct {
	Op     Op
	Offset int64  // bytes
	Length int64  // bytes; of OpRead and OpWrite it is that of Data, and not looked at
	Data   []byte // at most DiskInfo.MaxIO bytes; not to be touched until Done is called
	FUA    bool   // of OpWrite and OpWriteZeroes: durable when Done is called
	Keep   bool   // of OpWriteZeroes: storage stays allocated
	// Done is called when the operation has ended. It must not wait.
	Done func(*IO, error)

	disk    *Disk
	command Command
	cdb     [16]byte
	list    [scsi.UnmapSize]byte
	result  chan error // of who waits
}

// IOError is an operation that failed. To errors.Is it is an error number of the system.
type IOError struct {
	Disk           string
	Op             Op
	Offset, Length int64
	Err            error
}

// Error says what was attempted, where, and why it failed.
func (e *IOError) Error() string {
	return fmt.Sprintf("%s of %d bytes at %d on %s: %v", e.Op, e.Length, e.Offset, e.Disk, e.Err)
}

// Unwrap gives the cause.
func (e *IOError) Unwrap() error { return e.Err }

func (o *IO) failed(err error) error {
	return &IOError{o.disk.String(), o.Op, o.Offset, o.length(), err}
}

func (o *IO) length() int64 {
	if o.Op == OpRead || o.Op == OpWrite {
		return int64(len(o.Data))
	}
	return o.Length
}

// String names the disk by its port and number.
func (d *Disk) String() string { return fmt.Sprintf("logical unit %s of %s", d.lun, d.port) }

// Port is whose disk it is.
func (d *Disk) Port() *RemotePort { return d.port }

// LUN is the disk's name at its port.
func (d *Disk) LUN() LUN { return d.lun }

// Info is what the disk has told of itself when it was last looked at.
func (d *Disk) Info() DiskInfo { return *d.info.Load() }

// Size is the disk's size in bytes.
func (d *Disk) Size() int64 { return d.info.Load().Size }

// BlockSize is the unit of all I/O, in bytes.
func (d *Disk) BlockSize() int { return d.info.Load().BlockSize }

// Submit begins an operation; o.Done is called when it has ended. When Submit returns an error, Done is not called.
func (d *Disk) Submit(o *IO) error {
	o.disk = d
	if err := d.prepare(o); err != nil {
		return o.failed(err)
	}
	if err := d.port.Submit(&o.command); err != nil {
		return o.failed(err)
	}
	return nil
}

// Cancel gives an operation up. Done is called when it cannot take effect any more.
func (d *Disk) Cancel(o *IO) { d.port.Cancel(&o.command) }

// prepare checks an operation and makes its command.
func (d *Disk) prepare(o *IO) error {
	info := d.info.Load()
	if err := info.check(o); err != nil {
		return err
	}
	c := &o.command
	c.LUN, c.Out, c.In, c.Retries, c.owner, c.Done = d.lun, nil, nil, ioRetries, o, commandOfIO
	lba, blocks := uint64(o.Offset)/uint64(info.BlockSize), uint64(o.length())/uint64(info.BlockSize)
	clear(o.cdb[:])
	var err error
	switch o.Op {
	case OpRead:
		c.In = o.Data
		c.CDB, err = ioForm(scsi.Read10, scsi.Read16, lba, blocks).AppendIO(o.cdb[:0], lba, uint32(blocks), false)
	case OpWrite:
		c.Out = o.Data
		c.CDB, err = ioForm(scsi.Write10, scsi.Write16, lba, blocks).AppendIO(o.cdb[:0], lba, uint32(blocks), o.FUA && info.FUA)
	case OpFlush:
		c.CDB, err = scsi.SyncCache10.AppendIO(o.cdb[:0], 0, 0, false)
	case OpDiscard:
		if info.unmap {
			c.Out = scsi.AppendUnmap(o.list[:0], lba, uint32(blocks))
			c.CDB, err = unmapBlock(o.cdb[:0], len(c.Out))
			break
		}
		c.CDB, err = d.writeSame(o, lba, uint32(blocks), true)
	case OpWriteZeroes:
		c.CDB, err = d.writeSame(o, lba, uint32(blocks), info.MaxDiscard > 0 && !o.Keep)
	}
	return err
}

// ioForm is the shorter form if address and number fit into it.
func ioForm(short, long *scsi.Form, lba, blocks uint64) *scsi.Form {
	if lba>>32 == 0 && blocks>>16 == 0 {
		return short
	}
	return long
}

func unmapBlock(b []byte, list int) ([]byte, error) {
	b = append(b, scsi.OpUnmap, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	binary.BigEndian.PutUint16(b[7:], uint16(list))
	return b, nil
}

// writeSame writes a block of zeroes to each block.
func (d *Disk) writeSame(o *IO, lba uint64, blocks uint32, unmap bool) ([]byte, error) {
	o.command.Out = d.zero
	cdb, err := scsi.WriteSame16.AppendIO(o.cdb[:0], lba, blocks, false)
	if err == nil && unmap {
		err = scsi.WriteSame16.Put(cdb, scsi.WriteSame16.Unmap, 1)
	}
	return cdb, err
}

// check refuses what the disk cannot do.
func (i *DiskInfo) check(o *IO) error {
	length, block := o.length(), int64(i.BlockSize)
	if o.Op == OpFlush {
		return nil
	}
	limit := int64(i.MaxIO)
	switch o.Op {
	case OpDiscard:
		limit = i.MaxDiscard
	case OpWriteZeroes:
		limit = i.MaxWriteZeroes
	}
	switch {
	case limit == 0:
		return fmt.Errorf("the disk does not support it: %w", syscall.EOPNOTSUPP)
	case i.ReadOnly && o.Op != OpRead:
		return fmt.Errorf("the disk is read-only: %w", syscall.EROFS)
	case o.Offset < 0 || length <= 0 || o.Offset%block != 0 || length%block != 0:
		return fmt.Errorf("offset and length must be multiples of the block size %d, and the length positive: %w", block, syscall.EINVAL)
	case o.Offset > i.Size || length > i.Size-o.Offset:
		return fmt.Errorf("the disk has %d bytes: %w", i.Size, syscall.EIO)
	case length > limit:
		return fmt.Errorf("at most %d bytes in one operation: %w", limit, syscall.EINVAL)
	}
	return nil
}

// commandOfIO ends an operation with its command.
func commandOfIO(c *Command) {
	o := c.owner.(*IO)
	err := c.Failure()
	if err == nil && c.InResidual+c.OutResidual > 0 {
		err = fmt.Errorf("%d bytes were not moved: %w", c.InResidual+c.OutResidual, syscall.EIO)
	}
	if err != nil {
		err = o.failed(err)
	}
	o.Done(o, err)
}

func tellResult(o *IO, err error) { o.result <- err }

// do sends one operation and waits for its end. When ctx ends first the operation is aborted, and do returns when it cannot take effect
// any more.
func (d *Disk) do(ctx context.Context, kind Op, data []byte, offset, length int64, fua, keep bool) error {
	o, ok := d.port.spare.Get().(*IO)
	if !ok {
		o = &IO{Done: tellResult, result: make(chan error, 1)}
	}
	defer d.port.spare.Put(o)
	o.Op, o.Data, o.Offset, o.Length, o.FUA, o.Keep = kind, data, offset, length, fua, keep
	defer func() { o.Data, o.command.In, o.command.Out = nil, nil, nil }()
	if err := d.Submit(o); err != nil {
		return err
	}
	select {
	case err := <-o.result:
		return err
	case <-ctx.Done():
		d.port.give(&o.command, ctx.Err())
		return <-o.result
	}
}

// pieces does something with a range in pieces of at most most bytes; done is what went well, from the start.
func pieces(offset, length, most int64, do func(at, n int64) error) (done int64, err error) {
	for done < length {
		n := min(length-done, most)
		if err := do(offset+done, n); err != nil {
			return done, err
		}
		done += n
	}
	return done, nil
}

// ReadAtContext reads len(p) bytes, a multiple of the block size, from offset, which is one too. Like io.ReaderAt it gives io.EOF when the
// disk ends before p is full. While the port is blocked it waits.
func (d *Disk) ReadAtContext(ctx context.Context, p []byte, offset int64) (int, error) {
	info := d.info.Load()
	if offset >= info.Size && len(p) > 0 {
		return 0, io.EOF
	}
	whole := p[:min(int64(len(p)), max(info.Size-offset, 0))]
	n, err := d.transfer(ctx, info, OpRead, whole, offset, false)
	if err == nil && len(whole) < len(p) {
		err = io.EOF
	}
	return n, err
}

// WriteAtContext writes p, under the same rules. With fua it returns when the data is durable. When ctx ends first, what was not written
// when it returns is not going to be.
func (d *Disk) WriteAtContext(ctx context.Context, p []byte, offset int64, fua bool) (int, error) {
	info := d.info.Load()
	n, err := d.transfer(ctx, info, OpWrite, p, offset, fua)
	if err == nil && fua && info.WriteCache && !info.FUA {
		err = d.Flush(ctx)
	}
	return n, err
}

func (d *Disk) transfer(ctx context.Context, info *DiskInfo, kind Op, p []byte, offset int64, fua bool) (int, error) {
	if n := len(p); n > 0 && n <= info.MaxIO { // without what makes a closure
		if err := d.do(ctx, kind, p, offset, 0, fua, false); err != nil {
			return 0, err
		}
		return n, nil
	}
	n, err := pieces(offset, int64(len(p)), int64(info.MaxIO), func(at, n int64) error {
		return d.do(ctx, kind, p[at-offset:at-offset+n], at, 0, fua, false)
	})
	return int(n), err
}

// ReadAt is ReadAtContext without a context. It implements io.ReaderAt.
func (d *Disk) ReadAt(p []byte, offset int64) (int, error) {
	return d.ReadAtContext(context.Background(), p, offset)
}

// WriteAt is WriteAtContext without a context. It implements io.WriterAt.
func (d *Disk) WriteAt(p []byte, offset int64) (int, error) {
	return d.WriteAtContext(context.Background(), p, offset, false)
}

// Flush makes all writes durable that were acknowledged before. A disk without volatile cache has nothing to do.
func (d *Disk) Flush(ctx context.Context) error {
	if !d.info.Load().WriteCache {
		return nil
	}
	return d.do(ctx, OpFlush, nil, 0, 0, false, false)
}

// Discard says that the contents of a range do not matter any more.
func (d *Disk) Discard(ctx context.Context, offset, length int64) error {
	return d.onRange(ctx, OpDiscard, offset, length, d.info.Load().MaxDiscard, false)
}

// WriteZeroes makes a range read as zeroes; with keep its storage stays allocated.
func (d *Disk) WriteZeroes(ctx context.Context, offset, length int64, keep bool) error {
	return d.onRange(ctx, OpWriteZeroes, offset, length, d.info.Load().MaxWriteZeroes, keep)
}

func (d *Disk) onRange(ctx context.Context, kind Op, offset, length, most int64, keep bool) error {
	if most == 0 || length == 0 {
		most = max(length, 1) // the check refuses it
	}
	_, err := pieces(offset, length, most, func(at, n int64) error {
		return d.do(ctx, kind, nil, at, n, false, keep)
	})
	return err
}

// Reset resets the logical unit.
func (d *Disk) Reset(ctx context.Context) error { return d.port.Reset(ctx, d.lun) }
