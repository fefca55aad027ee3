// SPDX-License-Identifier: Apache-2.0

package tester

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/ibnbd/ibnbd/conformance/foreign"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/finding"
	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/rdma/soft"
	"github.com/ibnbd/ibnbd/reference/srp"
)

// Target is what is under test, as an initiator can know it.
type Target struct {
	Rails []Rail     // ways to it; some attacks need two
	Port  srp.PortID // its target port
	// LUNs are two logical units of at least [LeastUnit] bytes that nobody else uses: the first is attacked, the second belongs to a
	// bystander.
	LUNs [2]srp.LUN
	// Patience is how long an answer may take; 0 means DefaultPatience.
	Patience time.Duration
	// Limit is what may be done to the units; nil means everything. Under a limit both may be the same one, and a bystander then
	// only reads.
	Limit *Limit
	// Control has an action done that only the owner of the target can do; nil where nobody can.
	Control func(ctx context.Context, action foreign.Action, arguments ...string) error
}

// Rail is one way to a target.
type Rail struct {
	Device rdma.Device    // the tester's own end
	Addr   netip.AddrPort // where the target listens
}

// LeastUnit is what the tester needs of a logical unit, in bytes.
const LeastUnit = 1 << 20

// DefaultPatience outlasts an answer of a busy machine under emulation.
const DefaultPatience = 3 * time.Second

// What may become of a request instead of an answer.
var (
	ErrClosed = errors.New("the target has closed the channel")
	ErrSilent = errors.New("the target does not answer")
)

// ErrInapplicable is wrapped by errors of attacks that the target, or the own end of the wire, gives no opportunity for.
var ErrInapplicable error = &finding.Undecided{Reason: verdict.AbilityMissing, Text: "the attack does not apply to this target"}

// Broken makes a violation of a clause.
func Broken(clause, format string, args ...any) error { return finding.Broken(clause, format, args...) }

// Tester tries one target. It has one user at a time.
type Tester struct {
	target   Target
	guid     uint64 // of its initiator ports
	ports    uint64 // that it has named
	channels []*Channel
	faults   []*soft.Injection
	// forbidden is the first unit that the limit has kept back.
	forbidden error
}

// New makes a tester, whose initiator ports nobody else has. It must be closed.
func New(target Target) *Tester {
	if target.Patience == 0 {
		target.Patience = DefaultPatience
	}
	return &Tester{target: target, guid: rand.Uint64()}
}

// Target is what is tried.
func (t *Tester) Target() Target { return t.target }

// NewPort names an initiator port that has not logged in.
func (t *Tester) NewPort() srp.PortID {
	t.ports++
	return srp.NewPortID(t.ports, t.guid, srp.IOClassRev16a)
}

// Close disconnects everything that is still connected, waits until the target has confirmed that, and releases what the tester
// made. A target that does not confirm within its patience is no error: it may be what an attack was about.
func (t *Tester) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), t.target.Patience)
	defer cancel()
	for _, f := range t.faults {
		f.Remove()
	}
	var errs []error
	for _, c := range t.channels {
		if !c.Lost() && !c.abandoned {
			_ = c.conn.Disconnect(ctx)
		}
	}
	for _, c := range t.channels {
		errs = append(errs, c.release())
	}
	t.channels = nil
	return errors.Join(errs...)
}

// Control has the target's owner do something.
func (t *Tester) Control(ctx context.Context, action foreign.Action, arguments ...string) error {
	if t.target.Control == nil {
		return fmt.Errorf("%s: %w: there is none", action, foreign.ErrNotSupported)
	}
	return t.target.Control(ctx, action, arguments...)
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
