// SPDX-License-Identifier: Apache-2.0

//go:build verbs && cgo && linux

package verbs_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/rdma/rdmatest"
)

// BenchmarkEcho measures the way there and back of a message, one at a time.
func BenchmarkEcho(b *testing.B) {
	s, err := ask(b, openClosed(b), askEcho, rdmatest.Config())
	rdmatest.Must(b, err)
	ctx, done := context.Background(), make([]rdma.Completion, 4)
	send := rdma.SendWR{Op: rdma.OpSendImm, Local: rdmatest.SGE(s.mem, 0, 64), Signaled: true}
	again := rdma.RecvWR{Local: rdmatest.SGE(s.mem, rdmatest.MemorySize/2, 64)}
	sends, recvs := []rdma.SendWR{send}, []rdma.RecvWR{again}
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		rdmatest.Must(b, s.PostSend(sends...))
		for left := 2; left > 0; {
			n, err := s.Poll(ctx, done)
			rdmatest.Must(b, err)
			for i := range done[:n] {
				rdmatest.Must(b, done[i].Err())
				if done[i].Recv {
					rdmatest.Must(b, s.PostRecv(recvs...))
				}
			}
			left -= n
		}
	}
}

// BenchmarkWrite measures RDMA WRITE with 16 in flight.
func BenchmarkWrite(b *testing.B) { benchmarkFlood(b, rdma.OpWrite, 16) }

// BenchmarkRead measures RDMA READ with 4 in flight.
func BenchmarkRead(b *testing.B) { benchmarkFlood(b, rdma.OpRead, 4) }

func benchmarkFlood(b *testing.B, op rdma.Op, depth int) {
	for _, size := range []int{4 << 10, 128 << 10} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			s, err := ask(b, openClosed(b), askEcho, rdmatest.Config())
			rdmatest.Must(b, err)
			flood(b, s, rdma.SendWR{Op: op, Local: rdmatest.SGE(s.mem, 0, size), RemoteAddr: s.addr, RemoteKey: s.key, Signaled: true}, depth)
		})
	}
}

// flood keeps depth copies of a request in flight.
func flood(b *testing.B, c rdma.Conn, wr rdma.SendWR, depth int) {
	ctx, done, work := context.Background(), make([]rdma.Completion, depth), make([]rdma.SendWR, depth)
	for i := range work {
		work[i] = wr
	}
	b.SetBytes(int64(wr.Local[0].Length))
	b.ReportAllocs()
	b.ResetTimer()
	for posted, completed := 0, 0; completed < b.N; {
		if n := min(depth-(posted-completed), b.N-posted); n > 0 {
			rdmatest.Must(b, c.PostSend(work[:n]...))
			posted += n
		}
		n, err := c.Poll(ctx, done)
		rdmatest.Must(b, err)
		for i := range done[:n] {
			rdmatest.Must(b, done[i].Err())
		}
		completed += n
	}
}
