// SPDX-License-Identifier: Apache-2.0

package qemu

import (
	"fmt"
	"sync"
	"time"
)

// readTSC reads the CPU's time stamp counter.
func readTSC() uint64

// tscSpan is how long the counter is measured; the rate is then right to about one part in ten thousand.
const tscSpan = 20 * time.Millisecond

// tscKHz measures, once, how fast the counter of this machine runs.
var tscKHz = sync.OnceValue(func() uint64 {
	begin, from := time.Now(), readTSC()
	time.Sleep(tscSpan)
	to, took := readTSC(), time.Since(begin)
	return (to - from) * uint64(time.Millisecond) / uint64(took)
})

// clockWords tell a translated guest how fast its time stamp counter runs, which is as fast as the host's. A guest that is
// left to find out compares it with an emulated timer, and when the host is busy just then it is wrong by any factor: its
// clock, and every timer in it, then runs that much too fast or too slow.
func clockWords(a Accelerator) string {
	if a != TCG {
		return ""
	}
	return fmt.Sprintf("tsc_early_khz=%d", tscKHz())
}
