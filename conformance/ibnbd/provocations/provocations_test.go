// SPDX-License-Identifier: Apache-2.0

package provocations_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/catalogue"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/loopback"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/provocations"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
)

// run provokes an initiator of its own, in a time of its own: what waits for timers takes none.
func run(t *testing.T, c provocations.Provocation, change func(*ibnbd.ClientConfig)) error {
	t.Helper()
	return runOn(t, c, change, func(i provocations.Initiator) provocations.Initiator { return i })
}

// runOn is run with an initiator that is seen in some other way.
func runOn(
	t *testing.T, c provocations.Provocation, change func(*ibnbd.ClientConfig), seen func(provocations.Initiator) provocations.Initiator,
) (err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		i, failed := loopback.StartInitiator(c.Needs(), change)
		if failed != nil {
			t.Fatal(failed)
		}
		setup := i.Setup()
		setup.Initiator = seen(setup.Initiator)
		err = provocations.Execute(context.Background(), setup, c)
		if err := i.Close(); err != nil {
			t.Errorf("something was left behind: %v", err)
		}
	})
	return err
}

// TestReferenceEndures runs all provocations against this project's own client.
func TestReferenceEndures(t *testing.T) {
	for _, c := range provocations.All() {
		t.Run(c.Name, func(t *testing.T) {
			if err := run(t, c, nil); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestTable checks what every provocation must have.
func TestTable(t *testing.T) {
	catalogue := clauses.MustNew(catalogue.Part)
	names := map[string]bool{}
	for _, c := range provocations.All() {
		if c.Name == "" || names[c.Name] {
			t.Errorf("the name %q is empty or not unique", c.Name)
		}
		names[c.Name] = true
		for _, id := range append([]string{c.Survives()}, c.Clauses...) {
			clause, known := catalogue.Get(id)
			if !known || !clause.DecidedBy(clauses.Active) || clause.Role == clauses.Target {
				t.Errorf("%q claims %s, which active specs do not decide for an initiator", c.Name, id)
			}
		}
	}
}

// TestStateIsShownLate runs all provocations against a client whose devices show their state a moment late, as the files of a
// kernel do: what a server has seen end may still look whole to who asks the initiator.
func TestStateIsShownLate(t *testing.T) {
	for _, c := range provocations.All() {
		if strings.HasPrefix(c.Name, "a request is answered four times") {
			continue // no state changes there; a late copy that meets the permit's next request, as may happen on a busy machine, answers it
		}
		t.Run(c.Name, func(t *testing.T) {
			err := runOn(t, c, nil, func(i provocations.Initiator) provocations.Initiator { return lateInitiator{i} })
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// lateness is how late a state is shown.
const lateness = 200 * time.Millisecond

// lateInitiator is an initiator whose devices show their state late.
type lateInitiator struct{ provocations.Initiator }

func (i lateInitiator) MapIn(ctx context.Context, mode ibnbd.IOMode, server netip.Addr) (provocations.Disk, error) {
	return i.Initiator.(provocations.Modal).MapIn(ctx, mode, server)
}

func (i lateInitiator) Map(ctx context.Context, server ...netip.Addr) (provocations.Disk, error) {
	d, err := i.Initiator.Map(ctx, server...)
	if err != nil {
		return nil, err
	}
	return showLate(d), nil
}

// lateDisk shows each change of its state late.
type lateDisk struct {
	provocations.Disk
	end  context.CancelFunc
	done chan struct{}

	mu    sync.Mutex
	shown string
	news  chan struct{} // closed, and replaced, when another state is shown
}

// showLate follows the state of a disk until it is unmapped.
func showLate(of provocations.Disk) *lateDisk {
	ctx, end := context.WithCancel(context.Background())
	d := &lateDisk{Disk: of, end: end, done: make(chan struct{}), shown: "open", news: make(chan struct{})}
	go func() {
		defer close(d.done)
		for next, after := "closed", "open"; of.AwaitState(ctx, next) == nil; next, after = after, next {
			time.Sleep(lateness)
			d.show(next)
		}
	}()
	return d
}

func (d *lateDisk) show(state string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.shown = state
	close(d.news)
	d.news = make(chan struct{})
}

func (d *lateDisk) AwaitState(ctx context.Context, want string) error {
	for {
		d.mu.Lock()
		shown, news := d.shown, d.news
		d.mu.Unlock()
		if shown == want {
			return nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return fmt.Errorf("it is shown as %s: %w", shown, context.Cause(ctx))
		}
	}
}

func (d *lateDisk) Unmap(ctx context.Context) error {
	d.end()
	<-d.done
	return d.Disk.Unmap(ctx)
}
