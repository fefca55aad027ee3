// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// Audit says what to do with a capture.
type Audit struct {
	Tracker       Options
	Configuration Configuration
	// Observe gets every event of the capture, after statistics and judge; may be nil.
	Observe func(*Event)
}

// Report is what a capture told.
type Report struct {
	Counters   Counters
	Start      time.Time // of the first frame
	End        time.Time // of the last
	Protocols  []Seen    // of those that were asked for, which were there
	Contents   Contents
	Clocks     []Clock // of the files, if anything is wrong with one
	Statistics []PathStatistics
	Findings   []Finding

	judge *Judge
}

// Seen tells whether connections of a protocol began in a capture.
type Seen struct {
	Name string
	Seen bool
}

// Has reports whether connections of a protocol began in the capture.
func (r *Report) Has(protocol string) bool { return slices.Contains(r.Protocols, Seen{protocol, true}) }

// MarshalJSON gives what there is beside findings: a protocol that was seen is a member of its name.
func (r *Report) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	member := func(name string, value any) error {
		data, err := json.Marshal(value)
		fmt.Fprintf(&b, ",%q:%s", name, data)
		return err
	}
	errs := []error{member("counters", r.Counters), member("start", r.Start), member("end", r.End)}
	for _, p := range r.Protocols {
		errs = append(errs, member(p.Name, p.Seen))
	}
	errs = append(errs, member("contents", r.Contents))
	if len(r.Clocks) > 0 {
		errs = append(errs, member("clocks", r.Clocks))
	}
	errs = append(errs, member("statistics", r.Statistics))
	return append(append([]byte("{"), b.Bytes()[1:]...), '}'), errors.Join(errs...)
}

// Results gives the findings as results of a run; files maps a rail to its capture file.
func (r *Report) Results(files map[string]string) []verdict.Result { return r.judge.Results(files) }

// cancelEvery is after how many frames it is looked whether the context has ended.
const cancelEvery = 4096

// Run follows a source to its end, judges it and counts. An error of the source or of the context comes together with the
// report of what was read before it.
func (a Audit) Run(ctx context.Context, source Source) (*Report, error) {
	judge, err := NewJudge(a.Tracker.Protocols, a.Configuration)
	if err != nil {
		return nil, err
	}
	report := &Report{judge: judge}
	for _, p := range a.Tracker.Protocols {
		report.Protocols = append(report.Protocols, Seen{Name: p.Name})
	}
	statistics := NewStatistics()
	tracker := NewTracker(a.Tracker)
	tracker.Observe(statistics.Observe)
	tracker.Observe(judge.Observe)
	tracker.Observe(report.observe)
	if a.Observe != nil {
		tracker.Observe(a.Observe)
	}
	err = follow(ctx, tracker, source, report)
	tracker.End()
	if c, ok := source.(interface{ Clocks() []Clock }); ok {
		report.Clocks = c.Clocks()
	}
	report.Counters, report.Contents = tracker.Counters(), tracker.Contents()
	report.Statistics, report.Findings = statistics.Paths(), judge.Findings()
	return report, err
}

func follow(ctx context.Context, tracker *Tracker, source Source, report *Report) error {
	for n := 0; ; n++ {
		if n%cancelEvery == 0 && ctx.Err() != nil {
			return fmt.Errorf("audit ended after %d frames: %w", n, endOf(ctx))
		}
		frame, err := source.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if report.Start.IsZero() {
			report.Start = frame.At
		}
		report.End = frame.At
		tracker.Add(frame)
	}
}

func (r *Report) observe(e *Event) {
	if e.Kind != ConnectionRequest || e.Protocol == nil {
		return
	}
	for i := range r.Protocols {
		p := &r.Protocols[i]
		p.Seen = p.Seen || p.Name == e.Protocol.Name
	}
}
