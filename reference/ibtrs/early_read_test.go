// SPDX-License-Identifier: Apache-2.0

package ibtrs

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/ibnbd/ibnbd/reference/rdma"
)

// keeper is an upper layer that keeps the requests it gets.
type keeper struct{ got []*ServerRequest }

func (k *keeper) Handle(r *ServerRequest) { k.got = append(k.got, r) }
func (k *keeper) Disconnected()           {}

// placeRequest makes a request of 512 bytes of data in a chunk, and returns where its transport message is.
func placeRequest(chunk []byte, d Direction, header int) (offset uint32) {
	at := 512 + header
	for i := range header {
		chunk[512+i] = 0xA5
	}
	message := chunk[at:]
	binary.LittleEndian.PutUint16(message, uint16(d))
	binary.LittleEndian.PutUint16(message[2:], uint16(header))
	if d == Read {
		binary.LittleEndian.PutUint16(message[6:], 1)
		binary.LittleEndian.PutUint32(message[8+12:], 512)
	}
	return uint32(at)
}

// TestWhoWaitsForTheKey looks at what begins before the chunk's key is back: a read with a small header, which then is out of
// the client's reach, and nothing else.
func TestWhoWaitsForTheKey(t *testing.T) {
	for name, c := range map[string]struct {
		direction Direction
		header    int
		begins    bool
	}{
		"read":               {Read, 32, true},
		"write":              {Write, 32, false},
		"read, large header": {Read, smallHeader + 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			upper, conn := &keeper{}, &narrow{size: 100}
			p := &ServerPath{server: &Server{cfg: DefaultServerConfig()}, handler: upper, requests: make([]ServerRequest, 1)}
			chunk := make([]byte, DefaultGeometry.ChunkSize())
			p.memory, p.windows = memoryStub{data: chunk}, []rdma.Window{windowStub{}}
			p.serving.Store(true)
			p.requests[0].init(p, 0)
			imm, err := p.server.cfg.Geometry.RequestImmediate(0, placeRequest(chunk, c.direction, c.header))
			if err != nil {
				t.Fatal(err)
			}
			on := &serverChannel{channel: newChannel(1, conn, 100)}
			if err := p.request(on, imm); err != nil {
				t.Fatal(err)
			}
			if len(conn.posted) != 1 || conn.posted[0].Op != rdma.OpInvalidate || conn.posted[0].Signaled == c.begins {
				t.Errorf("posted is %+v, want an invalidation, signalled where it is waited for", conn.posted)
			}
			if begun := len(upper.got) == 1; begun != c.begins {
				t.Fatalf("begun is %v, want %v", begun, c.begins)
			}
			if c.begins {
				header := slices.Clone(upper.got[0].Header)
				clear(chunk)
				if !slices.Equal(upper.got[0].Header, header) || len(header) != c.header {
					t.Errorf("the client can still change the header %x", upper.got[0].Header)
				}
			}
		})
	}
}
