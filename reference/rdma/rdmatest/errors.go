// SPDX-License-Identifier: Apache-2.0

package rdmatest

import (
	"errors"
	"testing"

	"github.com/ibnbd/ibnbd/reference/rdma"
)

var errorTests = []test{
	{"a key or range that opens nothing", testRemoteAccess},
	{"a right that a region has not", testRemoteRights},
	{"a SEND longer than its receive", testLongSend},
	{"a receive that is missing", testNoReceive},
	{"a receive that comes late", testLateReceive},
	{"a full queue", testQueueFull},
	{"READ where none was negotiated", testReadForbidden},
	{"a buffer outside of its region", testLocalProtection},
	{"work behind a failure is flushed", testFlush},
	{"limits of a configuration", testConfigLimits},
	{"limits of a region", testRegionLimits},
}

// failed polls the client's completion of work that must fail, and expects the connection to be lost by it.
func failed(t *testing.T, p *Pair, statuses ...rdma.Status) {
	t.Helper()
	done := Poll(t, p.Client)
	matches := false
	for _, s := range statuses {
		matches = matches || done.Status == s
	}
	if !matches {
		t.Errorf("completion: %+v, must have status %v", done, statuses)
	}
	Wait(t, p.Client.Lost(), "the connection to be lost")
	var work *rdma.WorkError
	if err := p.Client.Err(); !errors.As(err, &work) && !errors.Is(err, rdma.ErrDisconnected) {
		t.Errorf("error of the connection: %v, must be a WorkError", err)
	}
}

func testRemoteAccess(t *testing.T, client, server rdma.Device) {
	for _, tt := range []struct {
		name   string
		change func(*rdma.SendWR)
	}{
		{"wrong key", func(wr *rdma.SendWR) { wr.RemoteKey ^= 0x5500 }},
		{"before the region", func(wr *rdma.SendWR) { wr.RemoteAddr-- }},
		{"behind the region", func(wr *rdma.SendWR) { wr.RemoteAddr += MemorySize - 99 }},
		{"address that overflows", func(wr *rdma.SendWR) { wr.RemoteAddr = ^uint64(0) - 50 }},
	} {
		for _, op := range []rdma.Op{rdma.OpWrite, rdma.OpRead} {
			t.Run(op.String()+", "+tt.name, func(t *testing.T) {
				p := Connect(t, client, server, Config())
				Fill(p.ClientMem.Bytes()[:100], 1)
				wr := rdma.SendWR{Op: op, Local: SGE(p.ClientMem, 0, 100), RemoteAddr: p.ServerMem.Addr(), RemoteKey: p.ServerMem.Key()}
				tt.change(&wr)
				Must(t, p.Client.PostSend(wr)) // unsignalled: a failure is told all the same
				failed(t, p, rdma.StatusRemoteAccess)
				same(t, "memory of the server", p.ServerMem.Bytes()[:100], make([]byte, 100))
			})
		}
	}
}

func testRemoteRights(t *testing.T, client, server rdma.Device) {
	for _, tt := range []struct {
		op     rdma.Op
		access rdma.Access
	}{
		{rdma.OpWrite, AllRights &^ rdma.RemoteWrite},
		{rdma.OpRead, AllRights &^ rdma.RemoteRead},
	} {
		t.Run(tt.op.String(), func(t *testing.T) {
			p := Connect(t, client, server, Config())
			mem := Register(t, server, tt.access)
			Must(t, p.Client.PostSend(rdma.SendWR{
				Op: tt.op, Local: SGE(p.ClientMem, 0, 8), RemoteAddr: mem.Addr(), RemoteKey: mem.Key(), Signaled: true,
			}))
			failed(t, p, rdma.StatusRemoteAccess)
		})
	}
}

func testLongSend(t *testing.T, client, server rdma.Device) {
	p := Connect(t, client, server, Config())
	Must(t, p.Server.PostRecv(rdma.RecvWR{ID: 4, Local: SGE(p.ServerMem, 0, 100)}))
	Must(t, p.Client.PostSend(rdma.SendWR{Op: rdma.OpSend, Local: SGE(p.ClientMem, 0, 101), Signaled: true}))
	// Linux soft-RoCE reports an operational error where the specification has an invalid request.
	failed(t, p, rdma.StatusRemoteInvalid, rdma.StatusRemoteOperation)
	if done := Poll(t, p.Server); done.ID != 4 || !done.Recv || done.Status != rdma.StatusLocalLength {
		t.Errorf("completion of the receive: %+v, must be a local length error", done)
	}
	Wait(t, p.Server.Lost(), "the server's side to be lost")
}

func testNoReceive(t *testing.T, client, server rdma.Device) {
	cfg := Config()
	cfg.RNRRetryCount, cfg.MinRNRTimer = 1, 1
	p := Connect(t, client, server, cfg)
	Must(t, p.Client.PostSend(rdma.SendWR{Op: rdma.OpSend, Local: SGE(p.ClientMem, 0, 1), Signaled: true}))
	failed(t, p, rdma.StatusRNRRetryExceeded)
}

func testLateReceive(t *testing.T, client, server rdma.Device) {
	cfg := Config()
	cfg.MinRNRTimer = 1
	p := Connect(t, client, server, cfg)
	for i := range 10 {
		Fill(p.ClientMem.Bytes()[:9000], i)
		Must(t, p.Client.PostSend(rdma.SendWR{Op: rdma.OpSend, Local: SGE(p.ClientMem, 0, 9000), Signaled: true}))
		Must(t, p.Server.PostRecv(rdma.RecvWR{Local: SGE(p.ServerMem, 0, 9000)}))
		expect(t, p.Client, rdma.Completion{Op: rdma.OpSend})
		expect(t, p.Server, rdma.Completion{Recv: true, Op: rdma.OpSend, Length: 9000})
		same(t, "SEND", p.ServerMem.Bytes()[:9000], p.ClientMem.Bytes()[:9000])
	}
}

func testQueueFull(t *testing.T, client, server rdma.Device) {
	cfg := Config()
	p := Connect(t, client, server, cfg)
	write := rdma.SendWR{Op: rdma.OpWrite, Local: SGE(p.ClientMem, 0, 8), RemoteAddr: p.ServerMem.Addr(), RemoteKey: p.ServerMem.Key(), Signaled: true}
	chain := make([]rdma.SendWR, cfg.SendQueue)
	for i := range chain {
		chain[i] = write
	}
	Must(t, p.Client.PostSend(chain...))
	if err := p.Client.PostSend(write); !errors.Is(err, rdma.ErrQueueFull) {
		t.Errorf("one more than the send queue holds: %v, must wrap ErrQueueFull", err)
	}
	expect(t, p.Client, rdma.Completion{Op: rdma.OpWrite})
	Must(t, p.Client.PostSend(write))
	Must(t, p.Server.PostRecv(make([]rdma.RecvWR, cfg.RecvQueue)...))
	if err := p.Server.PostRecv(rdma.RecvWR{}); !errors.Is(err, rdma.ErrQueueFull) {
		t.Errorf("one more than the receive queue holds: %v, must wrap ErrQueueFull", err)
	}
}

func testReadForbidden(t *testing.T, client, server rdma.Device) {
	cfg := Config()
	cfg.InitiatorDepth = 0
	p := Connect(t, client, server, cfg)
	read := rdma.SendWR{Op: rdma.OpRead, Local: SGE(p.ClientMem, 0, 8), RemoteAddr: p.ServerMem.Addr(), RemoteKey: p.ServerMem.Key(), Signaled: true}
	if err := p.Client.PostSend(read); err == nil {
		t.Error("a READ was posted although the initiator depth is 0")
	}
}

func testLocalProtection(t *testing.T, client, server rdma.Device) {
	p := Connect(t, client, server, Config())
	Must(t, p.Client.PostSend(rdma.SendWR{
		Op: rdma.OpWrite, Local: SGE(p.ClientMem, MemorySize-4, 8), RemoteAddr: p.ServerMem.Addr(), RemoteKey: p.ServerMem.Key(), Signaled: true,
	}))
	failed(t, p, rdma.StatusLocalProtection)
}

func testFlush(t *testing.T, client, server rdma.Device) {
	p := Connect(t, client, server, Config())
	good := rdma.SendWR{ID: 1, Op: rdma.OpWrite, Local: SGE(p.ClientMem, 0, 8), RemoteAddr: p.ServerMem.Addr(), RemoteKey: p.ServerMem.Key(), Signaled: true}
	bad, behind := good, good
	bad.ID, bad.RemoteKey = 2, bad.RemoteKey^0x5500
	behind.ID, behind.Signaled = 3, false
	Must(t, p.Client.PostRecv(rdma.RecvWR{ID: 4}))
	Must(t, p.Client.PostSend(good, bad, behind))
	want := map[uint64]rdma.Status{1: rdma.StatusSuccess, 2: rdma.StatusRemoteAccess, 3: rdma.StatusFlushed, 4: rdma.StatusFlushed}
	for range len(want) {
		done := Poll(t, p.Client)
		if done.Status != want[done.ID] || done.Recv != (done.ID == 4) {
			t.Errorf("completion %+v, must have status %s", done, want[done.ID])
		}
		delete(want, done.ID)
	}
	if len(want) > 0 {
		t.Errorf("without completion: %v", want)
	}
}

func testConfigLimits(t *testing.T, client, server rdma.Device) {
	l := listen(t, server)
	for name, change := range map[string]func(*rdma.ConnConfig){
		"no send queue":         func(c *rdma.ConnConfig) { c.SendQueue = 0 },
		"negative receives":     func(c *rdma.ConnConfig) { c.RecvQueue = -1 },
		"a huge send queue":     func(c *rdma.ConnConfig) { c.SendQueue = 1 << 30 },
		"too many buffers":      func(c *rdma.ConnConfig) { c.SendSGE = 1 << 20 },
		"retry count 8":         func(c *rdma.ConnConfig) { c.RetryCount = 8 },
		"RNR retry count 8":     func(c *rdma.ConnConfig) { c.RNRRetryCount = 8 },
		"ACK timeout code 32":   func(c *rdma.ConnConfig) { c.AckTimeout = 32 },
		"RNR timer code 32":     func(c *rdma.ConnConfig) { c.MinRNRTimer = 32 },
		"initiator depth 1000":  func(c *rdma.ConnConfig) { c.InitiatorDepth = 1000 },
		"negative responder(s)": func(c *rdma.ConnConfig) { c.ResponderResources = -1 },
	} {
		cfg := Config()
		change(&cfg)
		var limit *rdma.LimitError
		if _, err := client.Dial(patient(t), l.Addr(), cfg, nil); !errors.As(err, &limit) {
			t.Errorf("%s: %v, must be a LimitError", name, err)
		}
	}
}

func testRegionLimits(t *testing.T, client, _ rdma.Device) {
	var limit *rdma.LimitError
	for _, size := range []int{0, -1, 1 << 40} {
		if _, err := client.Register(size, rdma.LocalWrite); !errors.As(err, &limit) {
			t.Errorf("region of %d bytes: %v, must be a LimitError", size, err)
		}
	}
	if r, err := client.Register(4096, rdma.RemoteWrite); err == nil {
		Close(t, r)
		t.Error("a region that peers may write and its owner may not")
	}
}
