// SPDX-License-Identifier: Apache-2.0

package main

import (
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/ibnbd/ibnbd/reference/cmd/internal/program"
	"github.com/ibnbd/ibnbd/reference/cmd/internal/serve"
	"github.com/ibnbd/ibnbd/reference/srp"
)

// options are what a person can choose.
type options struct {
	serve   serve.Options
	luns    []string
	idExt   string
	iocGUID string
	allow   []string

	requestLimit  int
	channelMemory string
	maxChannels   int
	maxInitiators int
	maxHalfOpen   int
	workers       int
	noImmediate   bool
	probe         time.Duration
	vanished      time.Duration
	halfOpen      time.Duration
}

const long = `Lets initiators use memory, files and block devices as disks over SRP. Logical units get the numbers 0, 1 and so on, in the
order in which they are given.

A backend is one of
  mem:SIZE           memory, zero at first
  file:PATH[,SIZE]   a regular file; with a size it is made if need be, and sparse
  /dev/DEVICE        a block device; its data does not go through the page cache unless ,cached follows
and ,ro behind a file or a block device makes it read-only. Sizes are bytes, or have K, M, G or T behind them.

What Linux needs to log in, as a line for add_target, is in the log.

SIGINT and SIGTERM end the target: it takes no more commands, answers those in flight, and flushes its disks.`

const example = `  srp-target --listen 127.0.0.2 --lun disk0=mem:1G
  srp-target --listen 10.0.0.1 --lun disk0=/dev/sdb --lun disk1=file:/srv/img,10G --allow 0000000000000000505400fffe000002
  srp-target --status`

func newCommand() *cobra.Command {
	o := options{serve: serve.Options{Noun: "target"}}
	c := &cobra.Command{
		Use: "srp-target", Short: "Let initiators use disks over SRP", Long: long, Example: example, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return o.serve.Do(c, o.run, o.show) },
	}
	o.serve.AddAddressFlags(c)
	cfg := srp.DefaultTargetConfig()
	f := c.Flags()
	f.StringArrayVar(&o.luns, "lun", nil, "`SERIAL=BACKEND` of a logical unit; may be given again")
	f.StringVar(&o.idExt, "id-ext", "1", "identifier extension of the target port, in hexadecimal")
	f.StringVar(&o.iocGUID, "ioc-guid", "1", "GUID of the target port, in hexadecimal")
	f.StringArrayVar(&o.allow, "allow", nil, "initiator `PORT`, 32 hexadecimal digits, that may log in; may be given again, and without any everybody may")
	f.IntVar(&o.requestLimit, "request-limit", cfg.RequestLimit, "commands of one channel at a time")
	f.StringVar(&o.channelMemory, "channel-memory", "4M", "`SIZE` of the memory for data of one channel")
	f.IntVar(&o.maxChannels, "max-channels", cfg.MaxChannels, "channels of one initiator")
	f.IntVar(&o.maxInitiators, "max-initiators", cfg.MaxNexuses, "initiators at a time")
	f.IntVar(&o.maxHalfOpen, "max-half-open", cfg.MaxHalfOpen, "logins at a time that are not confirmed")
	f.IntVar(&o.workers, "workers", cfg.Workers, "I/Os at a time on backends that may wait")
	f.BoolVar(&o.noImmediate, "no-immediate", false, "do not grant immediate data")
	f.DurationVar(&o.probe, "probe", cfg.Probe, "how often an idle initiator is probed; 0 for never")
	f.DurationVar(&o.vanished, "probe-timeout", cfg.Vanished, "longest wait for the answer to a probe")
	f.DurationVar(&o.halfOpen, "half-open-timeout", cfg.HalfOpen, "longest wait for an initiator to confirm its login")
	o.serve.AddStatusFlags(c, filepath.Join(program.RunDir(), "srp-target.sock"))
	return c
}
