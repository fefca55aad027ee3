// SPDX-License-Identifier: Apache-2.0

package fabric

import (
	"encoding/binary"
	"sync"
)

// lengthSize is the size of the length in front of each frame on a QEMU stream socket: four bytes, big-endian.
const lengthSize = 4

// portQueue bounds what waits for a guest that does not read, in bytes.
const portQueue = 4 << 20

// outbox writes frames to one connection. Frames collect in pending; whoever flushes writes all of them with one system
// call if the socket takes them, and otherwise leaves the rest to the outbox's own goroutine, so that nobody else waits.
type outbox struct {
	socket  *socket
	rest    chan []byte   // what a flush could not write, for run
	quit    chan struct{} // closed by stop
	stopped sync.WaitGroup

	mu      sync.Mutex
	pending []byte // whole frames with their lengths
	spare   []byte // an empty buffer to swap with pending
	writing bool   // somebody writes; pending is his to take next
	failed  bool   // the connection is broken
}

func newOutbox(s *socket) *outbox {
	o := &outbox{socket: s, rest: make(chan []byte, 1), quit: make(chan struct{})}
	o.stopped.Go(o.run)
	return o
}

// put queues a frame; false says that the queue is full.
func (o *outbox) put(frame []byte) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.pending)+lengthSize+len(frame) > portQueue {
		return false
	}
	o.pending = binary.BigEndian.AppendUint32(o.pending, uint32(len(frame)))
	o.pending = append(o.pending, frame...)
	return true
}

// flush writes what is queued as far as that goes without waiting.
func (o *outbox) flush() {
	for {
		buffer := o.claim()
		if buffer == nil {
			return
		}
		n := o.socket.trySend(buffer)
		if n < len(buffer) {
			o.rest <- buffer[n:] // there is room: only the one who writes sends
			return
		}
		o.giveBack(buffer)
	}
}

// claim makes the caller the one who writes and returns what to write; nil where there is nothing, or another one writes.
func (o *outbox) claim() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.writing || o.failed || len(o.pending) == 0 {
		return nil
	}
	o.writing = true
	return o.swap()
}

// swap takes the queued frames; o.mu is held.
func (o *outbox) swap() []byte {
	buffer := o.pending
	o.pending, o.spare = o.spare[:0], nil
	return buffer
}

// giveBack ends the caller's turn to write.
func (o *outbox) giveBack(buffer []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.spare = buffer
	o.writing = false
}

// run writes what flushes left, waiting for the reader as long as it takes.
func (o *outbox) run() {
	for {
		select {
		case buffer := <-o.rest:
			o.finish(buffer)
		case <-o.quit:
			return
		}
	}
}

// finish writes a rest and whatever was queued meanwhile.
func (o *outbox) finish(buffer []byte) {
	for len(buffer) > 0 {
		n, err := o.socket.send(buffer)
		o.mu.Lock()
		if err != nil {
			o.failed, o.pending = true, nil // the port's reader sees the end of the connection too, and tells
			o.mu.Unlock()
			return
		}
		if buffer = buffer[n:]; len(buffer) == 0 {
			buffer = o.swap()
		}
		o.writing = len(buffer) > 0
		o.mu.Unlock()
	}
}

// stop ends the goroutine; the connection must be hung up already.
func (o *outbox) stop() {
	close(o.quit)
	o.stopped.Wait()
}
