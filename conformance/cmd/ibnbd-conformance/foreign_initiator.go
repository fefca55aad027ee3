// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"

	"github.com/spf13/cobra"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/foreign"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/provocations"
)

const initiatorHelp = `With --role initiator it is an initiator that somebody else runs. Scripted servers wait for it on the addresses of --source
or --netdev (seven for all specs, two for all but the one of the longest timers), and the owner's command has it come:

  map SESSION ADDRESS PORT DEVICE   maps for writing, over a new session of that name with one path; says the disk's node
  map-another NODE DEVICE           maps another disk over the session of this one; says its node
  unmap NODE                        gives the disk up by force; with the last of a session, ends when that has ended
  state NODE                        says open or closed
  reconnect NODE                    tries once to connect the first path of the disk's session, now
  add-path NODE ADDRESS PORT        adds a path to the disk's session
  remove-path NODE ADDRESS          takes a path out of it
  read NODE OFFSET SIZE             says what the disk has there, in bytes
  write NODE OFFSET SIZE            writes what comes on standard input
  flush NODE, size NODE             flushes; says the size in bytes
  status, restart                   as of a target

None may be answered from a cache. An action that fails ends with a status other than 0 and 127; where the last line on standard
error is the name of an error number, such as EIO, clauses about error numbers are judged, too. What some known initiator did not
survive is tried with --allow-outage alone. ci/hooks has examples: one for ibnbd-client, and one for mainline's rnbd-client.`

// targetNames are flags that speak of a target.
var targetNames = []string{"target", "export", "allow-writes", "scratch", "allow-data-loss"}

func (f foreignFlags) isInitiator() bool { return f.role == string(clauses.Initiator) }

// adapt gives flags that were left out the value that they have for an initiator.
func (f *foreignFlags) adapt(cmd *cobra.Command) {
	if f.isInitiator() && !cmd.Flags().Changed("patience") {
		f.patience = provocations.DefaultPatience
	}
}

// initiator makes a description of the initiator of the flags.
func (f foreignFlags) initiator() (c foreign.InitiatorConfig, err error) {
	c = foreign.InitiatorConfig{Name: cmp.Or(f.name, "initiator"), Patience: f.patience, Consent: foreign.Consent{Outage: f.outage}}
	if c.Dialect, c.Hook, err = f.common(); err != nil {
		return c, err
	}
	if len(c.Hook) == 0 {
		return c, usagef("--control is missing: nothing else can have the initiator map a disk")
	}
	if c.Place, err = f.place(); err != nil {
		return c, err
	}
	if err := c.Place.CheckListening(); err != nil {
		return c, usagef("--source and --netdev: %w", err)
	}
	return c, nil
}
