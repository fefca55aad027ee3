// SPDX-License-Identifier: Apache-2.0

package fabric

import (
	"cmp"
	"container/heap"
	"slices"
	"time"
)

// held is a frame that waits for its time, or to be overtaken.
type held struct {
	frame   *Frame // a copy, with the bytes that are to arrive
	to      link
	due     time.Time
	order   uint64    // breaks ties, so that frames of one time stay in order
	behind  int       // how many frames have still to overtake it; 0 where only time counts
	copies  int       // how many more times it arrives
	holders []*Handle // the faults that hold it
	index   int       // place in the heap
}

// holding is a heap of held frames, the next one due first.
type holding []*held

func (q holding) Len() int { return len(q) }

func (q holding) Less(i, j int) bool { return q[i].before(q[j]) < 0 }

func (q holding) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

func (q *holding) Push(x any) {
	item := x.(*held)
	item.index = len(*q)
	*q = append(*q, item)
}

func (q *holding) Pop() any {
	last := len(*q) - 1
	item := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return item
}

func (a *held) before(b *held) int {
	return cmp.Or(a.due.Compare(b.due), cmp.Compare(a.order, b.order))
}

// hold keeps a frame back; r.mu is held.
func (r *Rail) hold(item *held) {
	r.holdOrder++
	item.order = r.holdOrder
	heap.Push(&r.holding, item)
	if item.index == 0 {
		r.wakeHolder()
	}
}

func (r *Rail) wakeHolder() {
	select {
	case r.wake <- struct{}{}:
	default: // it is awake already
	}
}

// release sends out a frame that is in the heap; r.mu is held.
func (r *Rail) release(item *held, b *batch) {
	heap.Remove(&r.holding, item.index)
	for range item.copies + 1 {
		r.deliver(item.frame, item.to, b)
	}
}

// releaseHeldBy sends out what a fault holds, in the order in which it would have gone; r.mu is held. A frame that several
// faults hold goes with the first that ends.
func (r *Rail) releaseHeldBy(h *Handle, b *batch) {
	var items []*held
	for _, item := range r.holding {
		if slices.Contains(item.holders, h) {
			items = append(items, item)
		}
	}
	slices.SortFunc(items, (*held).before)
	for _, item := range items {
		r.release(item, b)
	}
}

// overtake counts a frame that went out against those that wait to be overtaken by matches of fault h; r.mu is held.
func (r *Rail) overtake(h *Handle, f *Frame, b *batch) {
	var items []*held
	for _, item := range r.holding {
		waits := item.behind > 0 && item.frame.From == f.From && slices.Contains(item.holders, h)
		if !waits {
			continue
		}
		item.behind--
		if item.behind == 0 {
			items = append(items, item)
		}
	}
	slices.SortFunc(items, (*held).before)
	for _, item := range items {
		r.release(item, b)
	}
}

// runHolder sends held frames out when they are due. It ends when the rail closes.
func (r *Rail) runHolder() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		timer.Reset(r.releaseDue())
		select {
		case <-timer.C:
		case <-r.wake:
		case <-r.quit:
			return
		}
	}
}

// releaseDue sends out what is due and returns how long it is to the next.
func (r *Rail) releaseDue() time.Duration {
	var b batch
	defer b.flush()
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.holding) > 0 {
		wait := time.Until(r.holding[0].due)
		if wait > 0 {
			return wait
		}
		r.release(r.holding[0], &b)
	}
	return time.Hour
}
