// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"

	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// The passive judge of the protocol looks at the packets of every spec, whatever the spec is about.

// judgePackets lets the passive judge read what a spec has recorded. What the packets do not speak of gives no result, and
// neither does what they leave open: a recording is whole, so the spec itself has hidden the rest, by a wire that it broke.
// Behind a wire that a spec breaks, or beside a host that it stops, a frame is seen late and the next one right behind it,
// which is nobody's fault: clauses that are decided by the times of frames are left out then. Where somebody was on the wire
// who is not under test, nothing is judged.
func judgePackets(ctx context.Context, t *Testbed, e *evidence, spec string) ([]verdict.Result, error) {
	if t.foreign {
		return nil, nil
	}
	found, err := env.protocol.Judge(ctx, e.recording.Paths()...)
	if err != nil {
		return nil, err
	}
	var results []verdict.Result
	for _, r := range found {
		if t.disturbed && slices.Contains(env.protocol.TimedClauses, r.Clause) {
			continue
		}
		switch r.Verdict {
		case verdict.Pass:
			r.Evidence = nil
		case verdict.Fail:
			r.Spec += " in: " + spec
			if err := relative(r.Evidence, e.reportDir); err != nil {
				return nil, err
			}
		default:
			continue
		}
		results = append(results, r)
	}
	return results, nil
}

// timelineEnd is how many lines of a timeline are kept from its begin, and from its end.
const timelineEnd = 2000

// keepTimeline writes beside the packets what they mean to storage.
func (e *evidence) keepTimeline(ctx context.Context) error {
	const name = "timeline.txt"
	file, err := os.Create(e.path(name))
	if err != nil {
		return err
	}
	e.show(verdict.OtherFile, name, "what the packets mean to storage, with their frames")
	return errors.Join(env.protocol.WriteTimeline(ctx, file, timelineEnd, e.recording.Paths()...), file.Close())
}

// relative makes the paths of evidence relative to the directory of the report.
func relative(files []verdict.Evidence, reportDir string) error {
	for i := range files {
		path, err := filepath.Rel(reportDir, files[i].Path)
		if err != nil {
			return err
		}
		files[i].Path = filepath.ToSlash(path)
	}
	return nil
}

// Passive gives what the passive judge found in the packets of the spec that has just ended.
func Passive() []verdict.Result {
	results := env.passive
	env.passive = nil
	return results
}
