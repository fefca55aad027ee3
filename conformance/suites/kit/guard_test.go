// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAlarmingRecords(t *testing.T) {
	for text, want := range map[string]bool{
		"WARNING: CPU: 0 PID: 12 at drivers/x.c:99 f+0x1/0x2":               true,
		"BUG: kernel NULL pointer dereference, address: 0000000000000008":   true,
		"BUG: KASAN: slab-use-after-free in rtrs_clt_x":                     true,
		"WARNING: possible circular locking dependency detected":            true,
		"INFO: task fio:123 blocked for more than 120 seconds.":             true,
		"rcu: INFO: rcu_preempt self-detected stall on CPU":                 true,
		"refcount_t: underflow; use-after-free.":                            true,
		"rnbd_client L597: Session lost":                                    false,
		"rtrs_client: path disconnected, error recovery":                    false,
		"infiniband rxe0: set active":                                       false,
		"random: crng init done":                                            false,
		"Kernel command line: console=ttyS0 panic=-1 quiet mitigations=off": false,
	} {
		if got := alarming.MatchString(text); got != want {
			t.Errorf("alarming(%q) = %v, want %v", text, got, want)
		}
	}
}

func TestParseResources(t *testing.T) {
	got := parseResources("0: rxe0: pd 2 cq 4 qp 4 cm_id 1 mr 0 ctx 0 srq 0 \n1: rxe1: pd 1 cq 2 qp 1 cm_id 0 mr 0 ctx 0 srq 0 \n")
	if got["rxe0 qp"] != "4" || got["rxe1 pd"] != "1" || len(got) != 12 {
		t.Errorf("parseResources() = %v", got)
	}
	changed := resources{"rxe0 qp": "5", "rxe0 pd": "2"}
	want := []string{"rxe0 qp: 5 instead of 4"}
	if diff := cmp.Diff(want, changed.differences(resources{"rxe0 qp": "4", "rxe0 pd": "2"})); diff != "" {
		t.Errorf("differences (-want +got):\n%s", diff)
	}
}
