// SPDX-License-Identifier: Apache-2.0

package srp_test

import (
	"testing"

	"github.com/ibnbd/ibnbd/reference/srp"
)

// TestInitiatorDoesNotAllocate counts what 100 operations of 4 KiB allocate, on both sides and in the provider.
func TestInitiatorDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes sync.Pool forget")
	}
	for name, change := range map[string]func(*srp.PortConfig){
		"a key for each command": func(c *srp.PortConfig) { c.MaxImmediate = 0 },
		"immediate data":         func(*srp.PortConfig) {},
		"lists":                  func(c *srp.PortConfig) { c.Keys, c.Segment, c.MaxImmediate = srp.GlobalKey, 4096, 0 },
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			l.listen(l.targetConfig())
			cfg := l.portConfig()
			change(&cfg)
			d := disk0(t, l.login(cfg))
			data := make([]byte, 16384)
			n := testing.AllocsPerRun(20, func() {
				for range 100 {
					if _, err := d.WriteAt(data, 0); err != nil {
						t.Fatal(err)
					}
					if _, err := d.ReadAt(data, 0); err != nil {
						t.Fatal(err)
					}
				}
			})
			if n >= 10 {
				t.Errorf("200 operations allocate %v times", n)
			}
		})
	}
}

// BenchmarkInitiator keeps I/O in flight, over soft in one process.
func BenchmarkInitiator(b *testing.B) {
	for _, m := range []struct {
		name  string
		op    srp.Op
		size  int
		depth int
		keys  srp.Keys
	}{
		{"read 4 KiB, depth 16", srp.OpRead, 4096, 16, srp.GlobalKey},
		{"read 4 KiB, depth 16, own keys", srp.OpRead, 4096, 16, srp.KeyPerCommand},
		{"write 4 KiB, depth 16", srp.OpWrite, 4096, 16, srp.GlobalKey},
		{"read 128 KiB, depth 8", srp.OpRead, 128 << 10, 8, srp.GlobalKey},
		{"write 128 KiB, depth 8", srp.OpWrite, 128 << 10, 8, srp.GlobalKey},
	} {
		b.Run(m.name, func(b *testing.B) {
			l := newLab(b)
			tc := l.targetConfig()
			tc.RequestLimit = 64
			l.listen(tc)
			cfg := l.portConfig()
			cfg.Keys, cfg.AckTimeout = m.keys, 0
			d := disk0(b, l.login(cfg))
			free := make(chan *srp.IO, m.depth)
			done := func(o *srp.IO, err error) {
				if err != nil {
					b.Error(err)
				}
				free <- o
			}
			for range m.depth {
				free <- &srp.IO{Op: m.op, Data: make([]byte, m.size), Done: done}
			}
			b.SetBytes(int64(m.size))
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				o := <-free
				o.Offset = int64(i%(1<<20/m.size)) * int64(m.size)
				if err := d.Submit(o); err != nil {
					b.Fatal(err)
				}
			}
			for range m.depth {
				<-free
			}
		})
	}
}
