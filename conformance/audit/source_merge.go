// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"container/heap"
	"context"
	"errors"
	"io"
	"slices"
)

// sortWindow is how many frames of each file are held back to bring them into the order of their times: capture tools
// write what arrives on several queues of a network card a little out of order.
const sortWindow = 64

// Merge gives the frames of several sources in the order of their times: the rails of one run, each in its own file. A
// source that ends with an error ends alone; the errors come out together, after the last frame, in place of io.EOF.
func Merge(sources ...Source) Source {
	m := &merged{sources: sources, ended: make([]bool, len(sources))}
	for i := range sources {
		m.fill(i)
	}
	return m
}

// openRecordings opens files that one program has written by one clock which nobody sets.
func openRecordings(ctx context.Context, names []string) (Source, error) {
	sources, err := openAll(ctx, names)
	if err != nil {
		return nil, err
	}
	return Merge(sources...), nil
}

func openAll(ctx context.Context, names []string) ([]Source, error) {
	var sources []Source
	for _, name := range names {
		source, err := OpenFile(ctx, name)
		if err != nil {
			closeAll(sources)
			return nil, err
		}
		sources = append(sources, source)
	}
	return sources, nil
}

func closeAll(sources []Source) error {
	var errs []error
	for _, s := range sources {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

// heldFrame is a frame that is held back, with its bytes.
type heldFrame struct {
	frame  Frame
	source int
	order  uint64
	data   []byte
}

type merged struct {
	sources []Source
	ended   []bool
	queue   waitQueue
	free    []*heldFrame
	last    *heldFrame
	order   uint64
	errs    []error
}

// fill reads ahead from a source until its window is full.
func (m *merged) fill(source int) {
	for range sortWindow {
		if !m.read(source) {
			return
		}
	}
}

func (m *merged) read(source int) bool {
	if m.ended[source] {
		return false
	}
	frame, err := m.sources[source].Next()
	if err != nil {
		m.ended[source] = true
		if err != io.EOF {
			m.errs = append(m.errs, err)
		}
		return false
	}
	w := m.take()
	w.frame, w.source, w.order = frame, source, m.order
	w.frame.File = source
	m.order++
	w.data = append(w.data[:0], frame.Data...)
	w.frame.Data = w.data
	heap.Push(&m.queue, w)
	return true
}

func (m *merged) take() *heldFrame {
	if n := len(m.free); n > 0 {
		w := m.free[n-1]
		m.free = m.free[:n-1]
		return w
	}
	return new(heldFrame)
}

func (m *merged) Next() (Frame, error) {
	if m.last != nil {
		m.free = append(m.free, m.last)
		m.last = nil
	}
	if len(m.queue) == 0 {
		if len(m.errs) > 0 {
			return Frame{}, errors.Join(m.errs...)
		}
		return Frame{}, io.EOF
	}
	m.last = heap.Pop(&m.queue).(*heldFrame)
	m.read(m.last.source)
	return m.last.frame, nil
}

func (m *merged) Close() error { return closeAll(slices.Clone(m.sources)) }

// waitQueue is a heap by time, then by the order of reading.
type waitQueue []*heldFrame

func (q waitQueue) Len() int { return len(q) }

func (q waitQueue) Less(i, j int) bool {
	if q[i].frame.At.Equal(q[j].frame.At) {
		return q[i].order < q[j].order
	}
	return q[i].frame.At.Before(q[j].frame.At)
}

func (q waitQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }

func (q *waitQueue) Push(x any) { *q = append(*q, x.(*heldFrame)) }

func (q *waitQueue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}
