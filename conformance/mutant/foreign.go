// SPDX-License-Identifier: Apache-2.0

package mutant

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/ibnbd/ibnbd/conformance/foreign"
	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// RunForeign runs a spec on a subject, and gives what was seen to break clauses, by the spec and by the passive judge. Whatever else
// makes a spec fail is an error.
func RunForeign(ctx context.Context, subject foreign.Subject, s foreign.Spec) (found Findings, err error) {
	dir, err := os.MkdirTemp("", "mutant")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	run, err := subject.Start(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, run.Close()) }()
	results, passive, err := run.RunSpec(ctx, s, foreign.Report{Dir: dir, Evidence: "spec"})
	if err != nil {
		return nil, err
	}
	found = Findings{}
	for _, r := range append(results, passive...) {
		switch {
		case r.Verdict != verdict.Fail:
		case r.Reason == verdict.ProtocolViolation || r.Reason == verdict.SubjectDead || r.Reason == verdict.LeftBehind:
			found[r.Clause] = r.Message
		default:
			err = fmt.Errorf("%s: %s", r.Reason, r.Message)
		}
	}
	if len(found) > 0 {
		err = nil
	}
	return found, err
}
