// SPDX-License-Identifier: Apache-2.0

package soft

import (
	"errors"
	"fmt"

	"github.com/ibnbd/ibnbd/reference/rdma"
)

// errReadForbidden refuses a READ on a connection that negotiated none.
var errReadForbidden = errors.New("a READ was posted, but none was negotiated: the initiator depth is 0")

// sendWQE is one entry of a send queue.
type sendWQE struct {
	id         uint64
	op         rdma.Op
	spans      []span
	length     int
	remoteAddr uint64
	remoteKey  uint32
	imm        uint32
	bind       rdma.Bind
	window     *window
	bindKey    uint32
	signaled   bool
	fence      bool

	// The rest is set on the way.

	sent    bool   // first and packets are valid; of a local operation: it was executed
	first   uint64 // sequence number of its first packet
	packets int    // sequence numbers that it takes
	read    int    // of a READ: response packets that have come
}

// local tells whether the work needs no packet.
func (w *sendWQE) local() bool { return w.op == rdma.OpBind || w.op == rdma.OpInvalidate }

// end is the sequence number after its last.
func (w *sendWQE) end() uint64 { return w.first + uint64(w.packets) }

// recvWQE is one entry of a receive queue.
type recvWQE struct {
	id     uint64
	spans  []span
	length int
	number uint64
}

// fillSpans translates scatter/gather elements into dst, which has room for most of them, and sums their lengths.
func (d *Device) fillSpans(dst []span, elements []rdma.SGE, most int) ([]span, int, error) {
	if err := rdma.CheckLimit("number of buffers in a work request", len(elements), 0, most); err != nil {
		return nil, 0, err
	}
	dst, total := dst[:0], 0
	for i := range elements {
		e := &elements[i]
		r := d.localRegion(e.Region)
		if r == nil {
			return nil, 0, fmt.Errorf("buffer %d of a work request: its region is not one of device %s", i, d.Name())
		}
		if err := rdma.CheckLimit("length of a buffer", e.Length, 1, maxRegion); err != nil {
			return nil, 0, err
		}
		dst = append(dst, span{r, e.Offset, e.Length})
		total += e.Length
	}
	if err := rdma.CheckLimit("length of a message", total, 0, maxRegion); err != nil {
		return nil, 0, err
	}
	return dst, total, nil
}

// fill sets w to a request that PostSend was given.
func (w *sendWQE) fill(q *queuePair, wr *rdma.SendWR) error {
	if int(wr.Op) > int(rdma.OpInvalidate) {
		return fmt.Errorf("unknown %s", wr.Op)
	}
	if wr.Op == rdma.OpRead && q.req.depth == 0 && !q.rules.IgnoreReadDepth {
		return errReadForbidden
	}
	spans, length, err := q.dev.fillSpans(w.spans, wr.Local, q.cfg.SendSGE)
	if err != nil {
		return err
	}
	win, err := q.dev.localWindow(wr)
	if err != nil {
		return err
	}
	*w = sendWQE{
		id: wr.ID, op: wr.Op, spans: spans, length: length, remoteAddr: wr.RemoteAddr, remoteKey: wr.RemoteKey, imm: wr.Imm,
		bind: wr.Bind, window: win, signaled: wr.Signaled, fence: wr.Fence,
	}
	return nil
}

// localWindow gives the window of work that needs one, nil for other work.
func (d *Device) localWindow(wr *rdma.SendWR) (*window, error) {
	if wr.Op != rdma.OpBind && wr.Op != rdma.OpInvalidate {
		return nil, nil
	}
	if w, ok := wr.Window.(*window); ok && w.dev == d {
		return w, nil
	}
	return nil, fmt.Errorf("%s: its window is not one of device %s", wr.Op, d.Name())
}
