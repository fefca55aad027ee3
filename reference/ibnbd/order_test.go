// SPDX-License-Identifier: Apache-2.0

package ibnbd

import (
	"math/rand/v2"
	"testing"
)

func TestWriteOrder(t *testing.T) {
	var o writeOrder
	op := func(offset, length int64) *blockOp { return &blockOp{offset: offset, length: length} }
	a, b, c, d := op(0, 100), op(50, 100), op(100, 50), op(200, 10)
	for i, tc := range []struct {
		op   *blockOp
		want bool
	}{{a, true}, {b, false}, {c, false}, {d, true}} { // c waits for b, which waits for a
		if got := o.enter(tc.op); got != tc.want {
			t.Errorf("write %d may begin: %t, want %t", i, got, tc.want)
		}
	}
	if ready := o.leave(d); ready != nil {
		t.Error("a write that nobody waits for has let another begin")
	}
	if ready := o.leave(a); ready != b || b.ready != nil {
		t.Error("the end of the first write does not let the second, and it alone, begin")
	}
	if ready := o.leave(b); ready != c {
		t.Error("the end of the second write does not let the third begin")
	}
	if o.leave(c); o.first != nil || o.last != nil || o.waiting != 0 {
		t.Error("something is left when all writes have ended")
	}
}

// TestWriteOrderAtRandom begins and ends writes at random: two that overlap never run at the same time, they run in the
// order in which they came, and all run.
func TestWriteOrderAtRandom(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	var o writeOrder
	var running []*blockOp
	entered, ended := map[*blockOp]int{}, 0
	const writes = 5000
	begin := func(op *blockOp) {
		for _, other := range running {
			if op.offset < other.offset+other.length && other.offset < op.offset+op.length {
				t.Fatal("two writes that overlap run at the same time")
			}
		}
		running = append(running, op)
	}
	last := map[int64]int{} // by block: when the write came that ended there last
	for n := 0; ended < writes; {
		if n < writes && (len(running) == 0 || rnd.IntN(2) == 0) {
			op := &blockOp{offset: rnd.Int64N(60), length: 1 + rnd.Int64N(8)}
			entered[op] = n
			n++
			if o.enter(op) {
				begin(op)
			}
			continue
		}
		i := rnd.IntN(len(running))
		op := running[i]
		running = append(running[:i], running[i+1:]...)
		for at := op.offset; at < op.offset+op.length; at++ {
			if when, ok := last[at]; ok && when > entered[op] {
				t.Fatalf("write %d was overtaken by write %d at block %d", entered[op], when, at)
			}
			last[at] = entered[op]
		}
		ended++
		for ready := o.leave(op); ready != nil; {
			next := ready.ready
			ready.ready = nil
			begin(ready)
			ready = next
		}
	}
	if o.first != nil || o.waiting != 0 {
		t.Error("something is left when all writes have ended")
	}
}
