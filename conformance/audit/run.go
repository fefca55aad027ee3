// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	ibnbd "github.com/ibnbd/ibnbd/conformance/ibnbd/catalogue"
	srp "github.com/ibnbd/ibnbd/conformance/srp/catalogue"
	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// catalogue is that of the protocols whose rules are in this package.
var catalogue = sync.OnceValue(func() *clauses.Catalogue { return clauses.MustNew(ibnbd.Part, srp.Part) })

// Audit says what to do with a capture.
type Audit struct {
	Tracker       Options
	Configuration Configuration
	// Observe gets every event of the capture, after statistics and judge; may be nil.
	Observe func(*Event)
}

// Report is what a capture told.
type Report struct {
	Counters   Counters         `json:"counters"`
	Start      time.Time        `json:"start"` // of the first frame
	End        time.Time        `json:"end"`   // of the last
	IBTRS      bool             `json:"ibtrs"` // connections of IBTRS were seen
	SRP        bool             `json:"srp"`
	Contents   Contents         `json:"contents"`
	Clocks     []Clock          `json:"clocks,omitempty"` // of the files, if anything is wrong with one
	Statistics []PathStatistics `json:"statistics"`
	Findings   []Finding        `json:"-"`

	judge *Judge
}

// Results gives the findings as results of a run; files maps a rail to its capture file.
func (r *Report) Results(files map[string]string) []verdict.Result { return r.judge.Results(files) }

// cancelEvery is after how many frames it is looked whether the context has ended.
const cancelEvery = 4096

// Run follows a source to its end, judges it and counts. An error of the source or of the context comes together with the
// report of what was read before it.
func (a Audit) Run(ctx context.Context, source Source) (*Report, error) {
	judge, err := NewJudge(catalogue(), a.Configuration)
	if err != nil {
		return nil, err
	}
	report := &Report{judge: judge}
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
	if e.Kind == ConnectionRequest {
		r.IBTRS = r.IBTRS || e.Connection.Protocol == IBTRS
		r.SRP = r.SRP || e.Connection.Protocol == SRP
	}
}

// JudgeFiles judges files together that the rails of one run were recorded in, by one clock. The results name the files as evidence.
func JudgeFiles(ctx context.Context, configuration Configuration, files ...string) ([]verdict.Result, error) {
	source, err := openRecordings(ctx, files)
	if err != nil {
		return nil, err
	}
	defer source.Close()
	report, err := Audit{Configuration: configuration}.Run(ctx, source)
	if err != nil {
		return nil, err
	}
	rails := make(map[string]string)
	for _, file := range files {
		rails[RailOf(file)] = file
	}
	return report.Results(rails), nil
}
