// SPDX-License-Identifier: Apache-2.0

package fabric

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"
)

// Station is a Go program on a rail, as good as a guest: what it sends goes through the same switch and the same faults.
type Station struct {
	rail   *Rail
	name   string
	counts counters
	queue  chan []byte
	free   chan []byte // buffers to use again
	quit   chan struct{}
	once   sync.Once

	send  sync.Mutex // makes senders go one at a time; guards the two below
	frame Frame
	batch batch
}

// DefaultQueue is a queue for a station that keeps up with a busy rail, in frames.
const DefaultQueue = 1024

// Attach adds a station of that name to the rail. What waits to be received is at most queue frames (at least 1); more are
// lost and counted as overflow.
func (r *Rail) Attach(name string, queue int) (*Station, error) {
	if err := r.checkLink("station", name); err != nil {
		return nil, err
	}
	if queue < 1 {
		return nil, fmt.Errorf("fabric: attach %q to %s: the queue is %d frames; it needs at least 1", name, r.name, queue)
	}
	s := &Station{
		rail: r, name: name,
		queue: make(chan []byte, queue), free: make(chan []byte, queue), quit: make(chan struct{}),
		frame: Frame{Rail: r.name, From: name},
	}
	r.table.join(s)
	return s, nil
}

// Name is the station's name, unique on its rail.
func (s *Station) Name() string { return s.name }

// Stats returns the station's counters.
func (s *Station) Stats() LinkStats { return s.counts.stats() }

// Send puts frames on the rail, in order and together: Ethernet frames from the destination address on, without check
// sequence, of [MinFrame] to [MaxFrame] bytes. They may be changed again when Send returns. It does not wait for receivers.
func (s *Station) Send(frames ...[]byte) error {
	for _, data := range frames {
		if len(data) < MinFrame || len(data) > MaxFrame {
			return fmt.Errorf("fabric: station %s on %s: send a frame of %d bytes, outside %d to %d",
				s.name, s.rail.name, len(data), MinFrame, MaxFrame)
		}
	}
	select {
	case <-s.quit:
		return ErrClosed
	default:
	}
	s.send.Lock()
	defer s.send.Unlock()
	now := time.Now()
	for _, data := range frames {
		s.frame.use(data, now)
		s.counts.in(len(data))
		s.rail.offer(&s.frame, s, &s.batch)
	}
	s.batch.flush()
	return nil
}

// Receive waits for the next frame, copies it to buffer and returns its length. It returns io.ErrShortBuffer, and the frame
// is lost, where buffer is too small; [MaxFrame] bytes always suffice.
func (s *Station) Receive(ctx context.Context, buffer []byte) (int, error) {
	select {
	case frame := <-s.queue:
		return s.hand(frame, buffer)
	default:
	}
	select {
	case frame := <-s.queue:
		return s.hand(frame, buffer)
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-s.quit:
		return 0, ErrClosed
	}
}

// hand copies a frame out and keeps its buffer for the next.
func (s *Station) hand(frame, buffer []byte) (int, error) {
	n := copy(buffer, frame)
	var err error
	if n < len(frame) {
		err = fmt.Errorf("fabric: station %s: a frame of %d bytes for a buffer of %d: %w",
			s.name, len(frame), len(buffer), io.ErrShortBuffer)
	}
	select {
	case s.free <- frame:
	default:
	}
	return n, err
}

// Close takes the station off the rail. Receive and Send return [ErrClosed] from then on, except that Receive first returns
// what is in the queue.
func (s *Station) Close() error {
	s.once.Do(func() {
		s.rail.table.leave(s)
		close(s.quit)
	})
	return nil
}

func (s *Station) counters() *counters { return &s.counts }

// put implements link.
func (s *Station) put(frame []byte) bool {
	var buffer []byte
	select {
	case buffer = <-s.free:
	default:
	}
	buffer = append(buffer[:0], frame...)
	select {
	case s.queue <- buffer:
		s.counts.out(len(frame))
		return true
	default:
		if s.counts.lost() {
			s.rail.tell(Event{Kind: Overflowed, Detail: s.name})
		}
		return false
	}
}

// flush implements link; a station's queue needs none.
func (s *Station) flush() {}
