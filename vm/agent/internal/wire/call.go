// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"encoding/json"
	"fmt"
	"time"
)

// A Call is the body of a Request: the name of an operation and its arguments.
type Call struct {
	Op   string          `json:"op"`
	Args json.RawMessage `json:"args,omitempty"`
}

// NewCall makes the Call of op; args is one of the structs below, or nil.
func NewCall(op string, args any) (Call, error) {
	if args == nil {
		return Call{Op: op}, nil
	}
	data, err := json.Marshal(args)
	return Call{Op: op, Args: data}, err
}

// ParseCall reads the body of a Request.
func ParseCall(body []byte) (Call, error) {
	var call Call
	if err := json.Unmarshal(body, &call); err != nil {
		return Call{}, fmt.Errorf("request: %w", err)
	}
	if call.Op == "" {
		return Call{}, fmt.Errorf("request: op is missing")
	}
	return call, nil
}

// The operations. Each takes the arguments and gives the result that stand beside it.
const (
	OpAlive     = "alive"     // nil -> nil
	OpClock     = "clock"     // nil -> Clocks, one for each Ping until End
	OpLogClock  = "logclock"  // nil -> LogClock
	OpConfigure = "configure" // a Network of the agent package -> nil
	OpResources = "resources" // nil -> RDMAResources of the agent package
	OpWake      = "wake"      // Wake -> nil

	OpRun = "run" // Run -> Started, Stdout, Stderr, then Exit

	OpRead     = "read"     // Path -> Bytes until End
	OpWrite    = "write"    // Path, one Bytes -> Count
	OpCopyIn   = "copyin"   // CopyIn, Bytes until End -> nil
	OpUnpack   = "unpack"   // nil, Bytes (a cpio archive, compressed or not) until End -> nil
	OpStat     = "stat"     // Path -> FileInfo
	OpLstat    = "lstat"    // Path -> FileInfo
	OpReadDir  = "readdir"  // Path -> []FileInfo
	OpReadlink = "readlink" // Path -> string
	OpGlob     = "glob"     // Path -> []string
	OpReadAll  = "readall"  // Paths -> []Content
	OpMkdir    = "mkdir"    // Path -> nil
	OpRemove   = "remove"   // Path -> nil
	OpSymlink  = "symlink"  // Symlink -> nil

	OpLoadModule   = "insmod" // Module -> nil
	OpUnloadModule = "rmmod"  // Module -> nil
	OpKernelLog    = "kmsg"   // KernelLog -> Items, each a LogEntry, without end

	OpOpen     = "open"     // Open -> Handle
	OpClose    = "close"    // Handle -> nil
	OpPread    = "pread"    // Region -> Bytes (at most one), then nil
	OpPwrite   = "pwrite"   // Region, one Bytes -> Count
	OpSync     = "sync"     // Handle -> nil
	OpDiscard  = "discard"  // Region -> nil
	OpZeroOut  = "zeroout"  // Region -> nil
	OpFlushBuf = "flushbuf" // Handle -> nil
	OpSize     = "size"     // Handle -> Count
)

// Wake gives a guest what it must not share with others that began as it did.
type Wake struct {
	Seed []byte `json:"seed"` // of random numbers
	Now  int64  `json:"now"`  // CLOCK_REALTIME, nanoseconds
}

// FilePath names a file, or a pattern of files.
type FilePath struct {
	Path string `json:"path"`
}

// FilePatterns names files by patterns.
type FilePatterns struct {
	Paths []string `json:"paths"`
}

// Content is what a file holds.
type Content struct {
	Path  string `json:"path"`
	Bytes []byte `json:"bytes"`
}

// Symlink asks for a symbolic link at Path.
type Symlink struct {
	Path   string `json:"path"`
	Target string `json:"target"`
}

// CopyIn asks for a file with what follows in it.
type CopyIn struct {
	Path string `json:"path"`
	Perm uint32 `json:"perm"`
}

// Run asks for a program.
type Run struct {
	Path    string        `json:"path"`
	Args    []string      `json:"args,omitempty"`
	Env     []string      `json:"env,omitempty"`
	Dir     string        `json:"dir,omitempty"`
	Stdin   bool          `json:"stdin,omitempty"`
	Timeout time.Duration `json:"timeout,omitempty"` // nanoseconds
}

// Process answers Run with Started.
type Process struct {
	PID int `json:"pid"`
}

// SignalNumber is the body of Signal.
type SignalNumber struct {
	Signal int `json:"signal"`
}

// Exit says how a program ended.
type Exit struct {
	Code     int           `json:"code"`
	Signal   int           `json:"signal,omitempty"`
	TimedOut bool          `json:"timedOut,omitempty"`
	Duration time.Duration `json:"duration"` // nanoseconds
}

// Module names a module, or a file with one, and its parameters.
type Module struct {
	Name   string   `json:"name"`
	Params []string `json:"params,omitempty"`
}

// KernelLog asks for the log from a sequence number on.
type KernelLog struct {
	From uint64 `json:"from"`
}

// LogEntry is one record of the kernel's log, or the word that records before Seq are lost.
type LogEntry struct {
	Seq        uint64 `json:"seq"`
	Priority   int    `json:"priority"` // facility * 8 + level
	Monotonic  int64  `json:"usec"`     // microseconds since boot
	Text       string `json:"text"`
	Dictionary string `json:"dictionary,omitempty"` // continuation lines: KEY=value
	Lost       uint64 `json:"lost,omitempty"`       // so many records before Seq; nothing else is set
}

// Clocks are the guest's clocks at one moment, in nanoseconds.
type Clocks struct {
	Realtime  int64 `json:"realtime"`
	Monotonic int64 `json:"monotonic"`
	Boottime  int64 `json:"boottime"`
}

// LogClock is how far the clock of the kernel's log is behind CLOCK_MONOTONIC, in nanoseconds.
type LogClock struct {
	Behind int64 `json:"behind"`
}

// Open asks for a handle.
type Open struct {
	Path  string `json:"path"`
	Flags int    `json:"flags"`
}

// Handle names an open file of the session.
type Handle struct {
	Handle uint64 `json:"handle"`
}

// Region is a part of an open file, in bytes.
type Region struct {
	Handle uint64 `json:"handle"`
	Offset int64  `json:"offset"`
	Length int64  `json:"length"`
}

// Count is a number of bytes.
type Count struct {
	Count int64 `json:"count"`
}

// FileInfo describes a file.
type FileInfo struct {
	Name    string    `json:"name"`
	Size    int64     `json:"size"`
	Mode    uint32    `json:"mode"` // as of io/fs
	ModTime time.Time `json:"modTime"`
	Inode   uint64    `json:"inode"`
	Device  uint64    `json:"device"`  // of the file system
	Special uint64    `json:"special"` // number of a device file
}
