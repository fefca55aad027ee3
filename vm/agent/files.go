// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/ibnbd/ibnbd/vm/agent/internal/wire"
)

// ReadFile returns the content of a file in the guest. Errors of this and the other file operations wrap an *fs.PathError
// with the guest's syscall.Errno, for errors.Is and errors.As.
func (c *Client) ReadFile(ctx context.Context, name string) ([]byte, error) {
	a, err := c.files(ctx, FileCall{Op: ReadFile, Path: name})
	return a.Data, err
}

// WriteFile writes data to an existing file with exactly one write call, as sysfs and its like want it. It neither makes
// nor truncates the file. A short write is io.ErrShortWrite.
func (c *Client) WriteFile(ctx context.Context, name string, data []byte) error {
	_, err := c.files(ctx, FileCall{Op: WriteFile, Path: name, Data: data})
	return err
}

func nonNil(data []byte) []byte {
	if data == nil {
		return []byte{}
	}
	return data
}

// A FileInfo describes a file in the guest.
type FileInfo struct {
	Name    string
	Size    int64
	Mode    fs.FileMode
	ModTime time.Time // of the guest's clock
	Inode   uint64
	Device  uint64 // of the file system that the file is in
	Special uint64 // the number of a device file itself
}

func fileInfo(w wire.FileInfo) FileInfo {
	return FileInfo{w.Name, w.Size, fs.FileMode(w.Mode), w.ModTime, w.Inode, w.Device, w.Special}
}

// Stat describes the file that name leads to.
func (c *Client) Stat(ctx context.Context, name string) (FileInfo, error) {
	a, err := c.files(ctx, FileCall{Op: Stat, Path: name})
	return a.Info, err
}

// Lstat describes the file name itself, a symbolic link or not.
func (c *Client) Lstat(ctx context.Context, name string) (FileInfo, error) {
	a, err := c.files(ctx, FileCall{Op: Lstat, Path: name})
	return a.Info, err
}

// Exists tells whether there is a file, a link that leads nowhere included.
func (c *Client) Exists(ctx context.Context, name string) (bool, error) {
	_, err := c.Lstat(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// ReadDir describes the files of a directory, sorted by name.
func (c *Client) ReadDir(ctx context.Context, name string) ([]FileInfo, error) {
	a, err := c.files(ctx, FileCall{Op: ReadDir, Path: name})
	return a.Infos, err
}

// Readlink returns what a symbolic link holds.
func (c *Client) Readlink(ctx context.Context, name string) (string, error) {
	a, err := c.files(ctx, FileCall{Op: Readlink, Path: name})
	return a.Target, err
}

// Glob returns the files whose paths match a pattern as of path/filepath.Match, sorted.
func (c *Client) Glob(ctx context.Context, pattern string) ([]string, error) {
	a, err := c.files(ctx, FileCall{Op: Glob, Path: pattern})
	return a.Names, err
}

// Content is what a file of the guest holds.
type Content struct {
	Path  string
	Bytes []byte
}

// ReadFiles reads all files, small ones, whose paths match one of some patterns as of path/filepath.Match, pattern by pattern and
// sorted by path. It asks the guest once, where ReadFile would have to be called for each.
func (c *Client) ReadFiles(ctx context.Context, patterns ...string) ([]Content, error) {
	a, err := c.files(ctx, FileCall{Op: ReadFiles, Patterns: patterns})
	return a.Files, err
}

// Mkdir makes a directory; in configfs that makes an object.
func (c *Client) Mkdir(ctx context.Context, name string) error {
	return c.call(ctx, wire.OpMkdir, wire.FilePath{Path: name}, nil, nil)
}

// Remove removes a file or an empty directory.
func (c *Client) Remove(ctx context.Context, name string) error {
	return c.call(ctx, wire.OpRemove, wire.FilePath{Path: name}, nil, nil)
}

// Symlink makes a symbolic link name that holds target.
func (c *Client) Symlink(ctx context.Context, target, name string) error {
	return c.call(ctx, wire.OpSymlink, wire.Symlink{Path: name, Target: target}, nil, nil)
}

// CopyIn makes the file name in the guest with what content gives.
func (c *Client) CopyIn(ctx context.Context, name string, content io.Reader, perm fs.FileMode) error {
	return c.send(ctx, wire.OpCopyIn, wire.CopyIn{Path: name, Perm: uint32(perm.Perm())}, content)
}

// CopyOut writes the content of the guest's file name to w.
func (c *Client) CopyOut(ctx context.Context, name string, w io.Writer) error {
	return c.readChunks(ctx, name, func(chunk []byte) error {
		_, err := w.Write(chunk)
		return err
	})
}

// Unpack lays a layer of an image, a file on the host, over the guest's root file system. Files that are there already
// stay as they are.
func (c *Client) Unpack(ctx context.Context, layer string) error {
	in, err := os.Open(layer)
	if err != nil {
		return fmt.Errorf("unpack layer in guest: %w", err)
	}
	defer in.Close()
	return c.send(ctx, wire.OpUnpack, nil, in)
}

// readChunks has take called with the content of a file, chunk by chunk.
func (c *Client) readChunks(ctx context.Context, name string, take func([]byte) error) error {
	st, err := c.begin(ctx, wire.OpRead, wire.FilePath{Path: name})
	if err != nil {
		return err
	}
	defer st.finish()
	for {
		kind, body, err := st.receive()
		switch {
		case err != nil:
			return err
		case kind == wire.End:
			return st.result(nil)
		case kind != wire.Bytes:
			return st.unexpected(kind)
		}
		if err := take(body); err != nil {
			return fmt.Errorf("guest %s %s: %w", wire.OpRead, name, err)
		}
	}
}

// send carries out an operation that takes content of any length.
func (c *Client) send(ctx context.Context, op string, args any, content io.Reader) error {
	st, err := c.begin(ctx, op, args)
	if err != nil {
		return err
	}
	defer st.finish()
	answer := make(chan error, 1)
	go func() {
		err := st.result(nil)
		_ = st.SetWriteDeadline(past) // the guest may fail, and read no more, long before all is sent
		answer <- err
	}()
	err = st.sendContent(content)
	if source := new(sourceError); errors.As(err, &source) {
		st.finish()
		return fmt.Errorf("guest %s: read what is to be sent: %w", op, source.err)
	}
	if answered := <-answer; answered != nil {
		return answered
	}
	return err
}

// A sourceError is one of the reader that content comes from.
type sourceError struct{ err error }

func (e *sourceError) Error() string { return e.err.Error() }

func (st *stream) sendContent(content io.Reader) error {
	chunk := make([]byte, wire.ChunkSize)
	for {
		n, err := content.Read(chunk)
		if n > 0 {
			if err := wire.WriteMessage(st, wire.Bytes, chunk[:n]); err != nil {
				return st.failed(err)
			}
		}
		if errors.Is(err, io.EOF) {
			return wire.WriteMessage(st, wire.End, nil)
		}
		if err != nil {
			return &sourceError{err}
		}
	}
}
