// SPDX-License-Identifier: Apache-2.0

package rdmatest

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ibnbd/ibnbd/reference/rdma"
)

var verbTests = []test{
	{"SEND of many lengths", testSendLengths},
	{"immediate data", testImmediate},
	{"WRITE of many lengths", testWriteLengths},
	{"READ of many lengths", testReadLengths},
	{"many buffers in one request", testScatterGather},
	{"both sides at once", testBothSides},
	{"unsignalled work completes without a word", testUnsignalled},
	{"a chain is posted whole or not at all", testChain},
	{"a fence waits for READs", testFence},
}

// lengths are around the borders of packets of every path MTU.
var lengths = []int{0, 1, 3, 4, 255, 256, 257, 1023, 1024, 1025, 4095, 4096, 4097, 8192, 100_001, 131_072}

// buffers gives the elements for length bytes, none for none: an element may not be empty.
func buffers(r rdma.Region, offset, length int) []rdma.SGE {
	if length == 0 {
		return nil
	}
	return SGE(r, offset, length)
}

// expect polls one completion and compares it.
func expect(t testing.TB, c rdma.Conn, want rdma.Completion) {
	t.Helper()
	if diff := cmp.Diff(want, Poll(t, c)); diff != "" {
		t.Errorf("completion (- wanted, + got):\n%s", diff)
	}
}

// same compares memory.
func same(t testing.TB, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("%s: %d bytes are not as sent", what, len(want))
	}
}

func testSendLengths(t *testing.T, client, server rdma.Device) {
	p := Connect(t, client, server, Config())
	for i, n := range lengths {
		Fill(p.ClientMem.Bytes(), i)
		clear(p.ServerMem.Bytes())
		Must(t, p.Server.PostRecv(rdma.RecvWR{ID: 50, Local: SGE(p.ServerMem, 0, MemorySize/2)}))
		Must(t, p.Client.PostSend(rdma.SendWR{ID: 60, Op: rdma.OpSend, Local: buffers(p.ClientMem, 5, n), Signaled: true}))
		expect(t, p.Server, rdma.Completion{ID: 50, Recv: true, Op: rdma.OpSend, Length: n})
		expect(t, p.Client, rdma.Completion{ID: 60, Op: rdma.OpSend})
		same(t, fmt.Sprintf("SEND of %d", n), p.ServerMem.Bytes()[:n], p.ClientMem.Bytes()[5:5+n])
		same(t, "memory behind it", p.ServerMem.Bytes()[n:n+64], make([]byte, 64))
	}
}

func testImmediate(t *testing.T, client, server rdma.Device) {
	p := Connect(t, client, server, Config())
	for _, op := range []rdma.Op{rdma.OpSendImm, rdma.OpWriteImm} {
		for i, n := range []int{0, 7, 4096, 10_000} {
			imm := uint32(0x01020304 + i)
			Fill(p.ClientMem.Bytes(), i)
			recv := rdma.RecvWR{ID: 1}
			if op == rdma.OpSendImm {
				recv.Local = SGE(p.ServerMem, 0, MemorySize/2)
			}
			Must(t, p.Server.PostRecv(recv))
			Must(t, p.Client.PostSend(rdma.SendWR{
				ID: 2, Op: op, Local: buffers(p.ClientMem, 0, n), Imm: imm, Signaled: true,
				RemoteAddr: p.ServerMem.Addr(), RemoteKey: p.ServerMem.Key(),
			}))
			expect(t, p.Server, rdma.Completion{ID: 1, Recv: true, Op: op, Length: n, Imm: imm})
			expect(t, p.Client, rdma.Completion{ID: 2, Op: op})
			same(t, fmt.Sprintf("%s of %d", op, n), p.ServerMem.Bytes()[:n], p.ClientMem.Bytes()[:n])
		}
	}
}

func testWriteLengths(t *testing.T, client, server rdma.Device) {
	p := Connect(t, client, server, Config())
	for i, n := range lengths {
		Fill(p.ClientMem.Bytes(), i)
		clear(p.ServerMem.Bytes())
		Must(t, p.Client.PostSend(rdma.SendWR{
			ID: 1, Op: rdma.OpWrite, Local: buffers(p.ClientMem, 3, n), RemoteAddr: p.ServerMem.Addr() + 9, RemoteKey: p.ServerMem.Key(), Signaled: true,
		}))
		expect(t, p.Client, rdma.Completion{ID: 1, Op: rdma.OpWrite})
		same(t, fmt.Sprintf("WRITE of %d", n), p.ServerMem.Bytes()[9:9+n], p.ClientMem.Bytes()[3:3+n])
		same(t, "memory before it", p.ServerMem.Bytes()[:9], make([]byte, 9))
		same(t, "memory behind it", p.ServerMem.Bytes()[9+n:9+n+64], make([]byte, 64))
	}
}

func testReadLengths(t *testing.T, client, server rdma.Device) {
	p := Connect(t, client, server, Config())
	for i, n := range lengths {
		Fill(p.ServerMem.Bytes(), i)
		clear(p.ClientMem.Bytes())
		Must(t, p.Client.PostSend(rdma.SendWR{
			ID: 1, Op: rdma.OpRead, Local: buffers(p.ClientMem, 3, n), RemoteAddr: p.ServerMem.Addr() + 9, RemoteKey: p.ServerMem.Key(), Signaled: true,
		}))
		expect(t, p.Client, rdma.Completion{ID: 1, Op: rdma.OpRead, Length: n})
		same(t, fmt.Sprintf("READ of %d", n), p.ClientMem.Bytes()[3:3+n], p.ServerMem.Bytes()[9:9+n])
		same(t, "memory behind it", p.ClientMem.Bytes()[3+n:3+n+64], make([]byte, 64))
	}
}

func testScatterGather(t *testing.T, client, server rdma.Device) {
	p := Connect(t, client, server, Config())
	Fill(p.ClientMem.Bytes(), 1)
	two := func(r rdma.Region, a, b int) []rdma.SGE {
		return []rdma.SGE{{Region: r, Offset: 1000, Length: a}, {Region: r, Offset: 50_000, Length: b}}
	}
	Must(t, p.Server.PostRecv(rdma.RecvWR{Local: two(p.ServerMem, 3000, 20_000)}))
	Must(t, p.Client.PostSend(rdma.SendWR{Op: rdma.OpSend, Local: two(p.ClientMem, 5000, 6001), Signaled: true}))
	expect(t, p.Server, rdma.Completion{Recv: true, Op: rdma.OpSend, Length: 11_001})
	expect(t, p.Client, rdma.Completion{Op: rdma.OpSend})
	sent := append(bytes.Clone(p.ClientMem.Bytes()[1000:6000]), p.ClientMem.Bytes()[50_000:56_001]...)
	got := append(bytes.Clone(p.ServerMem.Bytes()[1000:4000]), p.ServerMem.Bytes()[50_000:58_001]...)
	same(t, "SEND", got, sent)

	clear(p.ClientMem.Bytes())
	Must(t, p.Client.PostSend(rdma.SendWR{
		Op: rdma.OpRead, Local: two(p.ClientMem, 100, 9000), RemoteAddr: p.ServerMem.Addr() + 50_000, RemoteKey: p.ServerMem.Key(), Signaled: true,
	}))
	expect(t, p.Client, rdma.Completion{Op: rdma.OpRead, Length: 9100})
	got = append(bytes.Clone(p.ClientMem.Bytes()[1000:1100]), p.ClientMem.Bytes()[50_000:59_000]...)
	same(t, "READ", got, p.ServerMem.Bytes()[50_000:59_100])
}

func testBothSides(t *testing.T, client, server rdma.Device) {
	p := Connect(t, client, server, Config())
	const rounds, size = 200, 3000
	done := make(chan struct{}, 2)
	side := func(c rdma.Conn, mem, other rdma.Region) {
		defer func() { done <- struct{}{} }()
		for i := range rounds {
			err := c.PostSend(rdma.SendWR{
				ID: uint64(i), Op: rdma.OpWrite, Local: SGE(mem, 0, size), RemoteAddr: other.Addr() + MemorySize/2, RemoteKey: other.Key(), Signaled: true,
			})
			if err != nil {
				t.Error(err)
				return
			}
			if d := Poll(t, c); d.Status != rdma.StatusSuccess || d.ID != uint64(i) {
				t.Errorf("round %d: %+v", i, d)
				return
			}
		}
	}
	go side(p.Client, p.ClientMem, p.ServerMem)
	go side(p.Server, p.ServerMem, p.ClientMem)
	<-done
	<-done
}

func testUnsignalled(t *testing.T, client, server rdma.Device) {
	p := Connect(t, client, server, Config())
	write := rdma.SendWR{Op: rdma.OpWrite, Local: SGE(p.ClientMem, 0, 100), RemoteAddr: p.ServerMem.Addr(), RemoteKey: p.ServerMem.Key()}
	last := write
	last.ID, last.Signaled = 9, true
	for range 50 { // more than fit the queue at once
		Must(t, p.Client.PostSend(write, write, write, last))
		expect(t, p.Client, rdma.Completion{ID: 9, Op: rdma.OpWrite})
	}
}

func testChain(t *testing.T, client, server rdma.Device) {
	p := Connect(t, client, server, Config())
	good := rdma.SendWR{ID: 1, Op: rdma.OpWrite, Local: SGE(p.ClientMem, 0, 8), RemoteAddr: p.ServerMem.Addr(), RemoteKey: p.ServerMem.Key(), Signaled: true}
	foreign := good
	foreign.Local = SGE(p.ServerMem, 0, 8)
	many := good
	many.Local = make([]rdma.SGE, 100)
	for i := range many.Local {
		many.Local[i] = rdma.SGE{Region: p.ClientMem, Offset: i, Length: 1}
	}
	for name, bad := range map[string]rdma.SendWR{"a region of another device": foreign, "too many buffers": many} {
		if client == server && name == "a region of another device" {
			continue
		}
		Fill(p.ClientMem.Bytes()[:8], 77)
		if err := p.Client.PostSend(good, bad); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	good.ID = 2
	Must(t, p.Client.PostSend(good))
	expect(t, p.Client, rdma.Completion{ID: 2, Op: rdma.OpWrite})
}

func testFence(t *testing.T, client, server rdma.Device) {
	p := Connect(t, client, server, Config())
	const size = 100_000
	for i := range 20 {
		Fill(p.ServerMem.Bytes()[:size], i)
		Must(t, p.Server.PostRecv(rdma.RecvWR{Local: SGE(p.ServerMem, MemorySize/2, size)}))
		Must(t, p.Client.PostSend(
			rdma.SendWR{Op: rdma.OpRead, Local: SGE(p.ClientMem, 0, size), RemoteAddr: p.ServerMem.Addr(), RemoteKey: p.ServerMem.Key()},
			rdma.SendWR{Op: rdma.OpSend, Local: SGE(p.ClientMem, 0, size), Fence: true, Signaled: true},
		))
		expect(t, p.Client, rdma.Completion{Op: rdma.OpSend})
		expect(t, p.Server, rdma.Completion{Recv: true, Op: rdma.OpSend, Length: size})
		same(t, "what was read and sent back", p.ServerMem.Bytes()[MemorySize/2:MemorySize/2+size], p.ServerMem.Bytes()[:size])
	}
}
