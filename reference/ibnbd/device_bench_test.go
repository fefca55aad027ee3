// SPDX-License-Identifier: Apache-2.0

package ibnbd_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// benchIO keeps depth I/Os in flight until b.N have ended.
func benchIO(b *testing.B, d *ibnbd.Device, kind ibnbd.Op, size, depth int) {
	b.Helper()
	b.SetBytes(int64(size))
	b.ReportAllocs()
	var mu sync.Mutex // guards left
	var all sync.WaitGroup
	left := b.N
	next := func() bool {
		mu.Lock()
		defer mu.Unlock()
		left--
		return left >= 0
	}
	places := d.Size() / int64(size)
	b.ResetTimer()
	for i := range depth {
		op := &ibnbd.IO{Op: kind, Data: make([]byte, size), Offset: int64(i) % places * int64(size)}
		op.Done = func(op *ibnbd.IO, err error) {
			if err != nil {
				b.Error(err)
			}
			if err != nil || !next() {
				all.Done()
				return
			}
			op.Offset = (op.Offset/int64(size) + int64(depth)) % places * int64(size)
			if err := d.Submit(context.Background(), op); err != nil {
				b.Error(err)
				all.Done()
			}
		}
		if !next() {
			break
		}
		all.Add(1)
		if err := d.Submit(context.Background(), op); err != nil {
			b.Fatal(err)
		}
	}
	all.Wait()
}

func BenchmarkDevice(b *testing.B) {
	for _, refresh := range []bool{false, true} {
		for _, tc := range []struct {
			kind        ibnbd.Op
			size, depth int
		}{
			{ibnbd.OpRead, 4096, 1}, {ibnbd.OpRead, 4096, 16}, {ibnbd.OpWrite, 4096, 16},
			{ibnbd.OpRead, 128 << 10, 8}, {ibnbd.OpWrite, 128 << 10, 8},
		} {
			b.Run(fmt.Sprintf("refresh=%t/%s/size=%d/depth=%d", refresh, tc.kind, tc.size, tc.depth), func(b *testing.B) {
				l := newLab(b)
				cfg := l.serverConfig()
				cfg.Transport.KeyRefresh = refresh
				cfg.Transport.Geometry = ibtrs.Geometry{QueueDepth: 128, MaxIOSize: 256<<10 - 4096, MaxHeaderSize: 4096}
				cfg.Exports = []ibnbd.Export{{Path: "ram0", Backend: l.memory(64<<20, 512)}}
				l.listen(cfg)
				d := l.mapDevice(l.connect(l.clientConfig("bench", 0)), "ram0", ibnbd.ReadWrite)
				benchIO(b, d, tc.kind, tc.size, tc.depth)
			})
		}
	}
}
