// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"io"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// capturesDir has captures of mainline Linux, described in its README.
const capturesDir = "../../reference/roce/testdata/captures"

var (
	rnbdCapture  = []string{"rnbd-mainline-rail0.pcap", "rnbd-mainline-rail1.pcap"}
	srpCapture   = []string{"srp-login-io-logout.pcap"}
	srpChannels  = []string{"srp-two-channels-indirect.pcap"}
	srpReconnect = []string{"srp-four-targets-reconnect.pcap"}
)

// capture is a list of frames with their own bytes.
type capture []Frame

// load reads captures, merged by time.
func load(tb testing.TB, names ...string) capture {
	tb.Helper()
	var paths []string
	for _, name := range names {
		paths = append(paths, filepath.Join(capturesDir, name))
	}
	return loadFiles(tb, paths...)
}

// ofCapture and ofRecording load a capture later.
func ofCapture(names ...string) func(testing.TB) capture {
	return func(tb testing.TB) capture { return load(tb, names...) }
}

func ofRecording(name string) func(testing.TB) capture {
	return func(tb testing.TB) capture {
		i := slices.IndexFunc(recordings, func(r recording) bool { return r.name == name })
		return loadFiles(tb, recordings[i].files("testdata", ".pcapng.gz")...)
	}
}

// clone copies the list and the frames in it.
func (c capture) clone() capture {
	copied := append(capture(nil), c...)
	for i := range copied {
		copied[i].Data = append([]byte(nil), copied[i].Data...)
	}
	return copied
}

// Next and Close make a capture a Source that can be read once.
type captureSource struct {
	frames capture
	next   int
}

func (c *captureSource) Next() (Frame, error) {
	if c.next == len(c.frames) {
		return Frame{}, io.EOF
	}
	c.next++
	return c.frames[c.next-1], nil
}

func (c *captureSource) Close() error { return nil }

// source gives the frames in the order of their times, as files are read.
func (c capture) source() Source { return Merge(&captureSource{frames: c}) }

// judged runs tracker and judge over a capture.
func judged(tb testing.TB, c capture, config Configuration) *Report {
	tb.Helper()
	report, err := Audit{Configuration: config}.Run(tb.Context(), c.source())
	if err != nil {
		tb.Fatal(err)
	}
	return report
}

// key names a finding: the clause, and the role where a clause judges both.
func (f Finding) key() string {
	if f.Clause.Role == clauses.Both {
		return f.Clause.ID + " " + string(f.Role)
	}
	return f.Clause.ID
}

// failures lists the broken clauses with their messages.
func failures(r *Report) map[string]string {
	broken := make(map[string]string)
	for _, f := range r.Findings {
		if f.Verdict == verdict.Fail {
			broken[f.key()] = f.Message
		}
	}
	return broken
}

// copied is an event's line with its time, kept after the event.
type copied struct {
	at     time.Time
	kind   Kind
	text   string
	frames []FrameID
}

// timeline collects the lines of all events of a capture that belong into a timeline.
func timeline(tb testing.TB, c capture) []copied {
	tb.Helper()
	var lines []copied
	audit := Audit{Observe: func(e *Event) {
		if e.Storage() {
			lines = append(lines, copied{e.At, e.Kind, e.String(), e.Frames()})
		}
	}}
	if _, err := audit.Run(tb.Context(), c.source()); err != nil {
		tb.Fatal(err)
	}
	return lines
}
