// SPDX-License-Identifier: Apache-2.0

package ibnbd_test

import (
	"testing"

	"github.com/ibnbd/ibnbd/reference/ibnbd"
)

// TestSteadyStateDoesNotAllocate reads and writes with static keys. What a write costs is all ours; a read binds a
// window, which the provider of these tests allocates for.
func TestSteadyStateDoesNotAllocate(t *testing.T) {
	l := newLab(t)
	cfg := l.serverConfig()
	cfg.Transport.KeyRefresh = false
	l.listen(cfg)
	d := l.mapDevice(l.connect(l.clientConfig("blya", 0)), "ram0", ibnbd.ReadWrite)
	p := make([]byte, 4096)
	if raceEnabled {
		t.Skip("the race detector makes sync.Pool forget")
	}
	n := testing.AllocsPerRun(2000, func() {
		if _, err := d.WriteAt(p, 0); err != nil {
			t.Fatal(err)
		}
	})
	if n >= 1 {
		t.Errorf("a write allocates %v times", n)
	}
}
