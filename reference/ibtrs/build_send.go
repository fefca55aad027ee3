// SPDX-License-Identifier: Apache-2.0

package ibtrs

import (
	"encoding/binary"
	"fmt"

	"github.com/ibnbd/ibnbd/reference/rdma"
)

// send lays the request of sl out in the build's memory and posts it. from is the build that has the bytes of a request
// that was sent before; a new one has them itself.
func (b *build) send(sl *slot, from *build) error {
	b.gate.RLock()
	defer b.gate.RUnlock()
	sl.mu.Lock()
	defer sl.mu.Unlock()
	if sl.givenUp() && !b.session.cfg.Rules.SendGivenUp {
		return errGivenUp // Clause IBNBD-FAIL-029
	}
	if !b.open || b.epoch != sl.epoch && sl.epoch != 0 {
		return errBuildGone
	}
	if err := checkSize(b.geometry, sl.direction, sl.dataLen, sl.headerLen); err != nil {
		return err
	}
	b.layOut(sl, from)
	c := b.channelFor(sl)
	b.compose(sl)
	old := sl.state
	sl.build, sl.channel, sl.state = b, c, slotSent
	if err := c.post(&sl.request); err != nil {
		sl.build, sl.channel, sl.state = from, nil, old
		return errBuildGone
	}
	b.path.stats.count(sl.direction, sl.dataLen+sl.headerLen)
	if from != nil {
		b.path.stats.failedOver.Add(1)
	}
	return nil
}

// checkSize refuses what a path with geometry g cannot carry (Clause IBTRS-IO-028).
func checkSize(g Geometry, d Direction, data, header int) error {
	if data > int(g.MaxIOSize) {
		return fmt.Errorf("%d bytes of data exceed the max I/O size %d: %w", data, g.MaxIOSize, EMSGSIZE)
	}
	if d == Write {
		return g.CheckWrite(data, header)
	}
	return g.CheckRead(data, header, min(data, 1))
}

// piece is the part of the build's memory that belongs to a permit. It is laid out like the chunk: data, header, message.
func (b *build) piece(sl *slot) []byte {
	size := int(b.geometry.ChunkSize())
	at := int(sl.permit) * size
	return b.memory.Bytes()[at : at+size : at+size]
}

// layOut brings data and user header into the memory.
func (b *build) layOut(sl *slot, from *build) {
	to := b.piece(sl)
	if from != nil {
		copy(to, from.piece(sl)[:sl.dataLen+sl.headerLen])
		return
	}
	if sl.direction == Write {
		copy(to, sl.req.Data)
	}
	copy(to[sl.dataLen:], sl.req.Header)
}

// channelFor chooses the connection: 0 for administration, else one of the others by the permit.
func (b *build) channelFor(sl *slot) *clientChannel {
	if sl.admin {
		return b.channels[0]
	}
	return b.channels[1+int(sl.permit)%(len(b.channels)-1)]
}

// compose makes the work requests: one RDMA write with immediate (Clause IBTRS-IO-005), and in front of a read with data
// the binding of its window.
func (b *build) compose(sl *slot) {
	size := int(b.geometry.ChunkSize())
	base := int(sl.permit) * size
	offset := sl.dataLen + sl.headerLen
	message := b.piece(sl)[offset:]
	chunk := b.chunks[sl.permit]
	start, length := sl.dataLen, 0 // of the bytes that are sent
	work := sl.chain[:0]
	sl.bound = false

	if sl.direction == Write {
		start = 0
		length = offset + putWriteMessage(message, sl.headerLen)
	} else {
		d := Descriptor{}
		if sl.dataLen > 0 {
			w := b.windows[sl.permit]
			d = Descriptor{Address: b.memory.Addr() + uint64(base), RKey: w.NextKey(), Length: uint32(sl.dataLen)}
			bind := rdma.Bind{Region: b.memory, Offset: base, Length: sl.dataLen, Access: rdma.RemoteWrite}
			work = append(work, rdma.SendWR{ID: workMessage, Op: rdma.OpBind, Window: w, Bind: bind})
			sl.bound = true
		}
		length = sl.headerLen + putReadMessage(message, sl.headerLen, d, b.readFlags())
	}
	sl.element[0] = rdma.SGE{Region: b.memory, Offset: base + start, Length: length}
	work = append(work, rdma.SendWR{
		ID: workMessage | uint64(sl.permit), Op: rdma.OpWriteImm, Local: sl.element[:],
		RemoteAddr: chunk.Address + uint64(start), RemoteKey: chunk.RKey,
		Imm: uint32(MakeImmediate(ImmRequest, sl.permit<<b.geometry.Shift()|uint32(offset))),
	})
	if f := b.session.cfg.Rules.EditRequest; f != nil {
		f(b.path, sl.permit, &work[len(work)-1], b.piece(sl)[sl.dataLen:start+length])
	}
	sl.request.chain = work
}

func (b *build) readFlags() uint16 {
	if b.session.cfg.Rules.NoInvalidateFlag {
		return 0
	}
	return NeedInvalidate
}

// putWriteMessage writes a WriteMessage to b and gives its size. It is AppendBinary without a slice that grows.
func putWriteMessage(b []byte, headerLen int) int {
	binary.LittleEndian.PutUint16(b, TypeWrite)
	binary.LittleEndian.PutUint16(b[2:], uint16(headerLen))
	return WriteMessageSize
}

// putReadMessage writes a ReadMessage to b, with descriptor d unless it is empty, and gives its size.
func putReadMessage(b []byte, headerLen int, d Descriptor, flags uint16) int {
	m := ReadMessage{Type: TypeRead, HeaderLength: uint16(headerLen)}
	if d.Length > 0 {
		m.Flags, m.Count = flags, 1
	}
	whole, _ := m.AppendBinary(b[:0])
	if m.Count > 0 {
		whole, _ = d.AppendBinary(whole)
	}
	return len(whole)
}
