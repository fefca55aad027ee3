// SPDX-License-Identifier: Apache-2.0

package ibtrs_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/rdma/soft"
)

// TestGivenUpRequestIsNotSentAgain gives up what is stuck on a silent path: it does not go to another path when that one is
// lost, and its permit comes back (Clause IBNBD-FAIL-029).
func TestGivenUpRequestIsNotSentAgain(t *testing.T) {
	for _, c := range []struct {
		name string
		// giveUp sends a request, which is stuck, and gives it up.
		giveUp func(t *testing.T, s *ibtrs.Session, r *ibtrs.Request)
		rules  ibtrs.ClientRules
		sent   bool
	}{
		{"a context that ends", giveUpByContext, ibtrs.ClientRules{}, false},
		{"Cancel", giveUpByCancel, ibtrs.ClientRules{}, false},
		{"Revoked", giveUpByRevoking, ibtrs.ClientRules{}, false},
		{"no rule", giveUpByContext, ibtrs.ClientRules{SendGivenUp: true}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				l.listen(l.serverConfig())
				cfg := l.clientConfig(2)
				cfg.Rules = c.rules
				s := l.connect(cfg)
				silence := l.servers[0].Inject(soft.Fault{Stage: soft.Arrived, Drop: true})
				defer silence.Remove()
				c.giveUp(t, s, &ibtrs.Request{Direction: ibtrs.Write, Header: header(1), Data: pattern(1, 512)})
				if s.Inflight() != 1 {
					t.Errorf("%d permits are in use while the request may still take effect, want 1", s.Inflight())
				}
				waitState(t, s.Paths()[0], ibtrs.StateReconnecting, cfg.Timers.Detection().Limit)
				time.Sleep(cfg.Timers.PacketLifetime + time.Second)
				if s.Inflight() != 0 {
					t.Errorf("%d permits are in use when the path is lost", s.Inflight())
				}
				if _, err := get(s, 1, 512); (err == nil) != c.sent {
					t.Errorf("read of what was given up: %v", err)
				}
			})
		})
	}
}

func giveUpByContext(t *testing.T, s *ibtrs.Session, r *ibtrs.Request) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if err := s.Do(ctx, r); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Do whose context has ended: %v", err)
	}
}

// giveUpByCancel has the end of the request told later, as that of any other.
func giveUpByCancel(t *testing.T, s *ibtrs.Session, r *ibtrs.Request) {
	expectDone(t, s, r, func() {
		if !s.Cancel(r) {
			t.Error("a request that is under way cannot be canceled")
		}
	})
}

func giveUpByRevoking(t *testing.T, s *ibtrs.Session, r *ibtrs.Request) {
	var revoked atomic.Bool
	r.Revoked = &revoked
	expectDone(t, s, r, func() { revoked.Store(true) })
}

func expectDone(t *testing.T, s *ibtrs.Session, r *ibtrs.Request, giveUp func()) {
	t.Helper()
	done := make(chan error, 1)
	r.Done = func(_ *ibtrs.Request, err error) { done <- err }
	if err := s.Start(context.Background(), r); err != nil {
		t.Fatal(err)
	}
	giveUp()
	t.Cleanup(func() {
		if err := <-done; !errors.Is(err, ibtrs.ECONNABORTED) {
			t.Errorf("a request that was given up has ended with %v, want ECONNABORTED", err)
		}
		if s.Cancel(r) {
			t.Error("a request that has ended can be canceled")
		}
	})
}

// TestRevokedRequestIsNotSent does not send what is revoked before it has a permit.
func TestRevokedRequestIsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.listen(l.serverConfig())
		s := l.connect(l.clientConfig(1))
		var revoked atomic.Bool
		revoked.Store(true)
		r := &ibtrs.Request{Direction: ibtrs.Write, Header: header(1), Data: pattern(1, 512), Revoked: &revoked}
		if err := s.Do(context.Background(), r); !errors.Is(err, ibtrs.ECONNABORTED) {
			t.Errorf("a revoked request: %v, want ECONNABORTED", err)
		}
		if _, err := get(s, 1, 512); !errors.Is(err, ibtrs.ENOENT) {
			t.Errorf("read of what was revoked: %v, want ENOENT", err)
		}
		if s.Inflight() != 0 {
			t.Errorf("%d permits are in use", s.Inflight())
		}
	})
}

// TestCanceledReadLeavesItsDataAlone answers a read that nobody waits for any more.
func TestCanceledReadLeavesItsDataAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.listen(l.serverConfig())
		s := l.connect(l.clientConfig(1))
		l.putGet(s, 1, 512)
		held := make(chan func(), 1)
		l.store.hold = func(_ *ibtrs.ServerRequest, execute func()) { held <- execute }
		done := make(chan error, 1)
		r := &ibtrs.Request{Direction: ibtrs.Read, Header: header(1), Data: make([]byte, 512)}
		r.Done = func(_ *ibtrs.Request, err error) { done <- err }
		if err := s.Start(context.Background(), r); err != nil {
			t.Fatal(err)
		}
		execute := <-held
		if !s.Cancel(r) {
			t.Error("a request that is under way cannot be canceled")
		}
		execute()
		if err := <-done; err != nil {
			t.Errorf("a canceled read that was answered: %v", err)
		}
		if string(r.Data) != string(make([]byte, 512)) {
			t.Error("the data of a canceled read were touched")
		}
	})
}
