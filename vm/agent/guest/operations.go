// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/ibnbd/ibnbd/vm/agent/internal/wire"
)

// An operation reads its arguments and whatever else the stream brings, and returns its result.
type operation func(ctx context.Context, s *session, st *stream, args json.RawMessage) (any, error)

// operations are all that a host can ask for, by the names in package wire.
var operations map[string]operation

func init() { // not a literal: the operations reach this table themselves
	operations = map[string]operation{
		wire.OpAlive:     plain(func(context.Context, struct{}) (any, error) { return nil, nil }),
		wire.OpClock:     clock,
		wire.OpLogClock:  plain(logClock),
		wire.OpConfigure: plain(configure),
		wire.OpResources: plain(rdmaResources),
		wire.OpWake:      plain(wake),

		wire.OpRun: run,

		wire.OpRead:     read,
		wire.OpWrite:    write,
		wire.OpCopyIn:   copyIn,
		wire.OpUnpack:   unpack,
		wire.OpStat:     plain(stat),
		wire.OpLstat:    plain(lstat),
		wire.OpReadDir:  plain(readDir),
		wire.OpReadlink: plain(readlink),
		wire.OpGlob:     plain(glob),
		wire.OpReadAll:  plain(readAll),
		wire.OpMkdir:    plain(mkdir),
		wire.OpRemove:   plain(remove),
		wire.OpSymlink:  plain(symlink),

		wire.OpLoadModule:   plain(loadModule),
		wire.OpUnloadModule: plain(unloadModule),
		wire.OpKernelLog:    kernelLog,

		wire.OpOpen:     open,
		wire.OpClose:    closeHandle,
		wire.OpPread:    pread,
		wire.OpPwrite:   pwrite,
		wire.OpSync:     onHandle(syncFile),
		wire.OpDiscard:  onRegion(discard),
		wire.OpZeroOut:  onRegion(zeroOut),
		wire.OpFlushBuf: onHandle(flushBuffers),
		wire.OpSize:     onHandle(size),
	}
}

// plain makes an operation of a function that needs nothing but its arguments.
func plain[A any](f func(context.Context, A) (any, error)) operation {
	return func(ctx context.Context, _ *session, _ *stream, raw json.RawMessage) (any, error) {
		args, err := arguments[A](raw)
		if err != nil {
			return nil, err
		}
		return f(ctx, args)
	}
}

func arguments[A any](raw json.RawMessage) (A, error) {
	var args A
	if len(raw) == 0 {
		return args, nil
	}
	if err := json.Unmarshal(raw, &args); err != nil {
		return args, fmt.Errorf("request: arguments: %w", err)
	}
	return args, nil
}
