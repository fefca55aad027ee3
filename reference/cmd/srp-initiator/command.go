// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/spf13/cobra"

	"github.com/ibnbd/ibnbd/reference/cmd/internal/measure"
	"github.com/ibnbd/ibnbd/reference/cmd/internal/program"
)

const long = `Logs in to target ports of SRP and serves their disks to the system through NBD on a Unix socket, so that nbd-client, qemu-img,
nbdcopy, fio and others can use them, or as block devices of the kernel.

A port that is lost keeps its disks and logs in again, for ever. One program has all ports of a machine, so that they log in one at a
time; an "add" while it runs adds to it.`

const example = `  srp-initiator add id_ext=1,ioc_guid=1,dest=127.0.0.2:5555 &
  nbdcopy file.img "$(srp-initiator list --uri disk0)"
  srp-initiator stat
  srp-initiator delete 1
  srp-initiator bench --op randread --block 4K --depth 16 id_ext=1,ioc_guid=1,dest=127.0.0.2:5555,src=127.0.0.3`

func newCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "srp-initiator", Short: "Use disks of SRP targets", Long: long, Example: example, Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return program.Usagef("say what to do: add, list, delete, stat or bench")
		},
	}
	c.AddCommand(newAddCommand(), newListCommand(), newDeleteCommand(), newStatCommand(), newBenchCommand())
	return c
}

func newAddCommand() *cobra.Command {
	var o portOptions
	var a addOptions
	c := &cobra.Command{
		Use: "add LOGIN...", Short: "Log in to target ports, and serve their disks through NBD or as block devices",
		Long: `Logs in to target ports and serves their disks through NBD until it is interrupted or the last port is deleted.

A LOGIN is what Linux's ib_srp takes as add_target: parameters with commas between them, of which id_ext, ioc_guid and dest are required.
A target logs the line, and srp-target does. src is the local address to log in from; without it routing decides.

The NBD URI of each disk is written to standard output; with --disk it is the path of the disk's block device. Programs that use NBD, and
the kernel, are told that the disk is there while its port is lost: I/O waits for --fast-io-fail and then fails, and works again when the
port is back.

If a program runs already that has the ports of this machine, the ports are added there, and the command returns.`,
		Example: "  srp-initiator add --fast-io-fail 5s id_ext=1,ioc_guid=1,dest=10.0.0.2:5555,ch_count=2", Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return runAdd(c.Context(), c.OutOrStdout(), c.ErrOrStderr(), &o, &a, args)
		},
	}
	o.addFlags(c)
	f := c.Flags()
	f.StringVar(&a.socket, "nbd", "", "Unix `SOCKET` to serve NBD on; default is one in the directory for sockets")
	f.BoolVar(&a.disk, "disk", false, "make a block device of each disk as well, /dev/nbd<N>; for root, with the kernel's module nbd loaded")
	f.BoolVar(&a.json, "json", false, "write the state of all ports as a line of JSON, at first and whenever it has changed")
	f.BoolVarP(&a.verbose, "verbose", "v", false, "log more")
	return c
}

func newListCommand() *cobra.Command {
	uri := false
	c := &cobra.Command{
		Use: "list [DISK]", Short: "List the disks, or one, by its name or serial number", Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return runList(c.Context(), c.OutOrStdout(), uri, args) },
	}
	c.Flags().BoolVar(&uri, "uri", false, "show nothing but the NBD URI of each disk")
	return c
}

func newDeleteCommand() *cobra.Command {
	force := false
	c := &cobra.Command{
		Use: "delete PORT", Short: "Log out of a port, by its number; its disks go, and the program that has them ends with its last port", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return runDelete(c.Context(), args[0], force) },
	}
	c.Flags().BoolVarP(&force, "force", "f", false, "also while block devices of it are in use")
	return c
}

func newStatCommand() *cobra.Command {
	json := false
	c := &cobra.Command{
		Use: "stat", Short: "Show ports, their states, time bounds and counters", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return runStat(c.Context(), c.OutOrStdout(), json) },
	}
	c.Flags().BoolVar(&json, "json", false, "as JSON")
	return c
}

func newBenchCommand() *cobra.Command {
	var o portOptions
	var m measure.Options
	lun := uint16(0)
	c := &cobra.Command{
		Use: "bench LOGIN", Short: "Measure IOPS, bandwidth and latency of a disk",
		Long: `Logs in by itself and keeps a number of I/Os in flight for a time. Writing operations destroy what the disk holds.

A login ends others of the same initiator port, so give an initiator_ext of its own to one beside a program that runs.`,
		Example: "  srp-initiator bench --op write --block 128K --depth 8 id_ext=1,ioc_guid=1,dest=127.0.0.2:5555", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return runBench(c.Context(), c.OutOrStdout(), c.ErrOrStderr(), &o, &m, args[0], lun)
		},
	}
	o.addFlags(c)
	m.AddFlags(c)
	c.Flags().Uint16Var(&lun, "lun", 0, "number of the logical unit")
	return c
}
