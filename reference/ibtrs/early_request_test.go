// SPDX-License-Identifier: Apache-2.0

package ibtrs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/ibnbd/ibnbd/reference/rdma"
)

// keeper is an upper layer that keeps the requests it gets.
type keeper struct{ got []*ServerRequest }

func (k *keeper) Handle(r *ServerRequest) { k.got = append(k.got, r) }
func (k *keeper) Disconnected()           {}

// placeRequest makes a request in a chunk, with data and a header of so many bytes, and returns where its transport message is.
func placeRequest(chunk []byte, d Direction, data, header int) (offset uint32) {
	at := data + header
	for i := range at {
		chunk[i] = 0xA5
	}
	message := chunk[at:]
	binary.LittleEndian.PutUint16(message, uint16(d))
	binary.LittleEndian.PutUint16(message[2:], uint16(header))
	if d == Read {
		binary.LittleEndian.PutUint16(message[6:], 1)
		binary.LittleEndian.PutUint32(message[8+12:], uint32(data))
	}
	return uint32(at)
}

// TestWhoWaitsForTheKey looks at what begins before the chunk's key is back: a request with a small header, and little data if
// it is a write, which then are out of the client's reach; and nothing else.
func TestWhoWaitsForTheKey(t *testing.T) {
	for name, c := range map[string]struct {
		direction    Direction
		data, header int
		begins       bool
	}{
		"read":                {Read, 512, 32, true},
		"large read":          {Read, smallData + 1, 32, true},
		"write":               {Write, smallData, 32, true},
		"large write":         {Write, smallData + 1, 32, false},
		"read, large header":  {Read, 512, smallHeader + 1, false},
		"write, large header": {Write, 512, smallHeader + 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			upper, conn := &keeper{}, &narrow{size: 100}
			p := &ServerPath{server: &Server{cfg: DefaultServerConfig()}, handler: upper, requests: make([]ServerRequest, 1)}
			p.memory, p.windows = memoryStub{data: make([]byte, p.server.cfg.pathMemory())}, []rdma.Window{windowStub{}}
			p.serving.Store(true)
			r := &p.requests[0]
			r.init(p, 0)
			imm, err := p.server.cfg.Geometry.RequestImmediate(0, placeRequest(r.bytes(), c.direction, c.data, c.header))
			if err != nil {
				t.Fatal(err)
			}
			on := &serverChannel{channel: newChannel(1, conn, 100)}
			if err := p.renewKeys(on, p.request(on, imm)); err != nil {
				t.Fatal(err)
			}
			if len(conn.posted) != 1 || conn.posted[0].Op != rdma.OpBind || conn.posted[0].Signaled == c.begins {
				t.Errorf("posted is %+v, want a bind, signalled where it is waited for", conn.posted)
			}
			if begun := len(upper.got) == 1; begun != c.begins {
				t.Fatalf("begun is %v, want %v", begun, c.begins)
			}
			if !c.begins {
				return
			}
			clear(r.bytes())
			if want := bytes.Repeat([]byte{0xA5}, c.header); !bytes.Equal(r.Header, want) {
				t.Errorf("the client can still change the header %x", r.Header)
			}
			if want := bytes.Repeat([]byte{0xA5}, c.data); c.direction == Write && !bytes.Equal(r.Data, want) {
				t.Error("the client can still change the data of a write")
			}
		})
	}
}

// TestKeysOfABatch looks at requests that come together: their chunks get new keys in one chain, or one after the other where
// there is no room for that; then those begin that need not wait. None begins upon an error.
func TestKeysOfABatch(t *testing.T) {
	const requests = 4
	for name, c := range map[string]struct {
		room  int
		fails bool
		begun int
	}{
		"room for all":    {room: requests, begun: requests},
		"room for one":    {room: 1, begun: requests},
		"the path closes": {room: requests, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			upper, conn := &keeper{}, &narrow{size: c.room}
			p := &ServerPath{server: &Server{cfg: DefaultServerConfig()}, handler: upper, requests: make([]ServerRequest, requests)}
			p.memory = memoryStub{data: make([]byte, p.server.cfg.pathMemory())}
			p.serving.Store(true)
			on := &serverChannel{channel: newChannel(1, conn, 100)}
			var err error
			for k := range uint32(requests) {
				p.windows = append(p.windows, windowStub{})
				r := &p.requests[k]
				r.init(p, k)
				imm, placed := p.server.cfg.Geometry.RequestImmediate(k, placeRequest(r.bytes(), Read, 512, 32))
				err = errors.Join(err, placed, p.request(on, imm))
			}
			if c.fails {
				err = errChannelStopped
			}
			if got := p.renewKeys(on, err); (got != nil) != c.fails {
				t.Fatalf("the error is %v", got)
			}
			if len(upper.got) != c.begun {
				t.Errorf("%d requests have begun, want %d", len(upper.got), c.begun)
			}
			if want := min(c.room, c.begun); len(conn.posted) != want {
				t.Errorf("%d binds are posted, want %d", len(conn.posted), want)
			}
			if left := p.inflight.n.Load(); c.fails && left != 0 {
				t.Errorf("%d requests are still in flight", left)
			}
		})
	}
}
