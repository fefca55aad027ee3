// SPDX-License-Identifier: Apache-2.0

package srp_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ibnbd/ibnbd/reference/rdma/soft"
	"github.com/ibnbd/ibnbd/reference/roce"
	"github.com/ibnbd/ibnbd/reference/srp"
)

// journal remembers the transitions of ports.
type journal struct {
	mu    sync.Mutex
	start time.Time
	lines []entry
}

type entry struct {
	at       time.Duration
	port     *srp.RemotePort
	from, to srp.PortState
}

func (j *journal) note(p *srp.RemotePort, from, to srp.PortState) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, entry{time.Since(j.start), p, from, to})
}

func (j *journal) all() []entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]entry(nil), j.lines...)
}

// watched logs in with a journal.
func (l *lab) watched(cfg srp.PortConfig) (*srp.RemotePort, *journal) {
	l.t.Helper()
	j := &journal{start: time.Now()}
	ic := srp.DefaultInitiatorConfig()
	ic.Transition = j.note
	p, err := l.system(ic).Add(context.Background(), cfg)
	if err != nil {
		l.t.Fatal(err)
	}
	return p, j
}

// await waits until a port is in a state, and gives the time that took.
func await(t testing.TB, p *srp.RemotePort, want srp.PortState, most time.Duration) time.Duration {
	t.Helper()
	start := time.Now()
	for p.State() != want {
		if time.Since(start) > most {
			t.Fatalf("the port is %s after %s, want %s: %v", p.State(), most, want, p.Info().Cause)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return time.Since(start)
}

// reader reads a block and tells how that went, with the time it took.
func reader(d *srp.Disk) <-chan outcome {
	c := make(chan outcome, 1)
	start := time.Now()
	go func() {
		_, err := d.ReadAt(make([]byte, 512), 0)
		c <- outcome{err, time.Since(start)}
	}()
	return c
}

type outcome struct {
	err  error
	took time.Duration
}

// TestFailInTime cuts the network under load and idle, for several fast_io_fail_tmo: I/O ends within the bound, also while an attempt to
// reconnect is being made (Clauses SRP-TMO-004, SRP-TMO-005, SRP-TMO-006, SRP-TMO-010).
func TestFailInTime(t *testing.T) {
	for _, ff := range []time.Duration{0, time.Second, 5 * time.Second, 15 * time.Second} {
		for _, rd := range []time.Duration{time.Second, 10 * time.Second} {
			for _, n := range []int{1, 16, 64} {
				t.Run(fmt.Sprintf("ff %s, rd %s, %d commands", ff, rd, n), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						l := newLab(t)
						held := l.held()
						l.listen(l.targetConfig())
						cfg := l.portConfig()
						cfg.Timers.FastIOFail, cfg.Timers.ReconnectDelay = ff, rd
						p, j := l.watched(cfg)
						d := p.Disks()[1]
						var all []<-chan outcome
						l.hub.SetDown(targetAddr, true)
						for range n {
							all = append(all, reader(d))
						}
						bound := p.FailBound()
						for _, c := range all {
							got := <-c
							if !errors.Is(got.err, srp.ErrFailFast) || !errors.Is(got.err, syscall.ENOLINK) {
								t.Errorf("%v", got.err)
							}
							if got.took > bound.Limit || got.took < ff {
								t.Errorf("I/O fails after %s; %s", got.took, bound)
							}
						}
						if late := failedLate(j.all(), ff); late != 0 {
							t.Errorf("fast_io_fail_tmo is acted on %s late", late)
						}
						if again := <-reader(d); !errors.Is(again.err, syscall.EIO) || again.took > 100*time.Millisecond {
							t.Errorf("new I/O: %v after %s", again.err, again.took)
						}
						close(held.hold)
						l.hub.SetDown(targetAddr, false)
						await(t, p, srp.PortRunning, cfg.Timers.ReconnectBound(1, 100*time.Millisecond, time.Second))
						if got := <-reader(d); got.err != nil {
							t.Errorf("after the reconnect: %v", got.err)
						}
					})
				})
			}
		}
	}
}

// failedLate is by how much more than 100 ms the port failed I/O late, counted from the loss.
func failedLate(all []entry, ff time.Duration) time.Duration {
	var lost time.Duration
	for _, e := range all {
		switch {
		case e.to == srp.PortBlocked:
			lost = e.at
		case e.to == srp.PortFailFast && e.from == srp.PortBlocked:
			return max(0, e.at-lost-ff-100*time.Millisecond)
		}
	}
	return 0 // it was never blocked
}

// TestQueuePairThatNeverFails covers a device that retries without an end, and a target that acknowledges and does not answer (Clauses
// SRP-TMO-009, SRP-TMO-018, SRP-TMO-008).
func TestQueuePairThatNeverFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		held := l.held()
		defer close(held.hold)
		l.listen(l.targetConfig())
		cfg := l.portConfig()
		cfg.AckTimeout, cfg.Login.TLRetryCount = 25, 7 // 18 minutes
		p, _ := l.watched(cfg)
		got := <-reader(p.Disks()[1])
		if !errors.Is(got.err, srp.ErrFailFast) || got.took > p.FailBound().Limit {
			t.Errorf("%v after %s", got.err, got.took)
		}
		if cause := p.Info().Cause; cause == nil || p.Info().Stats.Losses != 1 {
			t.Errorf("cause %v, %+v", cause, p.Info().Stats)
		}
	})
}

// TestIdleLossIsNoticed cuts the network of a port that does nothing (Clause SRP-TMO-013).
func TestIdleLossIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.listen(l.targetConfig())
		cfg := l.portConfig()
		p, _ := l.watched(cfg)
		time.Sleep(time.Minute)
		if s := p.Info().Stats; s.Losses != 0 || s.Probes < 10 || p.Info().RequestLimit != 8 { // Clause SRP-TMO-014
			t.Errorf("idle for a minute: %+v", s)
		}
		l.hub.SetDown(targetAddr, true)
		limit := cfg.Timers.Probe + cfg.Timers.Detect(cfg.Login.TLRetryCount, cfg.AckTimeout)
		t.Logf("noticed after %s, bound %s", await(t, p, srp.PortBlocked, limit), limit)
	})
}

// TestBlockedIOWaits brings the target back before fast_io_fail_tmo: nothing fails, and everything is done once (Clauses SRP-TMO-011,
// SRP-STATE-015, SRP-RECON-022).
func TestBlockedIOWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		held := l.held()
		l.listen(l.targetConfig())
		cfg := l.portConfig()
		cfg.Timers.ReconnectDelay = 2 * time.Second
		p, j := l.watched(cfg)
		d := p.Disks()[1]
		inFlight := reader(d)
		<-held.busy
		close(held.hold)
		l.hub.SetDown(targetAddr, true)
		await(t, p, srp.PortBlocked, time.Minute)
		waits := reader(d)
		time.Sleep(time.Second)
		l.hub.SetDown(targetAddr, false)
		for _, c := range []<-chan outcome{inFlight, waits} {
			if got := <-c; got.err != nil {
				t.Error(got.err)
			}
		}
		var states []srp.PortState
		for _, e := range j.all() {
			states = append(states, e.to)
		}
		if fmt.Sprint(states) != "[blocked running]" {
			t.Errorf("states %v", states)
		}
		if info := p.Info(); info.Stats.Reconnects != 1 || info.Failures != 0 || info.Stats.Failed != 0 {
			t.Errorf("%+v", info)
		}
	})
}

// TestDisksStay keeps a target away for an hour, and restarts it (Clauses SRP-STATE-009, SRP-RECON-002, SRP-RECON-006, SRP-RECON-015).
func TestDisksStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		first := l.listen(l.targetConfig())
		cfg := l.portConfig()
		p, _ := l.watched(cfg)
		d := disk0(t, p)
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
		await(t, p, srp.PortBlocked, 100*time.Millisecond) // Clause SRP-LOGOUT-004
		await(t, p, srp.PortFailFast, cfg.Timers.FastIOFail+100*time.Millisecond)
		time.Sleep(time.Hour)
		info := p.Info()
		var refused *srp.LoginError
		if p.State() != srp.PortFailFast || !errors.As(info.Cause, &refused) || refused.CM != 8 || info.Failures < 55 { // Clause SRP-RECON-024
			t.Errorf("after an hour: %s, %d attempts, %v", p.State(), info.Failures, info.Cause)
		}
		l.listen(l.targetConfig())
		await(t, p, srp.PortRunning, cfg.Timers.ReconnectDelayMax+time.Second)
		if got := <-reader(d); got.err != nil || len(p.Disks()) != 1 || p.Disks()[0] != d || p.Info().Failures != 0 {
			t.Errorf("%v, %d disks, %d failures", got.err, len(p.Disks()), p.Info().Failures)
		}
	})
}

// TestDevLoss removes a port that stays away, and none that is back in time (Clause SRP-STATE-011).
func TestDevLoss(t *testing.T) {
	for name, back := range map[string]bool{"stays away": false, "is back": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				l.listen(l.targetConfig())
				cfg := l.portConfig()
				cfg.Timers.FastIOFail, cfg.Timers.DevLoss, cfg.Timers.ReconnectDelay = 5*time.Second, 20*time.Second, time.Second
				i := l.system(srp.DefaultInitiatorConfig())
				p, err := i.Add(context.Background(), cfg)
				if err != nil {
					t.Fatal(err)
				}
				d := disk0(t, p)
				l.target.Enable(false)
				time.Sleep(10 * time.Second)
				l.target.Enable(back)
				time.Sleep(20 * time.Second)
				if (p.State() == srp.PortRunning) != back || (len(i.Ports()) == 1) != back {
					t.Errorf("%s, %d ports", p.State(), len(i.Ports()))
				}
				if got := <-reader(d); (got.err == nil) != back || !back && !errors.Is(got.err, syscall.ENODEV) {
					t.Errorf("I/O: %v", got.err)
				}
			})
		})
	}
}

// TestLogoutOfTheTargetIsALoss is what it says (Clause SRP-LOGOUT-003).
func TestLogoutOfTheTargetIsALoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.listen(l.targetConfig())
		cfg := l.portConfig()
		cfg.Login.ChannelCount = 2
		p, _ := l.watched(cfg)
		l.target.Nexuses()[0].Channels()[1].Logout(srp.LogoutInactive)
		await(t, p, srp.PortBlocked, 100*time.Millisecond)
		await(t, p, srp.PortRunning, cfg.Timers.ReconnectDelay+time.Second) // Clause SRP-CH-004
		if p.Info().Channels != 2 {
			t.Errorf("%d channels", p.Info().Channels)
		}
	})
}

// TestSetTimers changes timers of a port that is blocked (Clause SRP-TMO-017), and refuses nonsense.
func TestSetTimers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.listen(l.targetConfig())
		cfg := l.portConfig()
		p, _ := l.watched(cfg)
		l.target.Enable(false)
		await(t, p, srp.PortBlocked, time.Second)
		timers := cfg.Timers
		timers.ReconnectDelay = 0
		if err := p.SetTimers(timers); !errors.Is(err, syscall.EINVAL) || p.Info().Timers != cfg.Timers {
			t.Errorf("%v, %+v", err, p.Info().Timers)
		}
		timers = cfg.Timers
		timers.FastIOFail, timers.ReconnectDelay = time.Second, srp.Off
		if err := p.SetTimers(timers); err != nil {
			t.Fatal(err)
		}
		await(t, p, srp.PortFailFast, 1100*time.Millisecond)
		l.target.Enable(true)
		time.Sleep(time.Minute)
		if p.State() != srp.PortFailFast {
			t.Errorf("%s without a reconnect delay", p.State())
		}
		if err := p.ReconnectNow(); err != nil {
			t.Error(err)
		}
		await(t, p, srp.PortRunning, time.Second)
		if err := p.ReconnectNow(); !errors.Is(err, syscall.EINVAL) {
			t.Errorf("reconnect of a running port: %v", err)
		}
	})
}

// TestDeleteDuringAnAttempt cancels it (Clauses SRP-RECON-018, SRP-RECON-005, SRP-SYSFS-013).
func TestDeleteDuringAnAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.listen(l.targetConfig())
		cfg := l.portConfig()
		cfg.Timers.ReconnectDelay, cfg.Timers.AttemptMax = time.Second, time.Minute
		p, _ := l.watched(cfg)
		l.hub.SetDown(targetAddr, true)
		await(t, p, srp.PortBlocked, time.Minute)
		for !p.Info().Reconnecting {
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(3 * time.Second)
		start := time.Now()
		if err := p.Delete(); err != nil || time.Since(start) > time.Second {
			t.Errorf("deletion took %s: %v", time.Since(start), err)
		}
	})
}

// TestOneAttemptAtATime loses many targets at once, of which some stay away. Requests for connections are taken from the wire (Clauses
// SRP-RECON-004, SRP-RECON-007, SRP-RECON-008, SRP-RECON-012).
func TestOneAttemptAtATime(t *testing.T) {
	for _, n := range []int{4, 16} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { oneAtATime(t, n) })
		})
	}
}

func oneAtATime(t *testing.T, n int) {
	seen := &requests{start: time.Now()}
	l := newLabOf(t, func(c *soft.Config) { c.Trace = seen.trace }, asIs)
	l.listen(l.targetConfig())
	ic := srp.DefaultInitiatorConfig()
	i := l.system(ic)
	cfg := l.portConfig()
	cfg.Timers.ReconnectDelay = 2 * time.Second
	var ports []*srp.RemotePort
	for k := range n {
		cfg.Login.InitiatorExt = uint64(k)
		cfg.Login.ChannelCount = 1 + k%2
		p, err := i.Add(context.Background(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		ports = append(ports, p)
	}
	seen.take()
	l.hub.SetDown(targetAddr, true)
	for _, p := range ports {
		await(t, p, srp.PortBlocked, time.Minute)
	}
	time.Sleep(time.Duration(n) * 12 * time.Second) // two rounds
	l.hub.SetDown(targetAddr, false)
	start := time.Now()
	bound := cfg.Timers.ReconnectBound(n, ic.Gap, time.Second)
	for _, p := range ports {
		await(t, p, srp.PortRunning, bound)
	}
	t.Logf("all %d are back after %s, bound %s", n, time.Since(start), bound)
	checkOneAtATime(t, seen.take(), n)
}

// request is a REQ on the wire.
type request struct {
	at    time.Duration
	port  srp.PortID
	id    uint32 // of the connection that is asked for; repeats have the same
	multi bool
}

// Where things are in the UDP payload of a message of connection management.
const (
	cmAttribute = roce.BTHLen + roce.DETHLen + 16
	cmLocalID   = roce.BTHLen + roce.DETHLen + 24
	cmLogin     = roce.BTHLen + roce.DETHLen + 164 + 36 // behind the header of the RDMA connection manager
	cmRequest   = 0x0010
)

// requests records the REQs that an initiator sends.
type requests struct {
	start time.Time
	mu    sync.Mutex // guards all
	all   []request
}

func (q *requests) trace(r soft.Record) {
	b := r.Packet.Payload()
	if r.Direction != soft.Outbound || r.Packet.DestQP() != roce.GSIQPN || binary.BigEndian.Uint16(b[cmAttribute:]) != cmRequest {
		return
	}
	login, err := srp.ParseLoginReqCM(b[cmLogin:])
	if err != nil {
		panic(err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.all = append(q.all, request{time.Since(q.start), login.InitiatorPort, binary.BigEndian.Uint32(b[cmLocalID:]), login.Flags&3 == srp.ChannelMultiple})
}

// take gives what was recorded, and forgets it.
func (q *requests) take() []request {
	q.mu.Lock()
	defer q.mu.Unlock()
	all := q.all
	q.all = nil
	return all
}

// checkOneAtATime wants no request of a port between those of an attempt of another one, none of an attempt that has been given up, and no
// port to get a second attempt before all have had their first.
func checkOneAtATime(t *testing.T, seen []request, n int) {
	t.Helper()
	had := map[srp.PortID]int{}
	over := map[uint32]bool{}
	for k, r := range seen {
		switch {
		case over[r.id]:
			t.Errorf("at %s a request of an attempt that was given up is repeated", r.at)
		case k > 0 && r.id == seen[k-1].id: // a repeat
			continue
		case r.multi && (k == 0 || seen[k-1].port != r.port):
			t.Errorf("at %s another port asks between the channels of one", r.at)
		case !r.multi && k > 0 && r.at-seen[k-1].at < 100*time.Millisecond:
			t.Errorf("attempts at %s and %s", seen[k-1].at, r.at)
		}
		if k > 0 {
			over[seen[k-1].id] = true
		}
		if r.multi {
			continue
		}
		if had[r.port]++; had[r.port] == 2 && len(had) < n {
			t.Errorf("at %s port %s gets its second attempt, and %d had none", r.at, r.port, n-len(had))
		}
	}
	if len(had) != n {
		t.Errorf("%d of %d ports have asked", len(had), n)
	}
}
