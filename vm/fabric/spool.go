// SPDX-License-Identifier: Apache-2.0

package fabric

import (
	"io"
	"slices"
	"sync"
)

// Sizes of a spool.
const (
	spoolChunk  = 256 << 10 // bytes a write to the file at most
	spoolChunks = 512       // so 128 MiB may wait for a slow disk
)

// spool writes to a file in a goroutine of its own, so that a disk that takes its time never holds up the wire.
type spool struct {
	file    io.Writer
	chunks  chan []byte
	free    chan []byte
	stopped sync.WaitGroup
	err     error // of the file; valid once stopped
}

func newSpool(file io.Writer) *spool {
	s := &spool{file: file, chunks: make(chan []byte, spoolChunks), free: make(chan []byte, spoolChunks)}
	s.stopped.Go(s.run)
	return s
}

// room says whether one more Write would not have to wait. It holds for the one who writes.
func (s *spool) room() bool { return len(s.chunks) < cap(s.chunks) }

// Write queues a copy of p. It never fails: what the file says comes with stop.
func (s *spool) Write(p []byte) (int, error) {
	var chunk []byte
	select {
	case chunk = <-s.free:
	default:
	}
	s.chunks <- append(slices.Grow(chunk[:0], spoolChunk), p...)
	return len(p), nil
}

func (s *spool) run() {
	for chunk := range s.chunks {
		if s.err == nil {
			_, s.err = s.file.Write(chunk)
		}
		select {
		case s.free <- chunk:
		default: // enough are free
		}
	}
}

// stop waits until all is in the file and returns the first error of writing it.
func (s *spool) stop() error {
	close(s.chunks)
	s.stopped.Wait()
	return s.err
}
