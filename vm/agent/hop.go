// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"fmt"
	"io"

	"github.com/ibnbd/ibnbd/vm/agent/internal/wire"
)

// FileOp is what is asked of files by name, modules of the kernel among them.
type FileOp string

// The operations, each named after the method of [Client] that asks for it.
const (
	ReadFile   FileOp = "ReadFile"
	WriteFile  FileOp = "WriteFile"
	Stat       FileOp = "Stat"
	Lstat      FileOp = "Lstat" // Exists asks for it, too
	ReadDir    FileOp = "ReadDir"
	Readlink   FileOp = "Readlink"
	Glob       FileOp = "Glob"
	ReadFiles  FileOp = "ReadFiles"
	LoadModule FileOp = "LoadModule"
)

// FileCall is one question about files.
type FileCall struct {
	Op       FileOp
	Path     string   // the file, the pattern of Glob, or the name of a module
	Patterns []string // of ReadFiles
	Params   []string // of LoadModule
	Data     []byte   // what WriteFile writes
}

// FileAnswer is the answer to a FileCall: the field that fits its operation.
type FileAnswer struct {
	Data   []byte     // of ReadFile
	Info   FileInfo   // of Stat and Lstat
	Infos  []FileInfo // of ReadDir
	Target string     // of Readlink
	Names  []string   // of Glob
	Files  []Content  // of ReadFiles
}

// FileHop stands between a client and the files of its guest. It may ask the guest through next, for something else, several
// times or not at all, and alter what comes back: a guest then looks broken that is not. Errors wrap a syscall.Errno, as those
// of guests do. Calls may come from several goroutines at a time.
type FileHop func(call FileCall, next func(FileCall) (FileAnswer, error)) (FileAnswer, error)

// AlterFiles puts a hop between the client and the files of the guest; nil takes it away. What is not a [FileOp] does not go
// through it: programs, content that is copied, files that are opened, made or removed.
func (c *Client) AlterFiles(hop FileHop) {
	if hop == nil {
		c.hop.Store(nil)
		return
	}
	c.hop.Store(&hop)
}

// ProgramHop stands between a client and the programs of its guest: it gives the command that is started instead, and leaves the
// arguments of the one that it was given as they are. Calls may come from several goroutines at a time.
type ProgramHop func(Command) Command

// AlterPrograms puts a hop between the client and the programs that it starts from now on; nil takes it away.
func (c *Client) AlterPrograms(hop ProgramHop) {
	if hop == nil {
		c.programs.Store(nil)
		return
	}
	c.programs.Store(&hop)
}

// altered is the command that is started for another.
func (c *Client) altered(command Command) Command {
	if hop := c.programs.Load(); hop != nil {
		return (*hop)(command)
	}
	return command
}

// files asks about files, through the hop if there is one.
func (c *Client) files(ctx context.Context, call FileCall) (FileAnswer, error) {
	hop := c.hop.Load()
	if hop == nil {
		return c.ask(ctx, call)
	}
	return (*hop)(call, func(call FileCall) (FileAnswer, error) { return c.ask(ctx, call) })
}

// ask asks the guest about files.
func (c *Client) ask(ctx context.Context, call FileCall) (a FileAnswer, err error) {
	switch name := (wire.FilePath{Path: call.Path}); call.Op {
	case ReadFile:
		a.Data, err = c.readWhole(ctx, call.Path)
	case WriteFile:
		err = c.writeOnce(ctx, call.Path, call.Data)
	case Stat:
		a.Info, err = c.describe(ctx, wire.OpStat, name)
	case Lstat:
		a.Info, err = c.describe(ctx, wire.OpLstat, name)
	case ReadDir:
		var infos []wire.FileInfo
		err = c.call(ctx, wire.OpReadDir, name, nil, &infos)
		for _, info := range infos {
			a.Infos = append(a.Infos, fileInfo(info))
		}
	case Readlink:
		err = c.call(ctx, wire.OpReadlink, name, nil, &a.Target)
	case Glob:
		err = c.call(ctx, wire.OpGlob, name, nil, &a.Names)
	case ReadFiles:
		var read []wire.Content
		err = c.call(ctx, wire.OpReadAll, wire.FilePatterns{Paths: call.Patterns}, nil, &read)
		for _, content := range read {
			a.Files = append(a.Files, Content(content))
		}
	case LoadModule:
		err = c.call(ctx, wire.OpLoadModule, wire.Module{Name: call.Path, Params: call.Params}, nil, nil)
	default:
		err = fmt.Errorf("%q is not asked of files", call.Op)
	}
	return a, err
}

func (c *Client) readWhole(ctx context.Context, name string) ([]byte, error) {
	var content []byte
	err := c.readChunks(ctx, name, func(chunk []byte) error {
		content = append(content, chunk...)
		return nil
	})
	return content, err
}

func (c *Client) writeOnce(ctx context.Context, name string, data []byte) error {
	if len(data) > wire.MaxMessage {
		return fmt.Errorf("guest write %s: %d bytes: the limit is %d", name, len(data), wire.MaxMessage)
	}
	var written wire.Count
	if err := c.call(ctx, wire.OpWrite, wire.FilePath{Path: name}, nonNil(data), &written); err != nil {
		return err
	}
	if written.Count != int64(len(data)) {
		return fmt.Errorf("guest write %s: %d of %d bytes: %w", name, written.Count, len(data), io.ErrShortWrite)
	}
	return nil
}

func (c *Client) describe(ctx context.Context, op string, name wire.FilePath) (FileInfo, error) {
	var info wire.FileInfo
	err := c.call(ctx, op, name, nil, &info)
	return fileInfo(info), err
}
