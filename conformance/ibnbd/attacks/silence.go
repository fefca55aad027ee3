// SPDX-License-Identifier: Apache-2.0

package attacks

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// What Silence decides.
const (
	givenUp   = "IBTRS-PATH-016"
	inTime    = "IBTRS-HB-004"
	available = "IBNBD-FAIL-008"
)

// Silence is a client that opens a device for writing, and then neither sends nor answers anything. The target must notice that
// by its timers, and let others write.
type Silence struct{ Timers ibtrs.Timers }

// Clauses are those that it decides.
func (s Silence) Clauses() []string { return []string{givenUp, inTime, available} }

// Run falls silent and judges what the target does. The error of a broken clause is a *tester.Violation.
func (s Silence) Run(ctx context.Context, target tester.Target) (err error) {
	bound := s.Timers.Detection()
	patient := target
	patient.Patience = 2 * bound.Limit
	t := tester.New(patient)
	defer func() { err = errors.Join(err, t.Close()) }()
	p, _, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	begin := time.Now()
	if err := closed(ctx, givenUp, p); err != nil {
		return err
	}
	// The target counts from what it heard last, which is a little before begin.
	interval := s.Timers.HeartbeatInterval
	least := interval * time.Duration(s.Timers.HeartbeatMisses+1)
	if silent := time.Since(begin); silent < least-interval || silent > bound.Limit+busy {
		return tester.Broken(inTime, "the client was given up after %s, it must be %s to %s", silent, least, bound.Limit)
	}
	return s.writable(ctx, target)
}

// busy is what a machine may need beside a timer.
const busy = 4 * time.Second

// afterSilence is how long a target may keep a device from others when it has given its writer up. With the time that it takes
// to notice, that is less than the clause allows.
const afterSilence = 30 * time.Second

// writable asks until another client may write.
func (s Silence) writable(ctx context.Context, target tester.Target) (err error) {
	t := tester.New(target)
	defer func() { err = errors.Join(err, t.Close()) }()
	p := t.NewSession().NewPath(0)
	if err := p.Connect(ctx); err != nil {
		return fmt.Errorf("another client: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, min(afterSilence, 2*s.Timers.Detection().Limit))
	defer cancel()
	again := time.NewTicker(s.Timers.HeartbeatInterval / 5)
	defer again.Stop()
	var last error // of an OPEN that was answered
	for {
		_, err := p.Open(ctx, target.Exports[0], ibnbd.ReadWrite)
		if err == nil {
			return nil
		}
		if last == nil || ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return tester.Broken(available, "another client may still not write: open %s: %s", target.Exports[0], tester.Outcome(last))
		case <-again.C:
		}
	}
}
