// SPDX-License-Identifier: Apache-2.0

package ibnbd

import (
	"math/rand/v2"
	"testing"
)

func TestOrder(t *testing.T) {
	var o order[int]
	op := func(offset, length int64) *place[int] { return &place[int]{offset: offset, length: length} }
	a, b, c, d := op(0, 100), op(50, 100), op(100, 50), op(200, 10)
	for i, tc := range []struct {
		op   *place[int]
		want bool
	}{{a, true}, {b, false}, {c, false}, {d, true}} { // c waits for b, which waits for a
		if got := o.enter(tc.op, i); got != tc.want {
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

// TestReadsWaitForWrites has reads among the writes: they wait, and nobody waits for them.
func TestReadsWaitForWrites(t *testing.T) {
	var o order[string]
	op := func() *place[string] { return &place[string]{length: 100} }
	early, write, read, impatient, next, other := op(), op(), op(), op(), op(), &place[string]{offset: 100, length: 1}
	if !o.read(early, "early") || early.listed {
		t.Error("a read waits where nobody writes")
	}
	if !o.enter(write, "write") || !o.read(other, "other") {
		t.Error("a read of other blocks waits for a write")
	}
	if o.read(read, "read") || o.read(impatient, "impatient") || o.enter(next, "next") {
		t.Error("what touches the blocks of a write does not wait")
	}
	if ready := o.leave(impatient); ready != nil {
		t.Errorf("a read that gives up lets %q begin", ready.op)
	}
	ready := o.leave(write)
	if ready != read || read.ready != next || next.ready != nil {
		t.Error("the end of a write does not let the read and the next write begin, in this order")
	}
	if read.listed || o.leave(read) != nil {
		t.Error("a read that has begun is in the order")
	}
	if o.leave(next) != nil || o.first != nil || o.last != nil || o.waiting != 0 || o.writes.Load() != 0 {
		t.Error("something is left when all have ended")
	}
}

// TestWriteThatGivesUpLetsOthersBegin takes a write out of the order that waits.
func TestWriteThatGivesUpLetsOthersBegin(t *testing.T) {
	var o order[int]
	a, b, c := &place[int]{length: 10}, &place[int]{length: 30}, &place[int]{offset: 20, length: 10}
	if !o.enter(a, 1) || o.enter(b, 2) || o.enter(c, 3) {
		t.Fatal("the second and the third must wait")
	}
	if ready := o.leave(b); ready != c || c.ready != nil {
		t.Error("the third waits, although the second, which it waited for, has gone")
	}
	if o.leave(a) != nil || o.leave(c) != nil || o.waiting != 0 || o.writes.Load() != 0 {
		t.Error("something is left when all have ended")
	}
}

// TestOrderAtRandom begins and ends writes at random: two that overlap never run at the same time, they run in the
// order in which they came, and all run.
func TestOrderAtRandom(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	var o order[int]
	var running []*place[int]
	entered, ended := map[*place[int]]int{}, 0
	const writes = 5000
	begin := func(op *place[int]) {
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
			op := &place[int]{offset: rnd.Int64N(60), length: 1 + rnd.Int64N(8)}
			entered[op] = n
			n++
			if o.enter(op, n) {
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
