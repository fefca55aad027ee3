// SPDX-License-Identifier: Apache-2.0

package mutant

import (
	"context"

	"github.com/ibnbd/ibnbd/conformance/verdict/finding"
)

// FindingsOf sorts what a spec ended with on a subject: the clauses that were broken, or nothing where the spec could not decide. Of a
// mutant, what is no violation is not an error either: the spec has not found it.
func FindingsOf(ctx context.Context, err error, on Subject) (Findings, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	found, ended := Findings{}, finding.Of(err)
	for _, v := range ended.Broken {
		found[v.Clause] = v.What
	}
	switch {
	case err == nil, len(found) > 0, ended.Undecided != nil:
		return found, nil
	case on.Broken:
		return Findings{Unclaimed: err.Error()}, nil
	}
	return nil, err
}
