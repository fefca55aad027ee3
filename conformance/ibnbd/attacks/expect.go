// SPDX-License-Identifier: Apache-2.0

package attacks

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// rejected judges the end of a connection request that must be refused with one of some numbers; none stand for all.
func rejected(clause string, err error, want ...ibtrs.Errno) error {
	var reject *tester.RejectError
	switch {
	case err == nil:
		return tester.Broken(clause, "the connection was accepted, it must be rejected with %s", names(want))
	case errors.As(err, &reject) && (len(want) == 0 || slices.Contains(want, reject.Errno)):
		return nil
	}
	return tester.Broken(clause, "%v; it must be rejected with %s", err, names(want))
}

// answered judges the end of a request that must be answered with one of some numbers; 0 is success.
func answered(clause string, err error, want ...ibtrs.Errno) error {
	var errno ibtrs.Errno
	if (err == nil || errors.As(err, &errno)) && slices.Contains(want, errno) {
		return nil
	}
	return tester.Broken(clause, "%s, the answer must be %s", tester.Outcome(err), names(want))
}

// names are those of error numbers, any of which will do; none stand for all.
func names(numbers []ibtrs.Errno) string {
	if len(numbers) == 0 {
		return "any number"
	}
	var all []string
	for _, n := range numbers {
		all = append(all, n.String())
	}
	return strings.Join(all, " or ")
}

// failed judges the end of a request that must be answered with any error number.
func failed(clause string, err error) error {
	var errno ibtrs.Errno
	if errors.As(err, &errno) {
		return nil
	}
	return tester.Broken(clause, "%s, the answer must be an error", tester.Outcome(err))
}

// succeeded judges what must succeed.
func succeeded(clause string, err error) error {
	if err != nil {
		return tester.Broken(clause, "%s, it must succeed", tester.Outcome(err))
	}
	return nil
}

// closed judges whether the target closes a path.
func closed(ctx context.Context, clause string, p *tester.Path) error {
	if err := p.AwaitClosed(ctx); err != nil {
		return tester.Broken(clause, "%v", err)
	}
	return nil
}
