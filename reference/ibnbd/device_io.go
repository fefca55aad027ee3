// SPDX-License-Identifier: Apache-2.0

package ibnbd

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// IO is one operation on a device, for those who keep many in flight. Its fields are the caller's until [Device.Submit]
// is called, and again when Done is; it may then be used again.
type IO struct {
	Op     Op
	Offset int64  // bytes
	Length int64  // bytes; of OpRead and OpWrite it is that of Data, and not looked at
	Data   []byte // at most Device.MaxIO bytes; not to be touched until Done is called
	Flags  uint32 // FlagFUA, FlagPreflush, FlagNoUnmap
	// Done is called when the operation has ended. It runs in a goroutine of the transport and must not wait.
	Done func(op *IO, err error)

	device  *Device
	request ibtrs.Request
	header  [IORequestSize]byte
	place   place[*IO]
	ordered bool          // place is that of the device's order
	turn    chan struct{} // one token: earlier operations on the same blocks have ended
	result  chan error    // one place; used by do
}

// OpError is an operation that failed. To errors.Is it is the Errno of the server, or EIO when the transport failed.
type OpError struct {
	Device string
	Op     Op
	Offset int64
	Length int64
	Err    error
}

// Error says what was attempted, where, and why it failed.
func (e *OpError) Error() string {
	return fmt.Sprintf("%s of %d bytes at %d on device %q: %v", e.Op, e.Length, e.Offset, e.Device, e.Err)
}

// Unwrap gives the cause.
func (e *OpError) Unwrap() error { return e.Err }

func (d *Device) opError(op *IO, err error) error {
	return &OpError{d.path, op.Op, op.Offset, op.length(), err}
}

// failed is how an operation fails. Of each that fails it is called once.
func (d *Device) failed(op *IO, err error) error { return d.noted(op, d.opError(op, err)) }

// noted takes note of the error that an operation has ended with, if any.
func (d *Device) noted(op *IO, err error) error {
	if err != nil {
		d.failures.note(op.Op, err)
		d.client.failures.note(op.Op, err)
	}
	return err
}

func (op *IO) length() int64 {
	if op.Op == OpRead || op.Op == OpWrite {
		return int64(len(op.Data))
	}
	return op.Length
}

// asIO makes EIO of what is wrong with the transport; a server's own number and the end of a context stay what they are.
func asIO(err error) error {
	var errno ibtrs.Errno
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if errors.As(err, &errno) && errno != ibtrs.ECONNABORTED && errno != ibtrs.ENOTCONN && errno != ibtrs.ECONNRESET {
		return err
	}
	return fmt.Errorf("%w: %w", ibtrs.EIO, err)
}

// Submit begins an operation; op.Done is called when it has ended. ctx bounds the wait for a place in the queue, and for
// earlier writes to the same blocks, alone. When Submit returns an error, Done is not called.
func (d *Device) Submit(ctx context.Context, op *IO) error {
	if err := d.begin(op); err != nil {
		return d.failed(op, err)
	}
	if !d.enter(op) {
		go d.submitLater(ctx, op)
		return nil
	}
	if err := d.send(ctx, op); err != nil {
		return d.failed(op, err)
	}
	return nil
}

// submitLater sends an operation when it is its turn.
func (d *Device) submitLater(ctx context.Context, op *IO) {
	err := d.await(ctx, op)
	if err == nil {
		err = d.send(ctx, op)
	}
	if err != nil {
		op.Done(op, d.failed(op, err))
	}
}

// begin counts an operation and makes its message.
func (d *Device) begin(op *IO) error {
	op.ordered = false
	d.inflight.Add(1) // first, so that a device that is given up after the look at its state knows of it
	err := d.prepare(op)
	if err != nil {
		d.ended(op)
	}
	return err
}

// enter puts an operation into the order of the device, and reports whether it may be sent at once. What was sent for an
// application that is gone can take effect as long as it is in the order, so reads wait as well (Clause IBNBD-FAIL-029). A
// flush promises nothing of it.
func (d *Device) enter(op *IO) bool {
	if op.Op == OpFlush || d.client.cfg.Rules.NoOrder {
		return true
	}
	if op.turn == nil {
		op.turn = make(chan struct{}, 1)
	}
	op.place.offset, op.place.length = op.Offset, op.length()
	if op.Op == OpRead {
		op.ordered = !d.order.read(&op.place, op)
		return !op.ordered
	}
	op.ordered = true
	return d.order.enter(&op.place, op)
}

// await waits until an operation may be sent. After an error it has ended.
func (d *Device) await(ctx context.Context, op *IO) error {
	select {
	case <-op.turn:
		return nil
	case <-ctx.Done():
	}
	ready, waited := d.order.quit(&op.place)
	letBegin(ready)
	if !waited {
		<-op.turn // it is its turn at the same moment
	}
	d.ended(op)
	return ctx.Err()
}

// send hands an operation to the transport. After an error it has ended.
func (d *Device) send(ctx context.Context, op *IO) error {
	op.request.Done = finished
	if err := d.client.session.Start(ctx, &op.request); err != nil {
		d.ended(op)
		return asIO(err)
	}
	return nil
}

// finished is called when an operation that was sent has ended, whether or not anybody waits for it.
func finished(r *ibtrs.Request, err error) {
	op := r.Owner.(*IO)
	d := op.device
	d.ended(op)
	if err != nil {
		d.doubt(op, err)
		err = d.opError(op, asIO(err))
	}
	if op.result == nil { // else who waits for it takes note, as long as somebody does
		_ = d.noted(op, err)
	}
	op.Done(op, err)
}

// doubt gives the session up when an original server does not know the device. If a path was connected since the device was
// opened, the server may have lost all paths at some time without the client noticing, and have made a new session for the path,
// since it does not know the first-connection flag: then all ids mean nothing, or something else. A server that took this device
// away alone is asked for it again, once.
func (d *Device) doubt(op *IO, err error) {
	c, m := d.client, d.mapping.Load()
	unknown := errors.Is(err, ibtrs.ENOTCONN) && op.request.Epoch == m.epoch
	if !unknown || m.agreement.FirstFlag() || c.session.Connects() == m.connects || c.cfg.Rules.NoRemap {
		return
	}
	c.cfg.Log.Warn("the server has forgotten a device", "device", d.path, "session", c.session.Name())
	c.begin(func() { c.session.Renew(m.epoch) })
}

// ended says that an operation cannot take effect any more.
func (d *Device) ended(op *IO) {
	if op.ordered {
		letBegin(d.order.leave(&op.place))
	}
	d.inflight.Add(-1)
	d.settle()
}

// letBegin tells operations that it is their turn.
func letBegin(ready *place[*IO]) {
	for ready != nil {
		next := ready.ready
		ready.ready = nil
		ready.op.turn <- struct{}{}
		ready = next
	}
}

// prepare checks an operation and makes its message.
func (d *Device) prepare(op *IO) error {
	rules := &d.client.cfg.Rules
	if s := d.State(); s != DeviceOpen && !rules.QueueWhenClosed {
		return fmt.Errorf("the device is %s: %w", s, ibtrs.EIO)
	}
	m := d.mapping.Load()
	length := op.length()
	if err := d.check(m, op, length); err != nil {
		return err
	}
	flags := op.Flags &^ opMask
	if op.Op == OpRead || flags&(FlagFUA|FlagPreflush) != 0 {
		flags |= FlagSync
	}
	message := NewIORequest(op.Op, flags, m.id, uint64(op.Offset)/SectorSize, uint32(length))
	if op.Op == OpFlush {
		message = NewIORequest(OpFlush, FlagSync|FlagFUA, m.id, FlushSector, 0)
	}
	header, _ := message.AppendBinary(op.header[:0])
	op.device = d
	r := &op.request
	r.Revoked = &d.revoked
	r.Owner, r.Epoch, r.Header, r.Direction, r.Data = op, m.epoch, header, op.Op.Direction(), nil
	if rules.FlushAsWrite && op.Op == OpFlush {
		r.Direction = ibtrs.Write
	}
	if op.Op == OpRead || op.Op == OpWrite {
		r.Data = op.Data
	}
	return nil
}

// check refuses what the device cannot do.
func (d *Device) check(m *mapping, op *IO, length int64) error {
	block := int64(max(m.response.LogicalBlockSize, 1))
	rules := &d.client.cfg.Rules
	switch {
	case op.Op == OpFlush:
		return nil
	case op.Offset < 0 || length < 0 || op.Offset%block != 0 || length%block != 0:
		return fmt.Errorf("offset and length must be multiples of the block size %d: %w", block, ibtrs.EINVAL)
	case op.Offset > m.size || length > m.size-op.Offset:
		return fmt.Errorf("the device has %d bytes: %w", m.size, ibtrs.EIO)
	case d.access == ReadOnly && op.Op != OpRead:
		return fmt.Errorf("the device is mapped read-only: %w", ibtrs.EROFS)
	case rules.NoLimits:
		return nil
	}
	if limit := d.limit(m, op.Op); limit == 0 {
		return errNotSupported
	} else if length > limit {
		return fmt.Errorf("at most %d bytes in one request: %w", limit, ibtrs.EINVAL)
	}
	return nil
}

var errNotSupported = fmt.Errorf("the server does not support it: %w", ibtrs.EOPNOTSUPP)

// limit is the number of bytes that one request of an operation may be about; 0 means that it is not supported.
func (d *Device) limit(m *mapping, op Op) int64 {
	const largest = 1<<32 - 4096 // the size of a message has 32 bits
	switch op {
	case OpRead, OpWrite:
		return int64(m.maxIO)
	case OpDiscard:
		return min(int64(m.response.MaxDiscardSectors)*SectorSize, largest)
	case OpSecureErase:
		if m.response.SecureErase != 0 {
			return largest
		}
	case OpWriteZeroes:
		if d.client.cfg.Rules.WriteZeroesAnyway {
			return largest
		}
		return min(int64(m.traits.WriteZeroesSectors)*SectorSize, largest)
	}
	return 0
}

// do sends one operation and waits for it.
func (d *Device) do(ctx context.Context, kind Op, data []byte, offset, length int64, flags uint32) error {
	op, ok := d.client.spare.Get().(*IO)
	if !ok {
		op = &IO{Done: tellResult, result: make(chan error, 1)}
	}
	op.Op, op.Data, op.Offset, op.Length, op.Flags = kind, data, offset, length, flags
	if d.client.cfg.Rules.ServeWhenClosed && d.State() == DeviceClosed {
		return nil
	}
	if err := d.perform(ctx, op); err != nil {
		return err // op goes to the garbage: it may still be under way
	}
	op.Data, op.request.Data = nil, nil
	d.client.spare.Put(op)
	return nil
}

func tellResult(op *IO, err error) { op.result <- err }

// perform sends an operation when it is its turn, and waits for its end. When ctx ends first, it is given up: it is not sent
// any more, or not again, and nothing of its data is touched; but it stays in the order until it has ended.
func (d *Device) perform(ctx context.Context, op *IO) error {
	if err := d.begin(op); err != nil {
		return d.failed(op, err)
	}
	if !d.enter(op) {
		if err := d.await(ctx, op); err != nil {
			return d.failed(op, err)
		}
	}
	if err := d.send(ctx, op); err != nil {
		return d.failed(op, err)
	}
	select {
	case err := <-op.result:
		return d.noted(op, err)
	case <-ctx.Done():
	}
	if d.client.session.Cancel(&op.request) {
		return d.failed(op, ctx.Err())
	}
	return d.noted(op, <-op.result)
}

// ReadAtContext reads len(p) bytes, a multiple of the block size, from offset, which is one too. Like io.ReaderAt it
// gives io.EOF when the device ends before p is full. When ctx ends first, p is not touched any more. It waits for writes to
// the same blocks that are under way, its own process' or those of an application that is gone.
func (d *Device) ReadAtContext(ctx context.Context, p []byte, offset int64) (int, error) {
	m := d.mapping.Load()
	if offset >= m.size && len(p) > 0 {
		return 0, io.EOF
	}
	whole := p[:min(int64(len(p)), max(m.size-offset, 0))]
	n, err := d.transfer(ctx, m, OpRead, whole, offset, 0)
	if err == nil && len(whole) < len(p) {
		err = io.EOF
	}
	return n, err
}

// transfer reads or writes p, in pieces if need be. It gives the number of bytes in front of the first that failed.
func (d *Device) transfer(ctx context.Context, m *mapping, kind Op, p []byte, offset int64, flags uint32) (int, error) {
	if len(p) > m.maxIO {
		return d.transferPieces(ctx, m, kind, p, offset, flags)
	}
	if len(p) == 0 {
		return 0, nil
	}
	if err := d.do(ctx, kind, p, offset, int64(len(p)), flags); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (d *Device) transferPieces(ctx context.Context, m *mapping, kind Op, p []byte, offset int64, flags uint32) (int, error) {
	n, err := inPieces(offset, int64(len(p)), int64(m.maxIO), func(at, n int64) error {
		return d.do(ctx, kind, p[at-offset:at-offset+n], at, n, flags)
	})
	return int(n), err
}

// WriteAtContext writes p, under the same rules. flags may have FlagFUA, to return when the data is durable. When ctx
// ends first the write may still be executed, but not after anything that is asked for later on the same blocks; p is not
// needed any more.
func (d *Device) WriteAtContext(ctx context.Context, p []byte, offset int64, flags uint32) (int, error) {
	m := d.mapping.Load()
	through := flags&FlagFUA != 0 && m.traits.Cache == CacheWriteBack // a cache, and no FUA: flush instead
	if through {
		flags &^= FlagFUA
	}
	n, err := d.transfer(ctx, m, OpWrite, p, offset, flags)
	if err == nil && through {
		err = d.Flush(ctx)
	}
	return n, err
}

// ReadAt is ReadAtContext without a context. It implements io.ReaderAt.
func (d *Device) ReadAt(p []byte, offset int64) (int, error) {
	return d.ReadAtContext(context.Background(), p, offset)
}

// WriteAt is WriteAtContext without a context and flags. It implements io.WriterAt.
func (d *Device) WriteAt(p []byte, offset int64) (int, error) {
	return d.WriteAtContext(context.Background(), p, offset, 0)
}

// Flush makes all writes durable that were acknowledged before. A device without volatile cache has nothing to do.
func (d *Device) Flush(ctx context.Context) error {
	if d.mapping.Load().traits.Cache&CacheWriteBack == 0 || d.client.cfg.Rules.NoFlush {
		if s := d.State(); s != DeviceOpen {
			return d.failed(&IO{Op: OpFlush}, fmt.Errorf("the device is %s: %w", s, ibtrs.EIO))
		}
		return nil
	}
	if d.client.cfg.Rules.FlushEarly {
		go func() { _ = d.do(context.WithoutCancel(ctx), OpFlush, nil, 0, 0, 0) }()
		return nil
	}
	return d.do(ctx, OpFlush, nil, 0, 0, 0)
}

// Discard says that the contents of a range do not matter any more.
func (d *Device) Discard(ctx context.Context, offset, length int64) error {
	return d.onRange(ctx, OpDiscard, offset, length, 0)
}

// WriteZeroes makes a range read as zeroes. flags may have FlagNoUnmap, to keep its storage allocated. It fails with
// EOPNOTSUPP on a server that cannot.
func (d *Device) WriteZeroes(ctx context.Context, offset, length int64, flags uint32) error {
	return d.onRange(ctx, OpWriteZeroes, offset, length, flags)
}

// SecureErase destroys the contents of a range. It fails with EOPNOTSUPP on a device that cannot.
func (d *Device) SecureErase(ctx context.Context, offset, length int64) error {
	return d.onRange(ctx, OpSecureErase, offset, length, 0)
}

func (d *Device) onRange(ctx context.Context, kind Op, offset, length int64, flags uint32) error {
	m := d.mapping.Load()
	block := int64(max(m.response.LogicalBlockSize, 1))
	limit := d.limit(m, kind) / block * block
	if limit == 0 {
		return d.failed(&IO{Op: kind, Offset: offset, Length: length}, errNotSupported)
	}
	_, err := inPieces(offset, length, limit, func(at, n int64) error {
		return d.do(ctx, kind, nil, at, n, flags)
	})
	return err
}
