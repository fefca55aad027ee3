// SPDX-License-Identifier: Apache-2.0

package ibnbd_test

import (
	"fmt"
	"testing"

	"github.com/ibnbd/ibnbd/reference/ibnbd"
)

// TestSteadyStateDoesNotAllocate reads and writes, with a key for each request and with one for all. It counts what 100
// I/Os allocate, on both sides and in the provider: a pool that was emptied by the garbage collector may be filled again.
func TestSteadyStateDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes sync.Pool forget")
	}
	for _, refresh := range []bool{false, true} {
		l := newLab(t)
		cfg := l.serverConfig()
		cfg.Transport.KeyRefresh = refresh
		l.listen(cfg)
		d := l.mapDevice(l.connect(l.clientConfig("blya", 0)), "ram0", ibnbd.ReadWrite)
		p := make([]byte, 4096)
		for name, once := range map[string]func([]byte, int64) (int, error){"read": d.ReadAt, "write": d.WriteAt} {
			t.Run(fmt.Sprintf("%s/refresh=%t", name, refresh), func(t *testing.T) {
				n := testing.AllocsPerRun(20, func() {
					for range 100 {
						if _, err := once(p, 0); err != nil {
							t.Fatal(err)
						}
					}
				})
				if n >= 10 {
					t.Errorf("100 I/Os allocate %v times", n)
				}
			})
		}
	}
}
