// SPDX-License-Identifier: Apache-2.0

package attacks

import (
	"context"
	"errors"
	"fmt"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// What a target must bound.
const (
	halfOpen = "IBTRS-CONN-050"
	paths    = "IBTRS-CONN-035"
	enough   = "IBTRS-CONN-060"
)

// HalfOpen connects and never sends the INFO request. The target must end the path, within the patience that the tester has.
func HalfOpen(ctx context.Context, t *tester.Tester) error {
	conn, err := t.NewSession().NewPath(0).Dial(ctx, 0)
	if err != nil {
		return err
	}
	if err := conn.AwaitClosed(ctx); err != nil {
		return tester.Broken(halfOpen, "%v", err)
	}
	return nil
}

// TooManyPaths opens as many paths in a session as a target should have, and another one. The tester must have a way to the target
// for each.
func TooManyPaths(ctx context.Context, t *tester.Tester) error {
	session := t.NewSession()
	for i := range ibtrs.MaxPaths {
		path := session.NewPath(i)
		path.Request.ConnectionCount = 2
		err := path.Connect(ctx)
		if reject := (&tester.RejectError{}); errors.As(err, &reject) {
			return errors.Join(rejected(paths, err, ibtrs.ECONNRESET), tester.Broken(enough, "path %d is rejected", i+1))
		}
		if err != nil {
			return fmt.Errorf("path %d: %w", i+1, err)
		}
	}
	_, err := session.NewPath(ibtrs.MaxPaths).Dial(ctx, 0)
	if err == nil {
		return tester.Broken(enough, "path %d is accepted", ibtrs.MaxPaths+1)
	}
	return rejected(paths, err, ibtrs.ECONNRESET)
}
