// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/url"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/ibnbd/ibnbd/reference/cmd/internal/measure"
	"github.com/ibnbd/ibnbd/reference/cmd/internal/program"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

const long = `Maps block devices of an IBNBD server, which mainline Linux calls RNBD, and serves them to the system through NBD on
a Unix socket, so that nbd-client, qemu-img, nbdcopy, fio and others can use them, or as block devices of the kernel.`

const example = `  ibnbd-client map --path 127.0.0.1@127.0.0.2 ram0 &
  nbdcopy file.img "$(ibnbd-client list --uri ram0)"
  ibnbd-client stat
  ibnbd-client unmap ram0
  ibnbd-client bench --path 127.0.0.3@127.0.0.2 --op randread --block 4K --depth 16 ram0`

func newCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "ibnbd-client", Short: "Use block devices of an IBNBD server", Long: long, Example: example, Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return program.Usagef("say what to do: map, list, unmap, path, policy, stat or bench")
		},
	}
	c.AddCommand(newMapCommand(), newListCommand(), newUnmapCommand(), newPathCommand(), newPolicyCommand(), newStatCommand(), newBenchCommand())
	return c
}

// clientSockets is where the control sockets of running clients are.
func clientSockets() string { return filepath.Join(program.RunDir(), "client") }

func newMapCommand() *cobra.Command {
	var o sessionOptions
	var m mapOptions
	var k kernelOptions
	c := &cobra.Command{
		Use: "map DEVICE...", Short: "Map devices and serve them through NBD until they are unmapped",
		Long: `Maps devices of a server over one session and serves them through NBD on one Unix socket, each as an export with the
device's path as its name; with --disk as block devices of the kernel, too. It stays in the foreground until every device is
unmapped, or SIGINT or SIGTERM comes.

The server of a device cannot be asked which parts of it are allocated. To programs that ask for the NBD context base:allocation,
such as nbdcopy and qemu-img, zeroes are told that were found by reading, and never holes: a copy gets smaller, but not faster to
read.

If a client with the session that --session names is running, the devices are mapped in that session, whose options stay
what they are, and the command returns.

With --kernel, the client in the kernel maps the devices, as block devices, and the command returns. It needs no --path where it
has the session.`,
		Example: "  ibnbd-client map --disk --path 10.0.0.2@10.0.0.1 --path 10.0.1.2@10.0.1.1 disk0 disk1", Args: k.args(cobra.MinimumNArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			if err := m.check(&o, args); err != nil {
				return err
			}
			if k.chosen() {
				return k.mapInKernel(c.OutOrStdout(), c.Flags(), &o, &m, args)
			}
			return runMap(c.Context(), c.OutOrStdout(), c.ErrOrStderr(), &o, &m, args)
		},
	}
	o.addFlags(c)
	k.addFlags(c)
	must(c.RegisterFlagCompletionFunc("session", k.completeSession))
	f := c.Flags()
	f.StringVar(&m.socket, "nbd", "", "Unix `SOCKET` to serve NBD on; default is one named after the session")
	f.BoolVar(&m.disk, "disk", false, "make a block device of each as well, /dev/nbd<N>; for root, with the kernel's module nbd loaded")
	f.StringVar(&m.access, "access", "rw", "ro, rw or migration")
	f.StringVar(&m.ioMode, "io-mode", "blockio", "blockio or fileio")
	f.BoolVar(&m.json, "json", false, "write the state of the session as a line of JSON, at first and whenever it has changed")
	return c
}

func newListCommand() *cobra.Command {
	uri := false
	var k kernelOptions
	c := &cobra.Command{
		Use: "list [DEVICE]", Short: "List the mapped devices of all running clients", Args: k.args(cobra.MaximumNArgs(1)),
		ValidArgsFunction: k.completeDevice(new(string)),
		RunE: func(c *cobra.Command, args []string) error {
			return runList(c.Context(), c.OutOrStdout(), &k, uri, args)
		},
	}
	k.addFlags(c)
	c.Flags().BoolVar(&uri, "uri", false, "show nothing but the NBD URI of each device")
	return c
}

func newUnmapCommand() *cobra.Command {
	force := false
	var o steerOptions
	var k kernelOptions
	c := &cobra.Command{
		Use: "unmap DEVICE", Short: "Unmap a device; the client that mapped it ends with its last one", Args: k.args(cobra.ExactArgs(1)),
		ValidArgsFunction: k.completeDevice(&o.session),
		RunE: func(c *cobra.Command, args []string) error {
			if k.chosen() {
				return k.unmapInKernel(c.OutOrStdout(), &o, args[0], force)
			}
			return runUnmap(c.Context(), c.OutOrStdout(), &o, args[0], force)
		},
	}
	o.addFlags(c, &k)
	k.addFlags(c)
	c.Flags().BoolVarP(&force, "force", "f", false, "also while I/O is in flight, or its block device is in use")
	return c
}

func newPathCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "path", Short: "Add, remove, disconnect or reconnect a path of a running client",
		Example: "  ibnbd-client path add 10.0.1.2@10.0.1.1", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return program.Usagef("say what to do with a path: add, remove, disconnect or reconnect")
		},
	}
	for _, verb := range pathVerbs {
		var o steerOptions
		sub := &cobra.Command{
			Use: verb.name + " [SOURCE@]SERVER", Short: verb.short, Args: cobra.ExactArgs(1),
			RunE: func(c *cobra.Command, args []string) error {
				if _, err := parsePath(args[0]); err != nil {
					return program.Usagef("path %q: %w", args[0], err)
				}
				return o.tellClient(c.Context(), c.OutOrStdout(), "path", url.Values{"do": {verb.name}, "path": {args[0]}})
			},
		}
		o.addFlags(sub, &kernelOptions{})
		c.AddCommand(sub)
	}
	return c
}

func newPolicyCommand() *cobra.Command {
	var o steerOptions
	c := &cobra.Command{
		Use: "policy POLICY", Short: "Change how a running client chooses a path: round-robin, min-inflight or min-latency",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if _, err := ibtrs.ParsePolicy(args[0]); err != nil {
				return &program.UsageError{Err: err}
			}
			return o.tellClient(c.Context(), c.OutOrStdout(), "policy", url.Values{"policy": {args[0]}})
		},
	}
	o.addFlags(c, &kernelOptions{})
	return c
}

// addFlags adds the options; k chooses whose sessions are completed.
func (o *steerOptions) addFlags(c *cobra.Command, k *kernelOptions) {
	f := c.Flags()
	f.StringVar(&o.session, "session", "", "`NAME` of the session, where several clients run")
	must(c.RegisterFlagCompletionFunc("session", k.completeSession))
	f.BoolVar(&o.json, "json", false, "write the state of the session after it as a line of JSON")
}

func newStatCommand() *cobra.Command {
	json := false
	var k kernelOptions
	c := &cobra.Command{
		Use: "stat", Short: "Show sessions, paths, counters and time bounds of all running clients",
		Long: `Shows of each running client its session, the time bounds that follow from its options, and counters.

Of a path: requests and their bytes; requests in flight; requests that came here from another path that was lost (failed over
here); how often it was connected again (reconnects), and attempts of that which failed (failed reconnects); the time of the
last heartbeat there and back (latency).

Of a device, since it was mapped: requests that ended with an error (failed reads, failed writes, and all others, such as
flushes), and requests that nobody waited for any more (given up). An I/O that is too long for one request is several. The log
has a line for the first failure, and one every 10 seconds for all that follow.

Of NBD: connections, those that ended in the middle of something (aborted), and commands that no device was offered for.

The kernel's client counts no failed requests, and its bounds are those that it promises itself.`,
		Args: k.args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return runStat(c.Context(), c.OutOrStdout(), &k, json) },
	}
	k.addFlags(c)
	c.Flags().BoolVar(&json, "json", false, "as JSON")
	return c
}

func newBenchCommand() *cobra.Command {
	var o sessionOptions
	var b measure.Options
	c := &cobra.Command{
		Use: "bench DEVICE", Short: "Measure IOPS, bandwidth and latency of a device",
		Long: `Maps a device over a session of its own and keeps a number of I/Os in flight for a time. Writing operations destroy
what the device holds.`,
		Example: "  ibnbd-client bench --path 127.0.0.1@127.0.0.2 --op write --block 128K --depth 8 ram0", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return runBench(c.Context(), c.OutOrStdout(), c.ErrOrStderr(), &o, &b, args[0])
		},
	}
	o.addFlags(c)
	b.AddFlags(c)
	return c
}
