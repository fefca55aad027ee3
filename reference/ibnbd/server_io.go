// SPDX-License-Identifier: Apache-2.0

package ibnbd

import (
	"bytes"
	"fmt"
	"math"

	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// blockOp is one I/O on the server. It lives with the chunk of its request and is used again.
type blockOp struct {
	request *ibtrs.ServerRequest
	device  *serverDevice
	message IORequest

	place[*blockOp]        // what it is about, and where it stands in the order of writes
	data            []byte // of a write what is written, of a read where the answer goes
	answered        bool   // before it was executed, against the rules: the request is not ours any more

	queued *blockOp // the next of those that wait for a worker
}

// io begins an I/O, or refuses it at once.
func (h *serverSession) io(r *ibtrs.ServerRequest) {
	op, _ := r.Scratch.(*blockOp)
	if op == nil {
		op = &blockOp{}
		r.Scratch = op
	}
	op.request, op.device, op.data = r, nil, r.Data
	if err := op.parse(h); err != nil {
		if op.device != nil {
			op.device.keepIf(h.server.cfg.Rules.RefusalKeepsWriter)
		}
		h.refused(r, err)
		r.Respond(ibtrs.ErrnoOf(err))
		return
	}
	if op.acknowledgedEarly() {
		early := *op
		early.data, early.answered = bytes.Clone(op.data), true
		op = &early
		r.Respond(0)
	}
	if op.enter() {
		op.start()
	} // else an earlier write begins it
}

// acknowledgedEarly reports whether the operation is a write that is answered before it is executed, against the rules.
func (op *blockOp) acknowledgedEarly() bool {
	const long = 32 << 10
	rules := &op.device.session.server.cfg.Rules
	return op.message.Op() == OpWrite && (rules.AcknowledgeTooEarly || rules.EarlyLongWrites && len(op.data) > long)
}

// enter puts the operation into the order of its target, and reports whether it may begin. Reads wait as well: what they have
// shown must not be changed later by a write whose client has long seen it fail.
func (op *blockOp) enter() bool {
	order := &op.device.target.order
	switch {
	case op.ordered():
		return order.enter(&op.place, op)
	case op.message.Op() == OpRead && !op.device.session.server.cfg.Rules.NoWriteOrder:
		return order.read(&op.place, op)
	}
	return true
}

// refused takes note of an I/O that is not begun.
func (h *serverSession) refused(r *ibtrs.ServerRequest, err error) {
	op := Op(opMask) // none
	m, parseErr := ParseIORequest(r.Header)
	if parseErr == nil {
		op = m.Op()
	}
	h.failures.note(op, fmt.Errorf("%s of %d bytes at sector %d of device %d: %w", op, m.Size, m.Sector, m.DeviceID, err))
}

// failed takes note of an I/O that the backend has not done.
func (op *blockOp) failed(err error) {
	d := op.device
	d.session.failures.note(op.message.Op(), &OpError{d.target.name, op.message.Op(), op.offset, op.length, err})
}

// parse checks the message as the protocol demands (Clauses IBNBD-IO-001 to IBNBD-IO-016).
func (op *blockOp) parse(h *serverSession) error {
	rules, r := &h.server.cfg.Rules, op.request
	m, err := ParseIORequest(r.Header)
	if err != nil {
		return ibtrs.EINVAL
	}
	d := h.device(m.DeviceID)
	if rules.FirstDeviceWrites && m.Op() == OpWrite && d != nil {
		d = h.first()
	}
	if d == nil || !d.usable() {
		if rules.UnknownDeviceIsEIO {
			return ibtrs.EIO
		}
		return ibtrs.ENOTCONN
	}
	if err := m.Check(r.Direction, uint32(len(r.Data)), h.agreement.Load().WriteSame()); err != nil {
		if m, err = op.tolerate(m, err, rules); err != nil {
			return err
		}
	}
	if rules.EmptyReadPanics && m.Op() == OpRead && m.Size == 0 {
		panic("a read of no bytes")
	}
	op.device, op.message = d, m
	if err := op.checkRange(rules); err != nil {
		return err
	}
	if op.writes() && !d.writable(m.Op()) {
		return ibtrs.EROFS
	}
	if rules.FUAOnReadFails && m.Flags()&FlagFUA != 0 && m.Op() != OpWrite {
		return ibtrs.EIO
	}
	if !d.begin() {
		return ibtrs.ENOTCONN
	}
	return nil
}

// tolerate lets pass what a rule that is turned off would have refused.
func (op *blockOp) tolerate(m IORequest, err error, rules *ServerRules) (IORequest, error) {
	data := uint32(len(op.request.Data))
	switch {
	case rules.UnknownOpReads && !m.Op().Valid():
		m.OpFlags = m.OpFlags &^ opMask
		return m, nil
	case rules.AnyDirection && m.Op().Valid() && m.Op().Direction() != op.request.Direction && m.Size == data:
		return m, nil
	case rules.AnySize && m.Op().Valid() && m.Size != data && data > 0:
		m.Size = min(m.Size, data)
		return m, nil
	}
	return m, err
}

// checkRange computes the bytes that the operation is about. A flush is about all of them, whatever its sector says.
func (op *blockOp) checkRange(rules *ServerRules) error {
	m := &op.message
	op.offset, op.length = 0, 0
	if m.Op() == OpFlush && !rules.FlushChecksSector {
		return nil
	}
	if m.Sector > math.MaxInt64/SectorSize {
		return fmt.Errorf("sector %d: %w", m.Sector, ibtrs.EIO)
	}
	op.offset, op.length = int64(m.Sector)*SectorSize, int64(m.Size)
	err := op.device.target.check(op.offset, op.length)
	if err != nil && rules.IgnoreEnd {
		op.length = 0
		return nil
	}
	return err
}

// writes reports whether the operation changes blocks.
func (op *blockOp) writes() bool {
	switch op.message.Op() {
	case OpWrite, OpDiscard, OpSecureErase, OpWriteZeroes:
		return true
	}
	return false
}

func (op *blockOp) ordered() bool {
	return op.writes() && !op.answered && !op.device.session.server.cfg.Rules.NoWriteOrder
}

// start runs the operation here, if that cannot take long, or gives it to a worker.
func (op *blockOp) start() {
	if op.device.target.props.Immediate {
		op.run()
		return
	}
	op.device.session.server.workers.give(op)
}

// run executes the operation, answers it, and starts those that waited for it. What has not begun when its path goes down
// is not executed any more.
func (op *blockOp) run() {
	errno := ibtrs.EIO
	if op.answered || !op.request.Abandoned() {
		err := op.execute()
		if err != nil {
			op.failed(err)
		}
		errno = ibtrs.ErrnoOf(err)
	}
	var ready *place[*blockOp]
	if op.ordered() {
		ready = op.device.target.order.leave(&op.place)
	}
	op.device.done()
	if !op.answered {
		op.request.Respond(errno) // from here on op may be in use again
	}
	for ready != nil {
		next := ready.ready
		ready.ready = nil
		ready.op.start()
		ready = next
	}
}

// execute does the I/O.
func (op *blockOp) execute() error {
	m, b := &op.message, op.device.target.backend
	data := op.data[:min(int64(len(op.data)), op.length)]
	rules := &op.device.session.server.cfg.Rules
	if m.Flags()&FlagPreflush != 0 && op.writes() {
		if err := b.Flush(); err != nil {
			return err
		}
	}
	switch m.Op() {
	case OpRead:
		if rules.ShortReads {
			data = data[:min(len(data), 64<<10)]
		}
		return b.ReadAt(data, op.offset)
	case OpWrite:
		fua := m.Flags()&FlagFUA != 0 || op.device.mode == FileIO
		return b.WriteAt(data, op.offset, fua && !rules.IgnoreFUA)
	case OpFlush:
		if rules.IgnoreFlush {
			return nil
		}
		return b.Flush()
	}
	if op.device.mode == FileIO {
		return fmt.Errorf("%s in I/O mode %s: %w", m.Op(), FileIO, ibtrs.EOPNOTSUPP) // Clause IBNBD-IO-022
	}
	return op.executeRange()
}

// executeRange does the operations that have no data of their own.
func (op *blockOp) executeRange() error {
	m, t, data := &op.message, op.device.target, op.data
	rules := &op.device.session.server.cfg.Rules
	switch {
	case m.Op() == OpSecureErase && t.props.SecureErase:
		return t.backend.SecureErase(op.offset, op.length)
	case m.Op() == OpSecureErase:
		return ibtrs.EOPNOTSUPP
	case m.Op() == OpWriteZeroes && len(data) > 0:
		return op.writeSame(data)
	case m.Op() == OpWriteZeroes && !rules.ZeroesAreDiscard:
		return t.backend.WriteZeroes(op.offset, op.length, m.Flags()&FlagNoUnmap != 0)
	case t.props.MaxDiscard == 0:
		return ibtrs.EOPNOTSUPP
	}
	offset, length := op.offset, op.length
	if rules.DiscardOutwards {
		unit := int64(max(t.props.DiscardGranularity, t.props.LogicalBlock))
		end := min((offset+length+unit-1)/unit*unit, t.size.Load())
		offset = offset / unit * unit
		length = end - offset
	}
	return t.backend.Discard(offset, length)
}

// writeSame writes the same block all over the range.
func (op *blockOp) writeSame(block []byte) error {
	if op.length > maxWriteSame {
		return fmt.Errorf("write-same of %d bytes, at most %d are offered: %w", op.length, maxWriteSame, ibtrs.EINVAL)
	}
	for at := int64(0); at < op.length; at += int64(len(block)) {
		if err := op.device.target.backend.WriteAt(block, op.offset+at, false); err != nil {
			return err
		}
	}
	return nil
}
