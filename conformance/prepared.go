// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"errors"
	"io"

	"github.com/ibnbd/ibnbd/conformance/runner"
	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// ErrNothingSelected is that of a selection which leaves no spec.
var ErrNothingSelected = errors.New("conformance: no spec is selected")

// Prepared is a run whose settings were checked, and whose specs were chosen. Nothing was started yet.
type Prepared struct {
	Plan *runner.Plan
	run  func(ctx context.Context, out io.Writer) (*verdict.Outcome, error)
}

// Run carries the run out, as the Run of what it was prepared of.
func (p *Prepared) Run(ctx context.Context, out io.Writer) (*verdict.Outcome, error) {
	if len(p.Plan.Specs) == 0 {
		return nil, ErrNothingSelected
	}
	return p.run(ctx, out)
}
