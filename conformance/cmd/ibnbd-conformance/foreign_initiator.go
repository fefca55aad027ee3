// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ibnbd/ibnbd/conformance"
	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/foreign"
	"github.com/ibnbd/ibnbd/conformance/protocol"
)

// The help about initiators; between its two parts stands what their protocol says.
const (
	initiatorHelp    = `With --role initiator it is an initiator that somebody else runs. `
	initiatorHelpEnd = `  status, restart                   as of a target

None may be answered from a cache. An action that fails ends with a status other than 0 and 127; where the last line on standard
error is the name of an error number, such as EIO, clauses about error numbers are judged, too. What some known initiator did not
survive is tried with --allow-outage alone. ci/hooks has examples: for ibnbd-client,
for mainline's rnbd-client, and for srp-initiator.`
)

// targetNames are flags that speak of a target.
var targetNames = []string{"target", "export", "configure", "allow-writes", "scratch", "allow-data-loss", "seed", "replay"}

func (f foreignFlags) isInitiator() bool { return f.role == string(clauses.Initiator) }

// adapt gives flags that were left out the value that they have for the protocol, the role and the dialect.
func (f *foreignFlags) adapt(cmd *cobra.Command) error {
	if err := f.chooseDialect(cmd); err != nil {
		return err
	}
	p := foreignProtocol(f.dialect)
	if p == nil {
		return nil
	}
	if len(f.units) > 0 && len(f.exports) > 0 {
		return usagef("--lun and --export say the same: give one of them")
	}
	f.exports = append(f.exports, f.units...)
	if len(f.exports) == 0 {
		f.exports = p.Targets.Exports
	}
	if cmd.Flags().Changed("patience") {
		return nil
	}
	f.patience = p.Targets.Patience
	if f.isInitiator() {
		f.patience = p.Initiators.Patience
	}
	return nil
}

// chooseDialect takes the first dialect of a protocol that was named.
func (f *foreignFlags) chooseDialect(cmd *cobra.Command) error {
	if f.protocol == "" {
		return nil
	}
	p, known := protocol.Named(conformance.Protocols(), f.protocol)
	switch {
	case !known:
		return usagef("--protocol %q is not one of %s", f.protocol, strings.Join(protocolNames(), ", "))
	case !cmd.Flags().Changed("dialect"):
		f.dialect = string(p.Clauses.Dialects[0])
	case !slices.Contains(p.Clauses.Dialects, clauses.Dialect(f.dialect)):
		return usagef("--dialect %s is none of the protocol %s", f.dialect, f.protocol)
	}
	return nil
}

// initiator makes a description of the initiator of the flags.
func (f foreignFlags) initiator() (c foreign.InitiatorConfig, err error) {
	c = foreign.InitiatorConfig{
		Name: f.subjectName(""), Dialect: clauses.Dialect(f.dialect), Patience: f.patience, Heartbeats: f.beats, Consent: foreign.Consent{Outage: f.outage},
	}
	if c.Hook, err = f.hook(); err != nil {
		return c, err
	}
	c.Place, err = f.place()
	return c, err
}
