// SPDX-License-Identifier: Apache-2.0

package foreign

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// place is a frame of a recording.
type place struct {
	rail   string
	number int // from 1
}

// String is how a timeline names the frame.
func (p place) String() string { return fmt.Sprintf("%s#%d", p.rail, p.number) }

// shown are the frames by which a failure was seen at some time: the last message before it, with all frames of the line of the
// timeline in which it stands, and what that says of them.
func (x execution) shown(at time.Time, timeline string) (verdict.Evidence, bool) {
	last, found := x.devices.lastMessage(at)
	if !found {
		return verdict.Evidence{}, false
	}
	e := verdict.Evidence{
		Kind: verdict.Packets, Path: x.path(filepath.Join(x.report.Dir, x.report.Evidence, last.rail+".pcapng")), Frames: []int{last.number},
	}
	for line := range strings.Lines(timeline) {
		if frames := framesOf(line, last.rail); slices.Contains(frames, last.number) {
			e.Frames, e.Note = frames, meaning(line)
		}
	}
	return e, true
}

// reference is a frame as timelines name it at the end of a line, in brackets.
var reference = regexp.MustCompile(`(\w+)#(\d+)`)

// framesOf are the frames of a rail in a line of a timeline.
func framesOf(line, rail string) []int {
	var frames []int
	_, references, _ := cutLast(line, "  [")
	for _, match := range reference.FindAllStringSubmatch(references, -1) {
		if number, err := strconv.Atoi(match[2]); err == nil && match[1] == rail {
			frames = append(frames, number)
		}
	}
	return frames
}

// meaning is what a line of a timeline says, without its time and its frames.
func meaning(line string) string {
	said, _, _ := cutLast(strings.TrimSpace(line), "  [")
	_, said, _ = strings.Cut(said, "  ")
	return said
}

func cutLast(text, separator string) (before, after string, found bool) {
	i := strings.LastIndex(text, separator)
	if i < 0 {
		return text, "", false
	}
	return text[:i], text[i+len(separator):], true
}

// showFailures puts the frames of each failure before its other evidence.
func (x execution) showFailures(results []verdict.Result, seen map[string]time.Time, timeline string) error {
	text, err := os.ReadFile(timeline)
	if err != nil {
		return err
	}
	for i := range results {
		r := &results[i]
		at, known := seen[r.Clause]
		if r.Verdict != verdict.Fail || !known {
			continue
		}
		if e, found := x.shown(at, string(text)); found {
			r.Evidence = slices.Concat([]verdict.Evidence{e}, r.Evidence)
		}
	}
	return nil
}
