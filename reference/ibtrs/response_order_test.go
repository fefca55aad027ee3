// SPDX-License-Identifier: Apache-2.0

package ibtrs

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/ibnbd/ibnbd/reference/rdma"
)

// memoryStub and windowStub are registered memory and a window that nobody reaches.
type memoryStub struct {
	rdma.Region
	data []byte
}

func (m memoryStub) Bytes() []byte { return m.data }

type windowStub struct{ rdma.Window }

func (windowStub) NextKey() uint32 { return 7 }

// TestResponseOrder looks at the order of the work of a response, and at the key in it (Clauses IBTRS-IO-008, IBTRS-INV-004).
func TestResponseOrder(t *testing.T) {
	conn := &narrow{size: 100}
	p := &ServerPath{server: &Server{cfg: DefaultServerConfig()}}
	p.memory = memoryStub{data: make([]byte, DefaultGeometry.ChunkSize())}
	p.answers = memoryStub{data: make([]byte, KeyResponseSize)}
	r := &ServerRequest{channel: &serverChannel{channel: newChannel(1, conn, 1)}, count: 1, key: 7}
	r.init(p, 0)
	r.Direction, r.Flags, r.copied[0] = Read, NeedInvalidate, Descriptor{Length: 512}
	r.send(0)
	var order []rdma.Op
	for _, w := range conn.posted {
		order = append(order, w.Op)
	}
	if want := []rdma.Op{rdma.OpWrite, rdma.OpSendInv, rdma.OpSendImm}; !slices.Equal(order, want) {
		t.Errorf("a response is sent as %v, want %v", order, want)
	}
	if key := binary.LittleEndian.Uint32(p.answers.Bytes()[4:]); key != 7 {
		t.Errorf("the response tells the key %d, want 7", key)
	}
}
