// SPDX-License-Identifier: Apache-2.0

package foreign

import (
	"github.com/ibnbd/ibnbd/conformance/foreign"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/attacks"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/judge"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/provocations"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/layout"
)

// Protocol is IBNBD over IBTRS, by whichever name.
func Protocol() *foreign.Protocol {
	return &foreign.Protocol{
		Port: ibtrs.DefaultPort,
		Targets: foreign.Targets{
			Specs: TargetSpecs, Patience: tester.DefaultPatience, Scratch: tester.ScratchSectors, LeastExport: leastExport,
			LongestExport: layout.MaxName, Random: &foreign.Random{
				Spec: attacks.Attack{Name: attacks.RandomSequences}.Spec(), Check: attacks.CheckSequence,
			},
			Contact: contact, Serves: serves, Serving: attacks.Survival,
		},
		Initiators: foreign.Initiators{
			Specs: InitiatorSpecs, Patience: provocations.DefaultPatience, OrdinaryPort: ordinaryPort, Use: use, Serving: provocations.Survival, Help: hookHelp,
		},
		Heartbeats: true,
		Packets:    foreign.Packets{Judge: judge.Protocol.JudgeConfigured, Timeline: judge.Protocol.WriteTimeline},
	}
}

// hookHelp says what a control hook has to do for an initiator.
const hookHelp = `Scripted servers wait for it on the addresses of --source
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
`
