// SPDX-License-Identifier: Apache-2.0

package main

import (
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/ibnbd/ibnbd/reference/cmd/internal/program"
	"github.com/ibnbd/ibnbd/reference/cmd/internal/serve"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// options are what a person can choose.
type options struct {
	serve       serve.Options
	exports     []string
	searchPath  string
	hostDevices bool
	ioMode      string
	workers     int

	queueDepth    int
	chunkSize     string
	maxHeader     string
	noKeyRefresh  bool
	legacyClients bool
	maxSessions   int
	maxHalfOpen   int
	maxConns      int
	maxMemory     string
	heartbeat     time.Duration
	misses        int
	halfOpen      time.Duration
	lastFirst     time.Duration
	broken        []string
}

const long = `Exports block devices, files and memory over IBNBD, which mainline Linux calls RNBD.

A backend is one of
  mem:SIZE           memory, zero at first
  file:PATH[,SIZE]   a regular file; with a size it is made if need be, and sparse
  /dev/DEVICE        a block device; its data does not go through the page cache unless ,cached follows
and ,ro behind a file or a block device makes it read-only. ,volatile behind a file keeps what was written in memory until it is
flushed: a server that is killed loses it, as a disk with a write cache does that loses power. Sizes are bytes, or have K, M, G or T behind them.

SIGINT and SIGTERM end the server: it takes no more requests, answers those in flight, and flushes its exports.`

const example = `  ibnbd-server --listen 127.0.0.2 --export ram0=mem:1G
  ibnbd-server --listen 10.0.0.1 --listen 10.0.1.1 --export disk=/dev/sdb,ro --export img=file:/srv/img,10G
  ibnbd-server --listen 10.0.0.1 --host-devices --search-path /dev/%SESSNAME%
  ibnbd-server --status`

func newCommand() *cobra.Command {
	o := options{serve: serve.Options{Noun: "server"}}
	c := &cobra.Command{
		Use: "ibnbd-server", Short: "Export block devices over IBNBD", Long: long, Example: example, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return o.serve.Do(c, o.run, o.show) },
	}
	o.serve.AddAddressFlags(c)
	timers, geometry := ibtrs.DefaultTimers, ibtrs.DefaultGeometry
	f := c.Flags()
	f.StringArrayVarP(&o.exports, "export", "e", nil, "`NAME=BACKEND` to export; may be given again")
	f.StringVar(&o.searchPath, "search-path", ibnbd.DefaultSearchPath, "`PATH` below which clients find devices; may have %SESSNAME% in it")
	f.BoolVar(&o.hostDevices, "host-devices", false, "let clients open any block device of this host below the search path")
	f.StringVar(&o.ioMode, "io-mode", "blockio", "for clients that choose none: blockio or fileio")
	f.IntVar(&o.workers, "workers", ibnbd.DefaultWorkers, "I/Os at a time on backends that may wait")
	f.IntVar(&o.queueDepth, "queue-depth", int(geometry.QueueDepth), "chunks of a session, and so requests at a time")
	f.StringVar(&o.chunkSize, "chunk-size", "128K", "`SIZE` of a chunk, a power of two")
	f.StringVar(&o.maxHeader, "max-header", "4K", "`SIZE` of the part of a chunk that is for headers")
	f.BoolVar(&o.noKeyRefresh, "no-key-refresh", false, "let the key of a chunk stay the same for the life of a path")
	f.BoolVar(&o.legacyClients, "legacy-clients", false, "serve original IBTRS clients; implies --no-key-refresh")
	f.IntVar(&o.maxSessions, "max-sessions", ibtrs.DefaultMaxSessions, "sessions at a time")
	f.IntVar(&o.maxHalfOpen, "max-half-open", ibtrs.DefaultMaxHalfOpen, "paths at a time that have not told their session's name")
	f.IntVar(&o.maxConns, "max-connections", ibtrs.DefaultMaxConnections, "connections of all clients at a time")
	f.StringVar(&o.maxMemory, "max-memory", "16G", "`SIZE` of the chunks of all paths")
	f.DurationVar(&o.heartbeat, "heartbeat-interval", timers.HeartbeatInterval, "time between two looks at a silent client")
	f.IntVar(&o.misses, "heartbeat-misses", timers.HeartbeatMisses, "looks at a silent client that are forgiven")
	f.DurationVar(&o.halfOpen, "half-open-timeout", timers.HalfOpen, "longest wait for a client to tell its session's name")
	f.DurationVar(&o.lastFirst, "last-first", 0, "hold answers for so long, and give the last first, as no client may mind; 0s gives each when it is ready")
	o.serve.AddStatusFlags(c, defaultControl())
	f.StringArrayVar(&o.broken, "break", nil, "break the `RULE`, to see how a conformance run finds it; may be given again, and \"help\" names all")
	c.AddCommand(newDisconnectCommand())
	return c
}

func defaultControl() string { return filepath.Join(program.RunDir(), "server.sock") }
