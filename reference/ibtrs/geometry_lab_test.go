// SPDX-License-Identifier: Apache-2.0

package ibtrs_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// TestSessionsOfAllDepths runs more requests than there are chunks, at depths of all kinds (Clauses IBTRS-IMM-012, IBTRS-IMM-013,
// IBTRS-INFO-023, IBTRS-IO-018, IBTRS-IO-020, IBTRS-IO-032).
func TestSessionsOfAllDepths(t *testing.T) {
	for _, depth := range []uint16{1, 2, 3, 512, 513, 2048} {
		for _, refresh := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d, key refresh %t", depth, refresh), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					l := newLab(t)
					scfg := l.serverConfig()
					scfg.Geometry = ibtrs.Geometry{QueueDepth: depth, MaxIOSize: 4096, MaxHeaderSize: 4096}
					scfg.KeyRefresh = refresh
					var mu sync.Mutex
					inFlight, most := 0, 0
					l.store.hold = func(_ *ibtrs.ServerRequest, execute func()) {
						mu.Lock()
						inFlight++
						most = max(most, inFlight)
						mu.Unlock()
						time.AfterFunc(time.Millisecond, func() {
							mu.Lock()
							inFlight--
							mu.Unlock()
							execute()
						})
					}
					l.listen(scfg)
					s := l.connect(l.clientConfig(1))
					var all sync.WaitGroup
					for i := range 3*int(depth) + 5 {
						all.Go(func() { l.check(s, uint64(i), 512) })
					}
					all.Wait()
					if most > int(depth) || most < int(depth)/2 {
						t.Errorf("%d requests at a time with %d permits", most, depth)
					}
				})
			})
		}
	}
}

// check is putGet for goroutines.
func (l *lab) check(s *ibtrs.Session, key uint64, n int) {
	want := pattern(int(key), n)
	err := put(s, key, want)
	if err == nil {
		var got []byte
		if got, err = get(s, key, n); err == nil && string(got) != string(want) {
			err = errors.New("read back other bytes than were written")
		}
	}
	if err != nil {
		l.t.Error(err)
	}
}

// TestPolicies counts what goes over which path (Clauses IBTRS-MP-001 to IBTRS-MP-005).
func TestPolicies(t *testing.T) {
	for policy, want := range map[ibtrs.Policy][2]uint64{
		ibtrs.RoundRobin:  {50, 50},
		ibtrs.MinInflight: {100, 0}, // one at a time: the first path wins every tie
		ibtrs.MinLatency:  {100, 0},
	} {
		t.Run(policy.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				l.listen(l.serverConfig())
				cfg := l.clientConfig(2)
				cfg.Policy = policy
				s := l.connect(cfg)
				for i := range 100 {
					if err := put(s, uint64(i), pattern(i, 512)); err != nil {
						t.Fatal(err)
					}
				}
				got := [2]uint64{s.Paths()[0].Stats().Writes, s.Paths()[1].Stats().Writes}
				if got != want {
					t.Errorf("writes on the two paths: %v, want %v", got, want)
				}
			})
		})
	}
}

// TestPoliciesShareWhatBeginsAtOnce has many requests choose their path at the same moment, and counts where they are.
func TestPoliciesShareWhatBeginsAtOnce(t *testing.T) {
	const requests = 64
	for _, policy := range []ibtrs.Policy{ibtrs.RoundRobin, ibtrs.MinInflight} {
		t.Run(policy.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				held := make(chan func(), requests)
				l.store.hold = func(_ *ibtrs.ServerRequest, execute func()) { held <- execute }
				scfg := l.serverConfig()
				scfg.Geometry.QueueDepth = requests
				l.listen(scfg)
				cfg := l.clientConfig(2)
				cfg.Policy = policy
				s := l.connect(cfg)
				var all sync.WaitGroup
				for i := range requests {
					all.Go(func() {
						if err := put(s, uint64(i), pattern(i, 512)); err != nil {
							t.Error(err)
						}
					})
				}
				synctest.Wait()
				for _, p := range s.Paths() {
					if n := p.Stats().Inflight; n != requests/2 {
						t.Errorf("%d requests are outstanding on path %s, want %d", n, p, requests/2)
					}
				}
				for range requests {
					(<-held)()
				}
				all.Wait()
				for _, p := range s.Paths() {
					if n := p.Stats().Inflight; n != 0 {
						t.Errorf("%d requests are outstanding on path %s when all have ended", n, p)
					}
				}
			})
		})
	}
}

// TestCancelledRequestKeepsItsPermit ends the wait for a request that the server holds, then for permits.
func TestCancelledRequestKeepsItsPermit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		held := make(chan func(), 10)
		var holds atomic.Bool
		holds.Store(true)
		l.store.hold = func(_ *ibtrs.ServerRequest, execute func()) {
			if holds.Load() {
				held <- execute
				return
			}
			execute()
		}
		scfg := l.serverConfig()
		scfg.Geometry.QueueDepth = 1
		l.listen(scfg)
		s := l.connect(l.clientConfig(1))
		data := pattern(1, 512)
		for range 2 { // the first is cancelled in flight, the second in line
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			err := s.Do(ctx, &ibtrs.Request{Direction: ibtrs.Write, Header: header(1), Data: data})
			cancel()
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("request ended with %v, want the end of its context", err)
			}
		}
		if s.Inflight() != 1 || len(held) != 1 {
			t.Errorf("%d permits in use, %d requests at the server; want one each", s.Inflight(), len(held))
		}
		clear(data) // it is the caller's again
		(<-held)()
		synctest.Wait()
		if s.Inflight() != 0 {
			t.Error("the permit of a cancelled request is lost")
		}
		holds.Store(false)
		if got, err := get(s, 1, 512); err != nil || string(got) != string(pattern(1, 512)) {
			t.Errorf("a cancelled write that was sent has stored other bytes: %v", err)
		}
	})
}
