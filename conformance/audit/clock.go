// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"
)

// Files are capture files that belong together, such as the rails of one run.
type Files struct {
	Names []string
	// OneClock says that one clock wrote them all. Otherwise it is looked how far their clocks are apart, and nobody is blamed for
	// what came first in which file.
	OneClock bool
	// Protocols are those that may be in the files.
	Protocols []*Protocol
}

// Open opens the files and merges their frames by time. What is wrong with their clocks is taken out, as far as it shows, and
// [Report.Clocks] tells.
func (f Files) Open(ctx context.Context) (Source, error) {
	sources, err := openAll(ctx, f.Names)
	if err != nil {
		return nil, err
	}
	c := &clocked{files: f, skews: make([]time.Duration, len(f.Names))}
	apart := len(f.Names) > 1 && !f.OneClock
	if apart {
		if err := c.compare(ctx); err != nil {
			closeAll(sources)
			return nil, err
		}
	}
	for i, source := range sources {
		s := newSteady(source, f.Protocols)
		s.offset, s.apart = c.skews[i], apart
		c.steadies = append(c.steadies, s)
		sources[i] = s
	}
	c.Source = Merge(sources...)
	return c, nil
}

// clocked are files that are merged, with their clocks.
type clocked struct {
	Source
	files    Files
	skews    []time.Duration // how far each clock is ahead of the first
	steadies []*steady
}

// compare finds out how far the clocks are apart. What can be read only once is not known.
func (c *clocked) compare(ctx context.Context) error {
	var traces []*trace
	for _, name := range c.files.Names {
		if info, err := os.Stat(name); err != nil || !info.Mode().IsRegular() {
			return nil
		}
		t, err := collect(ctx, name, c.files.Protocols)
		if err != nil {
			return err
		}
		traces = append(traces, t)
	}
	c.connect(traces)
	return nil
}

// connect compares each file with those that are compared already, until nothing more is known.
func (c *clocked) connect(traces []*trace) {
	done := make([]bool, len(traces))
	done[0] = true
	for more := true; more; {
		more = false
		for i := range traces {
			for j := range traces {
				if done[i] || !done[j] {
					continue
				}
				if s := skewOf(traces[j], traces[i]); s.known {
					done[i], more = true, true
					c.skews[i] = c.skews[j] + s.ahead
				}
			}
		}
	}
}

// Clock is what was found out about the clock that a file was written by.
type Clock struct {
	File  string        `json:"file"`
	Ahead time.Duration `json:"ahead_ns,omitempty"` // of that of the first file, about; it is subtracted
	First string        `json:"first,omitempty"`    // the first file
	Steps []ClockStep   `json:"steps,omitempty"`    // moments at which it was set; they are taken out
}

// Clocks are those with which something is wrong.
func (c *clocked) Clocks() []Clock {
	var clocks []Clock
	for i, s := range c.steadies {
		clock := Clock{File: c.files.Names[i], Steps: s.Steps()}
		if skew := c.skews[i]; skew.Abs() > mostApart {
			clock.Ahead, clock.First = skew, c.files.Names[0]
		}
		if clock.Ahead != 0 || len(clock.Steps) > 0 {
			clocks = append(clocks, clock)
		}
	}
	return clocks
}

// String says in a sentence what is wrong with the clock.
func (c Clock) String() string {
	var parts []string
	switch {
	case c.Ahead > 0:
		parts = append(parts, fmt.Sprintf("is about %v ahead of that of %s", roughly(c.Ahead), c.First))
	case c.Ahead < 0:
		parts = append(parts, fmt.Sprintf("is about %v behind that of %s", roughly(-c.Ahead), c.First))
	}
	for _, s := range c.Steps {
		parts = append(parts, s.String())
	}
	return fmt.Sprintf("the clock of %s %s", c.File, strings.Join(parts, ", and "))
}

// String tells a step as in "is set back by 2 ms or more before frame 12".
func (s ClockStep) String() string {
	if s.By < 0 {
		return fmt.Sprintf("is set back by %v or more before frame %d", roughly(-s.By), s.Frame.Number)
	}
	return fmt.Sprintf("jumps ahead by about %v before frame %d", roughly(s.By), s.Frame.Number)
}

// roughly leaves out of a time what an estimate cannot tell.
func roughly(d time.Duration) time.Duration {
	if d < time.Second {
		return d.Round(100 * time.Microsecond)
	}
	return d.Round(10 * time.Millisecond)
}
