// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"fmt"
	"io"

	"github.com/ibnbd/ibnbd/vm/agent/internal/wire"
)

// MaxIO is the largest read or write of a File in bytes.
const MaxIO = wire.MaxMessage

// A File is an open file or block device in the guest. Every method is one system call there, so that what the kernel
// says to it is what comes back; memory is aligned for O_DIRECT. Calls may run side by side. When the context of a call
// ends the caller goes on; the guest's kernel may still be busy with it.
type File struct {
	client *Client
	handle wire.Handle
	name   string
}

// Open opens a file with the flags of open(2), such as syscall.O_RDWR|syscall.O_DIRECT. It is closed with the session at
// the latest.
func (c *Client) Open(ctx context.Context, name string, flags int) (*File, error) {
	f := &File{client: c, name: name}
	if err := c.call(ctx, wire.OpOpen, wire.Open{Path: name, Flags: flags}, nil, &f.handle); err != nil {
		return nil, err
	}
	return f, nil
}

// Name is the name that the file was opened by.
func (f *File) Name() string { return f.name }

// ReadAt reads up to len(p) bytes at an offset, both in bytes, with one pread. Less than asked for comes with io.EOF, as
// for io.ReaderAt.
func (f *File) ReadAt(ctx context.Context, p []byte, offset int64) (int, error) {
	st, err := f.client.begin(ctx, wire.OpPread, f.region(offset, int64(len(p))))
	if err != nil {
		return 0, err
	}
	defer st.finish()
	kind, body, err := st.receive()
	if err != nil {
		return 0, err
	}
	if kind != wire.Bytes || len(body) > len(p) {
		return 0, st.unexpected(kind)
	}
	n := copy(p, body)
	if err := st.result(nil); err != nil {
		return n, err
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt writes p at an offset in bytes with one pwrite. Less than asked for comes with io.ErrShortWrite.
func (f *File) WriteAt(ctx context.Context, p []byte, offset int64) (int, error) {
	if len(p) > MaxIO {
		return 0, fmt.Errorf("guest write %s: %d bytes: the limit is %d", f.name, len(p), MaxIO)
	}
	var count wire.Count
	err := f.client.call(ctx, wire.OpPwrite, f.region(offset, int64(len(p))), nonNil(p), &count)
	if err == nil && count.Count < int64(len(p)) {
		err = fmt.Errorf("guest write %s: %d of %d bytes: %w", f.name, count.Count, len(p), io.ErrShortWrite)
	}
	return int(count.Count), err
}

// Sync is fsync.
func (f *File) Sync(ctx context.Context) error {
	return f.client.call(ctx, wire.OpSync, f.handle, nil, nil)
}

// Discard discards a region of a block device, in bytes: BLKDISCARD.
func (f *File) Discard(ctx context.Context, offset, length int64) error {
	return f.client.call(ctx, wire.OpDiscard, f.region(offset, length), nil, nil)
}

// ZeroOut zeroes a region of a block device, in bytes: BLKZEROOUT.
func (f *File) ZeroOut(ctx context.Context, offset, length int64) error {
	return f.client.call(ctx, wire.OpZeroOut, f.region(offset, length), nil, nil)
}

// DropCache writes back and forgets what the guest has cached of a block device: BLKFLSBUF.
func (f *File) DropCache(ctx context.Context) error {
	return f.client.call(ctx, wire.OpFlushBuf, f.handle, nil, nil)
}

// Size is that of the block device, or of the file, in bytes.
func (f *File) Size(ctx context.Context) (int64, error) {
	var count wire.Count
	err := f.client.call(ctx, wire.OpSize, f.handle, nil, &count)
	return count.Count, err
}

// Close closes the file when calls that are still inside the kernel have returned.
func (f *File) Close(ctx context.Context) error {
	return f.client.call(ctx, wire.OpClose, f.handle, nil, nil)
}

func (f *File) region(offset, length int64) wire.Region {
	return wire.Region{Handle: f.handle.Handle, Offset: offset, Length: length}
}
