// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/ibnbd/ibnbd/vm/agent/internal/wire"
)

// read sends a file's content as it is read.
func read(ctx context.Context, _ *session, st *stream, raw json.RawMessage) (any, error) {
	args, err := arguments[wire.FilePath](raw)
	if err != nil {
		return nil, err
	}
	file, err := os.Open(args.Path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	ctx = st.untilLetGo(ctx)
	chunk := make([]byte, wire.ChunkSize)
	for {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		n, err := file.Read(chunk)
		if n > 0 {
			if err := wire.WriteMessage(st, wire.Bytes, chunk[:n]); err != nil {
				return nil, err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil, wire.WriteMessage(st, wire.End, nil)
		}
		if err != nil {
			return nil, err
		}
	}
}

// write writes to an existing file with one write call, as sysfs and its like want it. The system calls are made here and
// not by package os, which would go on after a short write and hide EINTR.
func write(_ context.Context, _ *session, st *stream, raw json.RawMessage) (any, error) {
	args, err := arguments[wire.FilePath](raw)
	if err != nil {
		return nil, err
	}
	body, err := st.expect(wire.Bytes)
	if err != nil {
		return nil, err
	}
	fd, err := syscall.Open(args.Path, syscall.O_WRONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: args.Path, Err: err}
	}
	n, err := syscall.Write(fd, body)
	if err := errors.Join(err, syscall.Close(fd)); err != nil {
		return nil, &fs.PathError{Op: "write", Path: args.Path, Err: err}
	}
	return wire.Count{Count: int64(n)}, nil
}

// copyIn makes a file of the content that follows.
func copyIn(_ context.Context, _ *session, st *stream, raw json.RawMessage) (any, error) {
	args, err := arguments[wire.CopyIn](raw)
	if err != nil {
		return nil, err
	}
	return nil, writeFile(args.Path, st.content(), fs.FileMode(args.Perm))
}

func writeFile(name string, content io.Reader, perm fs.FileMode) error {
	file, err := os.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, perm)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, content)
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	return os.Chmod(name, perm) // the file may have been there, and the umask in the way
}

func stat(_ context.Context, args wire.FilePath) (any, error) {
	info, err := os.Stat(args.Path)
	if err != nil {
		return nil, err
	}
	return describe(info), nil
}

func lstat(_ context.Context, args wire.FilePath) (any, error) {
	info, err := os.Lstat(args.Path)
	if err != nil {
		return nil, err
	}
	return describe(info), nil
}

func describe(info fs.FileInfo) wire.FileInfo {
	described := wire.FileInfo{Name: info.Name(), Size: info.Size(), Mode: uint32(info.Mode()), ModTime: info.ModTime()}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		described.Inode, described.Device, described.Special = sys.Ino, sys.Dev, sys.Rdev
	}
	return described
}

// readDir lists a directory. An entry that goes away meanwhile, as they do in sysfs, is left out.
func readDir(_ context.Context, args wire.FilePath) (any, error) {
	entries, err := os.ReadDir(args.Path)
	if err != nil {
		return nil, err
	}
	infos := []wire.FileInfo{}
	for _, entry := range entries {
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		infos = append(infos, describe(info))
	}
	return infos, nil
}

func readlink(_ context.Context, args wire.FilePath) (any, error) { return os.Readlink(args.Path) }

func glob(_ context.Context, args wire.FilePath) (any, error) { return filepath.Glob(args.Path) }

// readAll reads the files that match one of the patterns. One that goes away meanwhile, as they do in sysfs, is left out.
func readAll(_ context.Context, args wire.FilePatterns) (any, error) {
	var names []string
	for _, pattern := range args.Paths {
		found, err := filepath.Glob(pattern)
		if err != nil {
			return nil, err
		}
		names = append(names, found...)
	}
	files := []wire.Content{}
	for _, name := range names {
		content, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENODEV) {
			continue
		}
		if err != nil {
			return nil, err
		}
		files = append(files, wire.Content{Path: name, Bytes: content})
	}
	return files, nil
}

func mkdir(_ context.Context, args wire.FilePath) (any, error) {
	return nil, os.Mkdir(args.Path, 0o755)
}

// remove removes a file with unlink or a directory with rmdir; the errno is that of the one that fits.
func remove(_ context.Context, args wire.FilePath) (any, error) {
	info, err := os.Lstat(args.Path)
	if err != nil {
		return nil, err
	}
	call, op := syscall.Unlink, "unlink"
	if info.IsDir() {
		call, op = syscall.Rmdir, "rmdir"
	}
	if err := call(args.Path); err != nil {
		return nil, &fs.PathError{Op: op, Path: args.Path, Err: err}
	}
	return nil, nil
}

func symlink(_ context.Context, args wire.Symlink) (any, error) {
	return nil, os.Symlink(args.Target, args.Path)
}
