// SPDX-License-Identifier: Apache-2.0

package tester

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/ibnbd/ibnbd/conformance/verdict/finding"
	"github.com/ibnbd/ibnbd/reference/rdma"
)

// Target is what is under test, as a client can know it.
type Target struct {
	Rails []Rail // ways to it; some attacks need two
	// Exports are the device paths of two different block devices of at least 1 MiB that nobody else uses: the first is
	// attacked, the second belongs to a conforming bystander.
	Exports [2]string
	// Patience is how long an answer may take; 0 means DefaultPatience.
	Patience time.Duration
	// Limit is what may be done to the exports; nil means everything. Under a limit both may be the same one, and a
	// bystander then only reads.
	Limit *Limit
	// Seed is what random sequences are drawn from; 0 stands for 1.
	Seed uint64
	// Sequence, unless empty, is a saved sequence that is run instead of random ones.
	Sequence []byte
}

// Rail is one way to a target.
type Rail struct {
	Device rdma.Device    // the tester's own end
	Addr   netip.AddrPort // where the target listens
}

// DefaultPatience outlasts an answer of a busy machine under emulation.
const DefaultPatience = 3 * time.Second

// What may become of a request instead of an answer.
var (
	ErrClosed = errors.New("the target has closed the connection")
	ErrSilent = errors.New("the target does not answer")
)

// Violation is a clause that the target has broken.
type Violation = finding.Violation

// Broken makes a violation.
func Broken(clause, format string, args ...any) error { return finding.Broken(clause, format, args...) }

// Tester tries one target. It has one user at a time.
type Tester struct {
	target Target
	paths  []*Path
	// forbidden is the first request that the limit has kept back.
	forbidden error
}

// New makes a tester. It must be closed.
func New(target Target) *Tester {
	if target.Patience == 0 {
		target.Patience = DefaultPatience
	}
	return &Tester{target: target}
}

// Target is what is tried.
func (t *Tester) Target() Target { return t.target }

// Close disconnects everything that is still connected, waits until the target has confirmed that, and releases what the
// tester made. A target that does not confirm within its patience is no error: it may be what an attack was about.
func (t *Tester) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), t.target.Patience)
	defer cancel()
	var errs []error
	for _, p := range t.paths {
		p.disconnect(ctx)
	}
	for _, p := range t.paths {
		errs = append(errs, p.release())
	}
	t.paths = nil
	return errors.Join(errs...)
}

// patient bounds a wait for the target.
func (t *Tester) patient(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, t.target.Patience, ErrSilent)
}

// ended says why a wait ended: that the patience is over is ErrSilent, that the caller's time is over stays what it is.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return context.Cause(ctx)
	}
	return err
}
