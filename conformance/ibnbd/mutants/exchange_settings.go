// SPDX-License-Identifier: Apache-2.0

package mutants

import (
	"context"
	"fmt"
	"time"

	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/reference/backend"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// Settings of exchanges.
var (
	ordinary = setting{name: "ordinary", more: func(ctx context.Context, e *exchange) error { return e.rebuild(ctx) }}

	// anyoneCreates has a server that a client without the first-connection flag gets a session from.
	anyoneCreates = setting{
		name: "anyone creates", more: nothingMore,
		change: func(server *ibnbd.ServerConfig, _ *ibnbd.ClientConfig) { server.Transport.Rules.AnyoneCreates = true },
	}

	// comesBack has a client that disconnects all paths and connects one again, and a server that lets it in without the
	// first-connection flag, too.
	comesBack = setting{
		name: "comes back", more: func(ctx context.Context, e *exchange) error { return e.comeBack(ctx) },
		change: func(server *ibnbd.ServerConfig, _ *ibnbd.ClientConfig) { server.Transport.Rules.AnyoneCreates = true },
	}

	// keysKept reads so often that receives are used up which nobody gives back.
	keysKept = setting{
		name: "keys kept", more: manyReads,
		change: func(server *ibnbd.ServerConfig, _ *ibnbd.ClientConfig) { server.Transport.KeyRefresh = false },
	}

	// pathLost has the server disconnect a path; the client waits for a while before it connects it again.
	pathLost = setting{
		name: "path lost", more: func(ctx context.Context, e *exchange) error { return e.lose(ctx) }, takes: 2 * reconnectDelay,
		change: func(_ *ibnbd.ServerConfig, client *ibnbd.ClientConfig) {
			t := &client.Transport.Timers
			t.ReconnectDelay, t.ReconnectSettle, t.ReconnectSpread = reconnectDelay, time.Second, time.Millisecond
		},
		judge: audit.Configuration{ReconnectDelay: reconnectDelay},
	}

	// writeCache has a disk that must be flushed.
	writeCache = setting{
		name: "write cache", more: func(ctx context.Context, e *exchange) error { return e.disk.Flush(ctx) },
		change: func(server *ibnbd.ServerConfig, _ *ibnbd.ClientConfig) {
			server.Exports[0].Backend = cachedDisk{server.Exports[0].Backend}
		},
	}

	// versionOne has a server that says it is of version 1, which knows no write-zeroes.
	versionOne = setting{
		name: "version 1", more: zeroBlocks,
		change: func(server *ibnbd.ServerConfig, _ *ibnbd.ClientConfig) {
			newBrokenServer(server).alterSentReplies(ibnbd.SessInfoSize, func(m []byte) { sessVersion.set(m, 1) })
		},
	}

	// noFeatures has a server of this project without any of its features.
	noFeatures = setting{
		name: "no features", more: nothingMore,
		change: func(server *ibnbd.ServerConfig, _ *ibnbd.ClientConfig) { server.Features = 0 },
	}

	// shortDiscards has a server that allows discards of a block, and a user who wants one.
	shortDiscards = setting{
		name: "short discards", more: discardBlock,
		change: func(server *ibnbd.ServerConfig, _ *ibnbd.ClientConfig) {
			newBrokenServer(server).alterSentReplies(ibnbd.OpenResponseSize, func(m []byte) { replyDiscards.set(m, exchangeBlock/ibnbd.SectorSize) })
		},
	}

	// noInvalidation has a client that does not ask for the invalidation of its keys.
	noInvalidation = setting{
		name: "no invalidation", more: func(ctx context.Context, e *exchange) error { return e.rebuild(ctx) },
		change: func(_ *ibnbd.ServerConfig, client *ibnbd.ClientConfig) {
			client.Transport.Rules.NoInvalidateFlag = true
		},
	}

	// idle lets heartbeats come and go.
	idle = setting{name: "idle", more: func(ctx context.Context, e *exchange) error { return e.rest(ctx, heartbeats) }, takes: heartbeats}
)

const (
	reconnectDelay = 2 * time.Second
	heartbeats     = 27 * time.Second // is time for five
)

var sessVersion = of(ibnbd.Layout, "sess_info_rsp", "version")

func nothingMore(context.Context, *exchange) error { return nil }

// manyReads are more than there are receives.
func manyReads(ctx context.Context, e *exchange) error {
	block := make([]byte, exchangeBlock)
	for i := range 3 * ibtrs.DefaultQueueDepth {
		if _, err := e.disk.ReadAtContext(ctx, block, 0); err != nil {
			return fmt.Errorf("read %d: %w", i, err)
		}
	}
	return nil
}

// zeroBlocks asks for write-zeroes, which a client may refuse.
func zeroBlocks(ctx context.Context, e *exchange) error {
	_ = e.disk.WriteZeroes(ctx, 0, exchangeBlock, 0)
	return e.io(ctx)
}

var replyDiscards = of(ibnbd.Layout, "open_rsp", "max_discard_sectors")

// discardBlock discards a block.
func discardBlock(ctx context.Context, e *exchange) error {
	if err := e.disk.Discard(ctx, 0, exchangeBlock); err != nil {
		return fmt.Errorf("discard: %w", err)
	}
	return e.io(ctx)
}

// cachedDisk says that it has a write cache.
type cachedDisk struct{ backend.Backend }

func (d cachedDisk) Properties() backend.Properties {
	p := d.Backend.Properties()
	p.WriteCache = true
	return p
}
