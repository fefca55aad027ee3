// SPDX-License-Identifier: Apache-2.0

package ibtrs_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// cut takes both ends of a rail off the network, or mends it.
func (l *lab) cut(rail int, down bool) {
	l.hub.SetDown(clientAddr(rail), down)
	l.hub.SetDown(serverAddr(rail), down)
}

// load writes and reads back with many writers until stop is called, which gives the errors.
func (l *lab) load(s *ibtrs.Session, writers int) (stop func() []error) {
	var done atomic.Bool
	var all sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	for w := range writers {
		all.Go(func() {
			for i := 0; !done.Load(); i++ {
				want := pattern(w*1000+i, 4096)
				err := put(s, uint64(w), want)
				if err == nil {
					var got []byte
					if got, err = get(s, uint64(w), len(want)); err == nil && string(got) != string(want) {
						err = errors.New("read back other bytes than were written")
					}
				}
				if err != nil {
					mu.Lock()
					errs = append(errs, err)
					mu.Unlock()
				}
				time.Sleep(100 * time.Millisecond) // lets fake time pass
			}
		})
	}
	return func() []error {
		done.Store(true)
		all.Wait()
		return errs
	}
}

// pollStep is how exactly waitState measures.
const pollStep = 10 * time.Millisecond

func waitState(t *testing.T, p *ibtrs.Path, want ibtrs.PathState, within time.Duration) time.Duration {
	t.Helper()
	start := time.Now()
	for p.State() != want {
		if time.Since(start) > within {
			t.Fatalf("path %s is %s after %s, want %s", p, p.State(), within, want)
		}
		time.Sleep(pollStep)
	}
	return time.Since(start)
}

func TestLosingOneOfTwoPathsIsInvisible(t *testing.T) {
	keyModes(t, func(t *testing.T, refresh bool) {
		l := newLab(t)
		scfg := l.serverConfig()
		scfg.KeyRefresh = refresh
		l.listen(scfg)
		cfg := l.clientConfig(2)
		s := l.connect(cfg)
		stop := l.load(s, 8)
		time.Sleep(time.Second)
		l.cut(0, true)
		waitState(t, s.Paths()[0], ibtrs.StateReconnecting, cfg.Timers.Detection().Limit)
		time.Sleep(10 * time.Second)
		l.cut(0, false)
		waitState(t, s.Paths()[0], ibtrs.StateConnected, cfg.Timers.Reconnect(1).Limit)
		time.Sleep(time.Second)
		if errs := stop(); len(errs) > 0 {
			t.Errorf("%d errors, the first: %v", len(errs), errs[0])
		}
		if n := s.Paths()[1].Stats().FailedOver; n == 0 {
			t.Error("no request was failed over: the test saw nothing")
		}
	})
}

func TestLosingAllPathsFailsRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.listen(l.serverConfig())
		cfg := l.clientConfig(2)
		var lost, restored atomic.Int32
		cfg.Lost = func() { lost.Add(1) }
		cfg.Restored = func() { restored.Add(1) }
		s := l.connect(cfg)
		l.cut(0, true)
		l.cut(1, true)
		start := time.Now()
		err := put(s, 1, pattern(1, 512))
		if !errors.Is(err, ibtrs.ECONNABORTED) {
			t.Errorf("write without a path: %v, want ECONNABORTED", err)
		}
		// One path dies after the other when requests go from one to the other.
		if took := time.Since(start); took > 2*cfg.Timers.ErrorWithoutPath().Limit {
			t.Errorf("the error took %s", took)
		}
		l.cut(0, false)
		l.cut(1, false)
		limit := cfg.Timers.Reconnect(2).Limit
		t.Logf("both reconnected after %s and %s, bound %s", waitState(t, s.Paths()[0], ibtrs.StateConnected, limit),
			waitState(t, s.Paths()[1], ibtrs.StateConnected, limit), limit)
		l.putGet(s, 2, 4096)
		if lost.Load() != 1 || restored.Load() != 1 {
			t.Errorf("lost was told %d times and restored %d times, want once each", lost.Load(), restored.Load())
		}
		if e := s.Epoch(); e != 2 {
			t.Errorf("epoch %d, want 2", e)
		}
	})
}

func TestCommands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.listen(l.serverConfig())
		s := l.connect(l.clientConfig(2))
		p := s.Paths()[0]
		ctx := context.Background()
		if err := p.Disconnect(ctx); err != nil {
			t.Fatal(err)
		}
		if p.State() != ibtrs.StateClosed {
			t.Errorf("state %s after disconnect, want closed", p.State())
		}
		time.Sleep(10 * time.Minute)
		if p.State() != ibtrs.StateClosed {
			t.Errorf("path is %s ten minutes after disconnect, want closed", p.State())
		}
		l.putGet(s, 1, 4096)
		if err := p.Reconnect(ctx); err != nil {
			t.Fatal(err)
		}
		if p.State() != ibtrs.StateConnected {
			t.Errorf("state %s after reconnect, want connected", p.State())
		}
		if err := s.RemovePath(ctx, s.Paths()[1]); err != nil {
			t.Fatal(err)
		}
		if n := len(s.Paths()); n != 1 {
			t.Errorf("%d paths after one of two was removed", n)
		}
		if _, err := s.AddPath(ctx, l.path(0)); !errors.Is(err, ibtrs.EEXIST) {
			t.Errorf("second path between the same addresses: %v, want EEXIST", err)
		}
		synctest.Wait() // the server, too, is done with the path that was removed
		if _, err := s.AddPath(ctx, l.path(1)); err != nil {
			t.Fatal(err)
		}
		l.putGet(s, 2, 4096)
	})
}
