// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"bufio"
	"context"
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

// WriteTimeline writes what happened to sessions, devices and I/O in the files of one run, as [JudgeFiles] takes them, line by
// line: the first and the last lines, so many of each, and between them how many were left out. What can be told of a damaged capture
// is written before the error comes back.
func WriteTimeline(ctx context.Context, w io.Writer, most int, files ...string) error {
	source, err := openRecordings(ctx, files)
	if err != nil {
		return err
	}
	defer source.Close()
	lines := excerpt{w: bufio.NewWriter(w), most: most}
	_, err = Audit{Observe: lines.observe}.Run(ctx, source)
	if ended := lines.end(); err == nil {
		err = ended
	}
	return err
}

// excerpt keeps the begin and the end of a timeline.
type excerpt struct {
	w     *bufio.Writer
	most  int
	first int      // lines written
	last  []string // ring of those that may be the last ones
	seen  int      // lines behind the first ones
}

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
