// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"fmt"
	"strings"
	"time"
)

// Clock is what was found out about the clock that a file was written by.
type Clock struct {
	File  string      `json:"file"`
	Steps []ClockStep `json:"steps,omitempty"` // moments at which it was set; taken out of the times
}

// String says in a sentence what is wrong with the clock.
func (c Clock) String() string {
	var parts []string
	for _, s := range c.Steps {
		parts = append(parts, s.String())
	}
	return fmt.Sprintf("the clock of %s %s", c.File, strings.Join(parts, ", "))
}

// String tells a step as in "is set back by 2 ms or more before frame 12".
func (s ClockStep) String() string {
	if s.By < 0 {
		return fmt.Sprintf("is set back by %v or more before frame %d", -s.By, s.Frame.Number)
	}
	return fmt.Sprintf("jumps ahead by about %v before frame %d", s.By.Round(time.Millisecond), s.Frame.Number)
}

// clocked are files that are merged, with their clocks.
type clocked struct {
	Source
	names    []string
	steadies []*steady
}

// Clocks are those with which something is wrong.
func (c *clocked) Clocks() []Clock {
	var clocks []Clock
	for i, s := range c.steadies {
		if len(s.Steps()) > 0 {
			clocks = append(clocks, Clock{File: c.names[i], Steps: s.Steps()})
		}
	}
	return clocks
}
