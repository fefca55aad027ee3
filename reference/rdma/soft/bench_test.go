// SPDX-License-Identifier: Apache-2.0

package soft_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/rdma/soft"
)

// benchModes are the two ways to run over a hub: with the ICRC computed and checked, and without.
var benchModes = []struct {
	name string
	cfg  soft.Config
}{
	{"ICRC", soft.Config{}},
	{"trusted", soft.Config{TrustLink: true}},
}

// BenchmarkWrite measures RDMA WRITE with depth requests in flight.
func BenchmarkWrite(b *testing.B) {
	for _, mode := range benchModes {
		for _, size := range []int{4 << 10, 128 << 10} {
			b.Run(fmt.Sprintf("%s/%dKiB", mode.name, size>>10), func(b *testing.B) {
				p := newPair(b, mode.cfg, mode.cfg)
				p.connect(b, wallConn)
				wr := rdma.SendWR{
					Op: rdma.OpWrite, Local: part(p.memA, 0, size), RemoteAddr: p.memB.Addr(), RemoteKey: p.memB.Key(), Signaled: true,
				}
				flood(b, p.client, wr, 32)
			})
		}
	}
}

// BenchmarkRead measures RDMA READ.
func BenchmarkRead(b *testing.B) {
	for _, mode := range benchModes {
		for _, size := range []int{4 << 10, 128 << 10} {
			b.Run(fmt.Sprintf("%s/%dKiB", mode.name, size>>10), func(b *testing.B) {
				p := newPair(b, mode.cfg, mode.cfg)
				p.connect(b, wallConn)
				wr := rdma.SendWR{
					Op: rdma.OpRead, Local: part(p.memA, 0, size), RemoteAddr: p.memB.Addr(), RemoteKey: p.memB.Key(), Signaled: true,
				}
				flood(b, p.client, wr, 16)
			})
		}
	}
}

// flood keeps depth copies of a request in flight.
func flood(b *testing.B, c rdma.Conn, wr rdma.SendWR, depth int) {
	b.SetBytes(int64(wr.Local[0].Length))
	b.ReportAllocs()
	b.ResetTimer()
	ctx := context.Background()
	done := make([]rdma.Completion, depth)
	work := make([]rdma.SendWR, depth)
	for i := range work {
		work[i] = wr
	}
	posted, completed := 0, 0
	for completed < b.N {
		if n := min(depth-(posted-completed), b.N-posted); n > 0 {
			must(b, c.PostSend(work[:n]...))
			posted += n
		}
		n, err := c.Poll(ctx, done)
		must(b, err)
		for _, d := range done[:n] {
			must(b, d.Err())
		}
		completed += n
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
}

// BenchmarkRequestResponse measures what a block write of 4 KiB costs on a storage protocol: the data and a notice go as
// WRITE with immediate, the answer comes back as WRITE with immediate, with depth requests in flight.
func BenchmarkRequestResponse(b *testing.B) {
	for _, mode := range benchModes {
		for _, depth := range []int{1, 16, 64} {
			b.Run(fmt.Sprintf("%s/4KiB/depth%d", mode.name, depth), func(b *testing.B) {
				p := newPair(b, mode.cfg, mode.cfg)
				cfg := wallConn
				cfg.SendQueue, cfg.RecvQueue = 512, 512
				p.connect(b, cfg)
				requestResponse(b, p, depth)
			})
		}
	}
}

func requestResponse(b *testing.B, p *pair, depth int) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	served := make(chan error, 1)
	go func() {
		served <- serveEcho(ctx, p)
		cancel()
	}()
	wr := rdma.SendWR{Op: rdma.OpWriteImm, Local: part(p.memA, 0, 4096), RemoteAddr: p.memB.Addr(), RemoteKey: p.memB.Key(), Signaled: true}
	work := make([]rdma.SendWR, depth)
	for i := range work {
		work[i] = wr
	}
	var done [64]rdma.Completion
	var empty [64]rdma.RecvWR
	b.ReportAllocs()
	b.ResetTimer()
	must(b, p.client.PostRecv(make([]rdma.RecvWR, 64)...))
	must(b, p.server.PostRecv(make([]rdma.RecvWR, 64)...))
	sent, answered, confirmed := 0, 0, 0
	for answered < b.N {
		n := min(depth-(sent-min(answered, confirmed)), b.N-sent)
		if n > 0 {
			must(b, p.client.PostSend(work[:n]...))
			sent += n
		}
		n, err := p.client.Poll(ctx, done[:])
		if err != nil {
			b.Fatal(err, <-served)
		}
		again := 0
		for _, d := range done[:n] {
			must(b, d.Err())
			if d.Recv {
				answered++
				again++
			} else {
				confirmed++
			}
		}
		must(b, p.client.PostRecv(empty[:again]...))
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
	b.StopTimer()
	cancel()
	<-served
}

// serveEcho answers every WRITE with immediate with an empty one.
func serveEcho(ctx context.Context, p *pair) error {
	var done [64]rdma.Completion
	var work []rdma.SendWR
	var recvs []rdma.RecvWR
	count := 0
	for {
		n, err := p.server.Poll(ctx, done[:])
		if err != nil {
			return err
		}
		work, recvs = work[:0], recvs[:0]
		for _, d := range done[:n] {
			if !d.Recv {
				continue
			}
			count++
			work = append(work, rdma.SendWR{Op: rdma.OpWriteImm, RemoteAddr: p.memA.Addr(), RemoteKey: p.memA.Key(), Imm: d.Imm, Signaled: count%16 == 0})
			recvs = append(recvs, rdma.RecvWR{})
		}
		if err := p.server.PostRecv(recvs...); err != nil {
			return err
		}
		if err := p.server.PostSend(work...); err != nil {
			return err
		}
	}
}
