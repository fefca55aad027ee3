// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"path"
	"slices"

	"github.com/ibnbd/ibnbd/vm/agent"
)

// programs are those of this project's client that is called with other arguments.
func programs() []row {
	return []row{
		{
			Name: "any-io-mode", What: "an I/O mode that is unknown is block I/O", Breaks: []string{"IBNBD-SYSFS-007"}, Pair: own,
			Programs: func(c agent.Command) agent.Command {
				if argument(c, "--io-mode") != "" {
					c.Args = append(slices.Clone(c.Args), "--io-mode", "blockio") // the last word counts
				}
				return c
			},
		},
		{
			Name: "newer-writes-do-not-wait", What: "newer writes are sent while old ones are stuck, which are repeated later", Breaks: []string{"IBNBD-FAIL-029"},
			Pair: own, By: []string{stale + "whose connection has ended do not replace newer ones when the wire heals before that"},
			Programs: breaking("no-order"),
		},
		{
			Name: "stuck-writes-are-sent-again", What: "writes whose application is gone are sent again behind newer ones", Breaks: []string{"IBNBD-FAIL-029"},
			Pair: own, By: []string{
				stale + "whose connection has ended do not replace newer ones when the path is given up",
				stale + "whose disk was unmapped by force do not replace newer ones when the path is given up",
			},
			Programs: breaking("no-order", "send-given-up"),
		},
	}
}

// stale begins the names of the specs about writes whose application is gone.
const stale = "old writes on a silent path "

// breaking has the client break rules.
func breaking(rules ...string) agent.ProgramHop {
	return func(c agent.Command) agent.Command {
		if path.Base(c.Path) != "ibnbd-client" || len(c.Args) == 0 || c.Args[0] != "map" {
			return c
		}
		c.Args = slices.Clone(c.Args)
		for _, rule := range rules {
			c.Args = append(c.Args, "--break", rule)
		}
		return c
	}
}

// argument gives the value of an option of a command; "" where it is not there.
func argument(c agent.Command, option string) string {
	i := slices.Index(c.Args, option)
	if i < 0 || i+1 == len(c.Args) {
		return ""
	}
	return c.Args[i+1]
}
