// SPDX-License-Identifier: Apache-2.0

package recording

import (
	"context"
	"fmt"

	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/mutant"
	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// Mutation is one way to alter a recorded exchange.
type Mutation struct {
	Name string        // what is wrong afterwards, in a few words
	Edit func(*Editor) // nil changes nothing: what is wrong is only what the judge is told
	// Breaks are the ids of the clauses that are broken afterwards, all of them and no other, with the role behind it where a
	// clause judges both sides.
	Breaks []string
}

// Table is mutations of one recorded exchange.
type Table struct {
	Name          string // tells the table from the others of all protocols
	Capture       Capture
	Protocol      *audit.Protocol     // by whose rules it is judged
	Configuration audit.Configuration // what the judge is told; of the control nothing
	Mutations     []Mutation
}

// Broken alters the exchange and gives the clauses that the judge finds broken then.
func (t Table) Broken(ctx context.Context, m Mutation) (mutant.Findings, error) {
	frames, err := t.Capture.load()
	if err != nil {
		return nil, err
	}
	if frames, err = edit(frames, m.Edit); err != nil {
		return nil, fmt.Errorf("alter the capture %q: %w", t.Name, err)
	}
	return Judge(ctx, t.Protocol, t.Configuration, frames)
}

// Control gives the clauses that the judge finds broken in the exchange as it is.
func (t Table) Control(ctx context.Context) (mutant.Findings, error) {
	frames, err := t.Capture.load()
	if err != nil {
		return nil, err
	}
	return Judge(ctx, t.Protocol, audit.Configuration{}, frames)
}

// Judge lists the clauses of a protocol that frames break.
func Judge(ctx context.Context, p *audit.Protocol, c audit.Configuration, frames []audit.Frame) (mutant.Findings, error) {
	a := audit.Audit{Tracker: audit.Options{Protocols: []*audit.Protocol{p}}, Configuration: c}
	report, err := a.Run(ctx, audit.Merge(&replay{frames: frames}))
	if err != nil {
		return nil, err
	}
	found := make(mutant.Findings)
	for _, f := range report.Findings {
		if f.Verdict != verdict.Fail {
			continue
		}
		key := f.Clause.ID
		if f.Clause.Role == clauses.Both {
			key += " " + string(f.Role)
		}
		found[key] = f.Message
	}
	return found, nil
}
