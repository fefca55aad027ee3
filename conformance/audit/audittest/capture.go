// SPDX-License-Identifier: Apache-2.0

package audittest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/reference/roce"
)

// RaceDetector is set in a test binary that was built with the race detector.
var RaceDetector bool

// Captures is the directory with captures of mainline Linux, described in its README, as seen from a package three levels deep.
const Captures = "../../../reference/roce/testdata/captures"

// Capture is a list of frames with their own bytes.
type Capture []audit.Frame

// Mainline are the paths of captures of mainline Linux.
func Mainline(names ...string) []string {
	var paths []string
	for _, name := range names {
		paths = append(paths, filepath.Join(Captures, name))
	}
	return paths
}

// Load reads capture files, merged by time.
func (j Judge) Load(tb testing.TB, paths ...string) Capture {
	tb.Helper()
	return load(tb, audit.Files{Names: paths, Protocols: []*audit.Protocol{j.Protocol}})
}

func load(tb testing.TB, files audit.Files) Capture {
	tb.Helper()
	source, err := files.Open(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	defer source.Close()
	frames, err := drain(source)
	if err != nil {
		tb.Fatal(err)
	}
	return frames
}

// drain reads a source to its end.
func drain(source audit.Source) (frames Capture, err error) {
	for {
		frame, err := source.Next()
		if errors.Is(err, io.EOF) {
			return frames, nil
		}
		if err != nil {
			return frames, err
		}
		frame.Data = slices.Clone(frame.Data)
		frames = append(frames, frame)
	}
}

// Clone copies the list and the frames in it.
func (c Capture) Clone() Capture {
	copied := slices.Clone(c)
	for i := range copied {
		copied[i].Data = slices.Clone(copied[i].Data)
	}
	return copied
}

// Arrived leaves out the frames that arrived nowhere.
func (c Capture) Arrived() Capture {
	return slices.DeleteFunc(slices.Clone(c), func(f audit.Frame) bool { return f.Lost })
}

// captureSource is a capture that can be read once.
type captureSource struct {
	frames Capture
	next   int
}

func (c *captureSource) Next() (audit.Frame, error) {
	if c.next == len(c.frames) {
		return audit.Frame{}, io.EOF
	}
	c.next++
	return c.frames[c.next-1], nil
}

func (c *captureSource) Close() error { return nil }

// Source gives the frames in the order of their times, as files are read.
func (c Capture) Source() audit.Source { return audit.Merge(&captureSource{frames: c}) }

// Files writes captures to files.
func Files(tb testing.TB, captures ...Capture) []string {
	tb.Helper()
	dir := tb.TempDir()
	var names []string
	for i, c := range captures {
		name := filepath.Join(dir, fmt.Sprintf("rail%d.pcap", i))
		if err := os.WriteFile(name, classic{}.write(c), 0o644); err != nil {
			tb.Fatal(err)
		}
		names = append(names, name)
	}
	return names
}

// Judge is the passive judge of one protocol, as tests use it. Its methods beside the first few are tests of how it gets along with
// captures of all kinds: each takes one that the protocol's judge understands.
type Judge struct{ *audit.Protocol }

// Run has tracker and judge go over a capture. The observer may be nil.
func (j Judge) Run(tb testing.TB, c Capture, config audit.Configuration, observe func(*audit.Event)) *audit.Report {
	tb.Helper()
	return j.judge(tb, c.Source(), config, observe)
}

// Judged is Run without configuration and observer.
func (j Judge) Judged(tb testing.TB, c Capture) *audit.Report {
	tb.Helper()
	return j.Run(tb, c, audit.Configuration{}, nil)
}

// JudgedFiles judges the files of one run.
func (j Judge) JudgedFiles(tb testing.TB, files audit.Files) *audit.Report {
	tb.Helper()
	files.Protocols = []*audit.Protocol{j.Protocol}
	source, err := files.Open(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	defer source.Close()
	return j.judge(tb, source, audit.Configuration{}, nil)
}

// judgedBytes writes captures to files and judges them together.
func (j Judge) judgedBytes(tb testing.TB, captures ...[]byte) *audit.Report {
	tb.Helper()
	return j.JudgedFiles(tb, audit.Files{Names: written(tb, captures...)})
}

func (j Judge) judge(tb testing.TB, source audit.Source, config audit.Configuration, observe func(*audit.Event)) *audit.Report {
	tb.Helper()
	run := audit.Audit{Tracker: audit.Options{Protocols: []*audit.Protocol{j.Protocol}}, Configuration: config, Observe: observe}
	report, err := run.Run(tb.Context(), source)
	if err != nil {
		tb.Fatal(err)
	}
	return report
}

// Key names a finding: the clause, and the role where a clause judges both.
func Key(f audit.Finding) string {
	if f.Clause.Role == clauses.Both {
		return f.Clause.ID + " " + string(f.Role)
	}
	return f.Clause.ID
}

// Failures lists the broken clauses with their messages.
func Failures(r *audit.Report) map[string]string {
	broken := make(map[string]string)
	for _, f := range r.Findings {
		if f.Verdict == verdict.Fail {
			broken[Key(f)] = f.Message
		}
	}
	return broken
}

// Verdicts are those of a report by clause and side.
func Verdicts(r *audit.Report) map[string]verdict.Verdict {
	found := make(map[string]verdict.Verdict)
	for _, f := range r.Findings {
		found[Key(f)] = f.Verdict
	}
	return found
}

// Told is an event's line of a timeline, kept after the event.
type Told struct {
	At     time.Time
	Kind   audit.Kind
	Text   string
	Frames []audit.FrameID
}

// Timeline collects the lines of all events of a capture that belong into a timeline.
func (j Judge) Timeline(tb testing.TB, c Capture) []Told {
	tb.Helper()
	var lines []Told
	j.Run(tb, c, audit.Configuration{}, func(e *audit.Event) {
		if e.Storage() {
			lines = append(lines, Told{e.At, e.Kind, e.String(), e.Frames()})
		}
	})
	return lines
}

// ExpectInOrder fails unless lines that match the patterns follow each other, with any lines between them.
func ExpectInOrder(t *testing.T, lines []Told, patterns []string) {
	t.Helper()
	at := 0
	for _, pattern := range patterns {
		match := regexp.MustCompile(pattern)
		found := slices.IndexFunc(lines[at:], func(l Told) bool { return match.MatchString(l.Text) })
		if found < 0 {
			t.Errorf("no line %q after %q", pattern, lines[max(0, at-1)].Text)
			continue
		}
		if len(lines[at+found].Frames) == 0 {
			t.Errorf("line %q names no frame", lines[at+found].Text)
		}
		at += found + 1
	}
}

// Finder finds packets in a capture.
type Finder struct {
	testing.TB
	Frames Capture
}

// Packet decodes frame i.
func (e *Finder) Packet(i int) (*roce.Packet, bool) {
	var p roce.Packet
	return &p, p.Decode(e.Frames[i].Data) == nil
}

// Find returns the n-th frame, from 0, that match accepts; a negative n counts from the end.
func (e *Finder) Find(n int, match func(p *roce.Packet) bool) int {
	e.Helper()
	var found []int
	for i := range e.Frames {
		if p, ok := e.Packet(i); ok && match(p) {
			found = append(found, i)
		}
	}
	if n < 0 {
		n += len(found)
	}
	if n < 0 || n >= len(found) {
		e.Fatalf("%d frames match, number %d is wanted", len(found), n)
	}
	return found[n]
}

// FindCM returns the n-th connection management datagram of a kind.
func (e *Finder) FindCM(n int, kind roce.AttributeID) int {
	e.Helper()
	return e.Find(n, func(p *roce.Packet) bool {
		return p.IsMAD() && roce.AttributeID(uint16(p.Payload[16])<<8|uint16(p.Payload[17])) == kind
	})
}
