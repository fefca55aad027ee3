// SPDX-License-Identifier: Apache-2.0

package ibtrs_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/rdma/soft"
)

// TestDetectionTime lets a server fall silent without any loss that the connections could notice, before and after a
// reconnect (Clauses IBTRS-HB-004, IBTRS-HB-007).
func TestDetectionTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		scfg := l.serverConfig()
		var mu sync.Mutex
		silent := false
		scfg.Rules.IgnoreSilence = true
		scfg.Rules.EditHeartbeat = func(_ *ibtrs.ServerPath, imm ibtrs.Immediate) (ibtrs.Immediate, bool) {
			mu.Lock()
			defer mu.Unlock()
			return imm, !silent
		}
		l.listen(scfg)
		cfg := l.clientConfig(1)
		s := l.connect(cfg)
		for round := range 2 {
			time.Sleep(time.Minute)
			mu.Lock()
			silent = true
			mu.Unlock()
			start := time.Now()
			waitState(t, s.Paths()[0], ibtrs.StateReconnecting, time.Minute)
			if took := time.Since(start); took < 25*time.Second || took > cfg.Timers.Detection().Limit+pollStep {
				t.Errorf("round %d: silence was noticed after %s, want 25 s to %s", round, took, cfg.Timers.Detection().Limit)
			}
			mu.Lock()
			silent = false
			mu.Unlock()
			waitState(t, s.Paths()[0], ibtrs.StateConnected, 2*time.Minute)
		}
		l.putGet(s, 1, 512)
	})
}

// TestHeartbeatsKeepTheirDistance holds a client up, as a busy machine does: no heartbeat may come sooner for it (Clause
// IBTRS-HB-001).
func TestHeartbeatsKeepTheirDistance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.listen(l.serverConfig())
		cfg := l.clientConfig(1)
		var mu sync.Mutex
		var sent []time.Time
		cfg.Rules.EditHeartbeat = func(_ *ibtrs.Path, imm ibtrs.Immediate) (ibtrs.Immediate, bool) {
			if imm != ibtrs.Heartbeat {
				return imm, true
			}
			mu.Lock()
			defer mu.Unlock()
			if len(sent) == 1 {
				time.Sleep(3 * cfg.Timers.HeartbeatInterval / 5)
			}
			sent = append(sent, time.Now())
			return imm, true
		}
		l.connect(cfg)
		time.Sleep(time.Minute)
		mu.Lock()
		defer mu.Unlock()
		if len(sent) < 5 {
			t.Fatalf("%d heartbeats in a minute", len(sent))
		}
		for i := range sent[1:] {
			if apart := sent[i+1].Sub(sent[i]); apart < cfg.Timers.HeartbeatInterval {
				t.Errorf("heartbeat %d comes %s after the one before, the interval is %s", i+1, apart, cfg.Timers.HeartbeatInterval)
			}
		}
	})
}

// TestLatencyIsMeasured looks at what heartbeats bring (Clause IBTRS-HB-010), and that they keep an idle path alive.
func TestLatencyIsMeasured(t *testing.T) {
	keyModes(t, func(t *testing.T, refresh bool) {
		l := newLab(t)
		scfg := l.serverConfig()
		scfg.KeyRefresh = refresh
		l.listen(scfg)
		l.servers[0].Inject(soft.Fault{Stage: soft.Checked, Delay: 3 * time.Millisecond})
		s := l.connect(l.clientConfig(1))
		time.Sleep(10 * time.Minute)
		p := s.Paths()[0]
		if lat := p.Stats().Latency; lat < 3*time.Millisecond || lat > 10*time.Millisecond {
			t.Errorf("latency %s over a path with a delay of 3 ms", lat)
		}
		if p.State() != ibtrs.StateConnected || p.Stats().Reconnected != 0 {
			t.Errorf("an idle path is %s after %d reconnects", p.State(), p.Stats().Reconnected)
		}
	})
}

// TestReconnectAttempts counts attempts, and measures the pause before each (Clauses IBTRS-PATH-006 to IBTRS-PATH-009).
func TestReconnectAttempts(t *testing.T) {
	for _, limit := range []int{0, 1, 3} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				server := l.listen(l.serverConfig())
				cfg := l.clientConfig(1)
				cfg.MaxReconnectAttempts = limit
				var attempts []time.Time
				ended := time.Now()
				cfg.Transition = func(_ *ibtrs.Path, from, to ibtrs.PathState) {
					switch {
					case from == ibtrs.StateReconnecting && to == ibtrs.StateConnecting:
						attempts = append(attempts, time.Now())
						if pause := time.Since(ended); pause < cfg.Timers.ReconnectDelay+cfg.Timers.ReconnectSettle {
							t.Errorf("attempt %d after a pause of %s", len(attempts), pause)
						}
					case to == ibtrs.StateReconnecting:
						ended = time.Now()
					}
				}
				s := l.connect(cfg)
				if err := server.Close(); err != nil {
					t.Fatal(err)
				}
				waitState(t, s.Paths()[0], ibtrs.StateClosed, time.Hour)
				if len(attempts) != limit {
					t.Errorf("%d attempts were made, want %d", len(attempts), limit)
				}
			})
		})
	}
}

// TestAttemptsAreCountedAnew: a path that one attempt has connected has its one attempt again (Clause IBTRS-PATH-028).
func TestAttemptsAreCountedAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		server := l.listen(l.serverConfig())
		cfg := l.clientConfig(1)
		cfg.MaxReconnectAttempts = 1
		s := l.connect(cfg)
		for i := range int64(3) {
			server.Sessions()[0].Paths()[0].Disconnect()
			waitState(t, s.Paths()[0], ibtrs.StateReconnecting, time.Minute)
			waitState(t, s.Paths()[0], ibtrs.StateConnected, time.Hour)
			if got := s.Paths()[0].Stats().Reconnected; got != i+1 {
				t.Errorf("%d reconnects behind %d losses", got, i+1)
			}
		}
	})
}

// TestReconnectsAreSerialised loses the paths of many sessions at once: no two attempts may overlap.
func TestReconnectsAreSerialised(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		scfg := l.serverConfig()
		server := l.listen(scfg)
		scheduler := &ibtrs.Scheduler{}
		var mu sync.Mutex
		busy, most, count := 0, 0, 0
		for i := range 5 {
			cfg := l.clientConfig(2)
			cfg.Name = fmt.Sprint("session", i)
			cfg.Scheduler = scheduler
			cfg.Transition = func(_ *ibtrs.Path, from, to ibtrs.PathState) {
				mu.Lock()
				defer mu.Unlock()
				switch {
				case from == ibtrs.StateReconnecting && to == ibtrs.StateConnecting:
					busy, count = busy+1, count+1
					most = max(most, busy)
				case from == ibtrs.StateConnecting && count > 0:
					busy--
				}
			}
			l.connect(cfg)
		}
		if err := server.Close(); err != nil {
			t.Fatal(err)
		}
		l.cut(0, true) // attempts on this rail take their time
		time.Sleep(time.Minute)
		l.listen(scfg)
		l.cut(0, false)
		time.Sleep(20 * time.Minute)
		mu.Lock()
		defer mu.Unlock()
		if most != 1 || count < 10 {
			t.Errorf("%d attempts at a time, of %d in all; want 1, of at least 10", most, count)
		}
	})
}

// TestStallBound measures the longest I/O while one of two paths dies without a word, against the bound of the timers.
func TestStallBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.listen(l.serverConfig())
		cfg := l.clientConfig(2)
		s := l.connect(cfg)
		time.Sleep(7 * time.Second)
		l.cut(0, true)
		worst := time.Duration(0)
		for i := range 200 {
			start := time.Now()
			if err := put(s, uint64(i), pattern(i, 512)); err != nil {
				t.Fatal(err)
			}
			worst = max(worst, time.Since(start))
			time.Sleep(time.Second)
		}
		limit := cfg.Timers.StallWithPath()
		t.Logf("worst stall %s, bound %s", worst, limit)
		if worst > limit.Limit || worst < cfg.Timers.PacketLifetime {
			t.Errorf("worst stall %s, want %s to %s", worst, cfg.Timers.PacketLifetime, limit)
		}
	})
}

// TestDepthChange stops automatic reconnects (Clause IBTRS-CONN-039).
func TestDepthChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		scfg := l.serverConfig()
		server := l.listen(scfg)
		s := l.connect(l.clientConfig(1))
		if err := server.Close(); err != nil {
			t.Fatal(err)
		}
		scfg.Geometry.QueueDepth++
		l.listen(scfg)
		waitState(t, s.Paths()[0], ibtrs.StateClosed, 10*time.Minute)
		if err := put(s, 1, nil); !errors.Is(err, ibtrs.ECONNABORTED) {
			t.Errorf("write: %v, want ECONNABORTED", err)
		}
	})
}
