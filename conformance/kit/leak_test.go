// SPDX-License-Identifier: Apache-2.0

package kit

import "testing"

func TestLeaksAreNamedByModule(t *testing.T) {
	const object = `unreferenced object 0xffff888100d44000 (size 64):
  comm "kworker/0:1", pid 9, jiffies 4294937296
  hex dump (first 32 bytes):
    6b 6b 6b 6b 6b 6b 6b 6b 6b 6b 6b 6b 6b 6b 6b 6b  kkkkkkkkkkkkkkkk
  backtrace (crc 2f1cd1d4):
    [<00000000d9a2b1c4>] __kmalloc_cache_noprof+0x211/0x2f0
`
	for report, want := range map[string]string{
		"": "",
		object + "    [<0>] do_one_initcall+0x9c/0x3a0\n": "",
		object + "    [<0>] make_session+0x1c/0x50 [rtrs_server]\n    [<0>] handler+0x1c/0x50 [rdma_cm]\n" + object +
			"    make_session+0x1c/0x50 [rtrs_server]\n": "2 by make_session of rtrs_server",
	} {
		if got := leaksOf(report); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
