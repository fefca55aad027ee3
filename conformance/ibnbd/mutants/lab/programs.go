// SPDX-License-Identifier: Apache-2.0

package lab

import (
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
