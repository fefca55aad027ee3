// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// Line gives the event as a line of a timeline: the time of day in UTC, what happened, and the frames that show it.
func (e *Event) Line() string {
	at := e.At.UTC().Format("15:04:05.000000")
	if e.Untimed {
		at = "--:--:--.------"
	}
	return fmt.Sprintf("%s  %s  %s", at, e, FrameList(e.Frames()))
}

// FrameList names frames as "[rail0#12 rail0#15]".
func FrameList(frames []FrameID) string {
	names := make([]string, len(frames))
	for i, f := range frames {
		names[i] = f.String()
	}
	return "[" + strings.Join(names, " ") + "]"
}

// excerpt keeps the begin and the end of a timeline.
type excerpt struct {
	w     *bufio.Writer
	most  int
	first int      // lines written
	last  []string // ring of those that may be the last ones
	seen  int      // lines behind the first ones
}

func newExcerpt(w io.Writer, most int) *excerpt { return &excerpt{w: bufio.NewWriter(w), most: most} }

func (x *excerpt) observe(e *Event) {
	switch {
	case !e.Storage():
	case x.first < x.most:
		x.first++
		fmt.Fprintln(x.w, e.Line())
	default:
		if len(x.last) < x.most {
			x.last = append(x.last, "")
		}
		x.last[x.seen%x.most] = e.Line()
		x.seen++
	}
}

// end writes what was kept. The first error of all writing comes with the flush.
func (x *excerpt) end() error {
	if left := x.seen - len(x.last); left > 0 {
		fmt.Fprintf(x.w, "... %d lines are left out ...\n", left)
	}
	for i := range x.last {
		fmt.Fprintln(x.w, x.last[(x.seen+i)%len(x.last)])
	}
	return x.w.Flush()
}
