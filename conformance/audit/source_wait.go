// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"fmt"
	"io"
	"os"
)

// waiting reads from a file that may keep its reader waiting: a pipe or a terminal. The end of the context ends that. The read
// under way cannot be taken back: it stays until something comes or the program ends.
type waiting struct {
	ctx  context.Context
	full chan piece
	free chan []byte
	last piece
	rest []byte // of the last piece
	stop func()
}

// piece is what one read brought.
type piece struct {
	buf []byte
	n   int
	err error
}

// waitFor reads from what open gives. Opening may take its time as well: a named pipe is open when somebody writes to it.
func waitFor(ctx context.Context, open func() (io.ReadCloser, error)) *waiting {
	inner, stop := context.WithCancel(ctx)
	w := &waiting{ctx: inner, full: make(chan piece), free: make(chan []byte, 2), stop: stop}
	for range cap(w.free) {
		w.free <- make([]byte, 64<<10)
	}
	go w.fill(open)
	return w
}

// fill reads until an error or the end of the context.
func (w *waiting) fill(open func() (io.ReadCloser, error)) {
	file, err := open()
	if err != nil {
		w.pass(piece{err: err})
		return
	}
	defer file.Close()
	for {
		select {
		case buf := <-w.free:
			n, err := file.Read(buf)
			if !w.pass(piece{buf, n, err}) || err != nil {
				return
			}
		case <-w.ctx.Done():
			return
		}
	}
}

func (w *waiting) pass(p piece) bool {
	select {
	case w.full <- p:
		return true
	case <-w.ctx.Done():
		return false
	}
}

func (w *waiting) Read(p []byte) (int, error) {
	for len(w.rest) == 0 {
		if w.last.err != nil {
			return 0, w.last.err
		}
		if w.last.buf != nil {
			w.free <- w.last.buf
			w.last.buf = nil
		}
		select {
		case w.last = <-w.full:
			w.rest = w.last.buf[:w.last.n]
		case <-w.ctx.Done():
			return 0, endOf(w.ctx)
		}
	}
	n := copy(p, w.rest)
	w.rest = w.rest[n:]
	return n, nil
}

// endOf tells that a context has ended, and why.
func endOf(ctx context.Context) error {
	if cause := context.Cause(ctx); cause != ctx.Err() {
		return fmt.Errorf("%w: %w", ctx.Err(), cause)
	}
	return ctx.Err()
}

// Close ends the reading. It does not wait for a read that is under way.
func (w *waiting) Close() error {
	w.stop()
	return nil
}

// openFile opens a file for reading, or something else that has a name in the file system; "-" is the standard input.
func openFile(ctx context.Context, name string) (io.ReadCloser, error) {
	if name == "-" {
		if info, err := os.Stdin.Stat(); err == nil && info.Mode().IsRegular() {
			return io.NopCloser(os.Stdin), nil
		}
		return waitFor(ctx, func() (io.ReadCloser, error) { return io.NopCloser(os.Stdin), nil }), nil
	}
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, errDirectory
	case info.Mode().IsRegular():
		return os.Open(name)
	}
	return waitFor(ctx, func() (io.ReadCloser, error) { return os.Open(name) }), nil
}
