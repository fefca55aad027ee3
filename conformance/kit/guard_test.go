// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ibnbd/ibnbd/vm/agent"
)

func TestAlarmingRecords(t *testing.T) {
	for text, want := range map[string]bool{
		"WARNING: CPU: 0 PID: 12 at drivers/x.c:99 f+0x1/0x2":                           true,
		"BUG: kernel NULL pointer dereference, address: 0000000000000008":               true,
		"BUG: KASAN: slab-use-after-free in rtrs_clt_x":                                 true,
		"WARNING: possible circular locking dependency detected":                        true,
		"INFO: task fio:123 blocked for more than 120 seconds.":                         true,
		"rcu: INFO: rcu_preempt self-detected stall on CPU":                             true,
		"refcount_t: underflow; use-after-free.":                                        true,
		"ODEBUG: free active (active state 0) object: 0 object type: work_struct":       true,
		"kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)":       true,
		"kmemleak: Kernel memory leak detector initialized (mem pool available: 31800)": false,
		"DMA-API: debugging enabled by kernel config":                                   false,
		"kasan: KernelAddressSanitizer initialized":                                     false,
		"rnbd_client L597: Session lost":                                                false,
		"rtrs_client: path disconnected, error recovery":                                false,
		"infiniband rxe0: set active":                                                   false,
		"random: crng init done":                                                        false,
		"Kernel command line: console=ttyS0 panic=-1 quiet mitigations=off":             false,
	} {
		if got := alarming.MatchString(text); got != want {
			t.Errorf("alarming(%q) = %v, want %v", text, got, want)
		}
	}
}

func TestResources(t *testing.T) {
	got := leakable(agent.RDMAResources{"rxe0": {"pd": 2, "qp": 4, "cq": 4}, "rxe1": {"pd": 1, "qp": 1, "cq": 2}})
	if diff := cmp.Diff(resources{"rxe0 pd": 2, "rxe0 qp": 4, "rxe1 pd": 1, "rxe1 qp": 1}, got); diff != "" {
		t.Errorf("leakable (-want +got):\n%s", diff)
	}
	changed := resources{"rxe0 qp": 5, "rxe0 pd": 2}
	want := []string{"rxe0 qp: 5 instead of 4"}
	if diff := cmp.Diff(want, changed.differences(resources{"rxe0 qp": 4, "rxe0 pd": 2})); diff != "" {
		t.Errorf("differences (-want +got):\n%s", diff)
	}
}
