// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"sync"
	"syscall"

	"github.com/ibnbd/ibnbd/vm/agent/internal/wire"
)

// handles are the files that a session holds open.
type handles struct {
	mu   sync.Mutex
	last uint64
	open map[uint64]*handle
}

// A handle is an open file. The descriptor is closed when the last call that uses it has returned.
type handle struct {
	fd    int
	path  string
	users sync.WaitGroup
}

func (h *handles) add(fd int, path string) uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.open == nil {
		h.open = map[uint64]*handle{}
	}
	h.last++
	h.open[h.last] = &handle{fd: fd, path: path}
	return h.last
}

// use returns the handle for one call; done must be called after it.
func (h *handles) use(id uint64) (file *handle, done func(), err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	file, ok := h.open[id]
	if !ok {
		return nil, nil, fmt.Errorf("file handle %d: %w", id, syscall.EBADF)
	}
	file.users.Add(1)
	return file, file.users.Done, nil
}

func (h *handles) remove(id uint64) (*handle, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	file, ok := h.open[id]
	if !ok {
		return nil, fmt.Errorf("file handle %d: %w", id, syscall.EBADF)
	}
	delete(h.open, id)
	return file, nil
}

// closeAll closes what is open, in the background where calls are still inside the kernel.
func (h *handles) closeAll() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, file := range h.open {
		go file.close()
	}
	h.open = nil
}

func (f *handle) close() error {
	f.users.Wait()
	return f.failed("close", syscall.Close(f.fd))
}

// failed names the call and the file that err came from; nil stays nil.
func (f *handle) failed(op string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: f.path, Err: err}
}

func open(_ context.Context, s *session, _ *stream, raw json.RawMessage) (any, error) {
	args, err := arguments[wire.Open](raw)
	if err != nil {
		return nil, err
	}
	fd, err := syscall.Open(args.Path, args.Flags|syscall.O_CLOEXEC, 0o644)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: args.Path, Err: err}
	}
	return wire.Handle{Handle: s.handles.add(fd, args.Path)}, nil
}

func closeHandle(_ context.Context, s *session, _ *stream, raw json.RawMessage) (any, error) {
	args, err := arguments[wire.Handle](raw)
	if err != nil {
		return nil, err
	}
	file, err := s.handles.remove(args.Handle)
	if err != nil {
		return nil, err
	}
	return nil, file.close()
}
