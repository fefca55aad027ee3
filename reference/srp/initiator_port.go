// SPDX-License-Identifier: Apache-2.0

package srp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ibnbd/ibnbd/reference/burst"
)

// PortState is the state of a port. While an attempt to reconnect is made, it stays what it is.
type PortState uint8

// The states, by Linux's names.
const (
	PortRunning  PortState = iota
	PortBlocked            // lost: commands wait
	PortFailFast           // lost for fast_io_fail_tmo: commands fail
	PortLost               // deleted
)

// String names the state as sysfs does.
func (s PortState) String() string { return [...]string{"running", "blocked", "fail-fast", "lost"}[s] }

// RemotePort is a target port that an initiator has logged in to, with its disks.
type RemotePort struct {
	initiator *Initiator
	cfg       PortConfig
	log       *slog.Logger
	noise     *burst.Log // of what a target sends that it should not
	turn      attempt
	alive     context.Context // ends with Delete
	kill      context.CancelFunc
	ready     atomic.Bool    // Add has succeeded
	attempts  sync.WaitGroup // that are being made; counted with the lock held
	closing   sync.WaitGroup // of lost channels
	deleting  sync.Once
	deleted   error
	spare     sync.Pool // operations that somebody waited for

	mu           sync.Mutex // guards the rest; unlock gives it back
	state        PortState
	timers       Timers
	nexus        *nexus // nil while there is none
	queue        commandList
	waiting      int // commands in the queue
	outstanding  int // commands that are sent
	perLUN       map[LUN]int
	resetting    map[LUN]int // units that are being reset
	finished     commandList // commands whose Done unlock calls
	starved      time.Time   // since when commands wait although none is sent; zero: they do not
	busyTimer    *time.Timer // of commands for which the target was too busy
	lost         time.Time
	failTimer    *time.Timer
	lossTimer    *time.Timer
	reconnecting bool
	offline      bool // it has failed once
	failures     int
	cause        error // of the last loss, or failed attempt
	stats        PortStats
	disks        []*Disk
}

// PortStats count what a port has done.
type PortStats struct {
	Commands       uint64 `json:"commands"`        // sent
	DataIn         uint64 `json:"data_in_bytes"`   // asked for
	DataOut        uint64 `json:"data_out_bytes"`  // sent, or offered
	Immediate      uint64 `json:"immediate_bytes"` // of it, inside of commands
	Failed         uint64 `json:"failed"`          // commands that were not answered
	Attentions     uint64 `json:"unit_attentions"` // after which a command was sent again
	Aborts         uint64 `json:"aborts"`
	Resets         uint64 `json:"resets"`
	Probes         uint64 `json:"probes"`
	CreditRequests uint64 `json:"credit_requests"` // of the target
	Events         uint64 `json:"events"`          // of the target
	UnknownTags    uint64 `json:"unknown_tags"`    // responses that belong to no command
	Losses         uint64 `json:"losses"`
	Reconnects     uint64 `json:"reconnects"`
	Attempts       uint64 `json:"failed_attempts"` // to reconnect
	Outstanding    int    `json:"outstanding"`
	Waiting        int    `json:"waiting"`
}

func (i *Initiator) newPort(cfg PortConfig) (*RemotePort, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Device == nil {
		return nil, fmt.Errorf("no device to log in from: %w", syscall.EINVAL)
	}
	p := &RemotePort{initiator: i, cfg: cfg, timers: cfg.Timers, state: PortBlocked, perLUN: map[LUN]int{}, resetting: map[LUN]int{}}
	p.log = i.cfg.Log.With("port", p.String())
	p.noise = burst.New(p.log, slog.LevelWarn, "the target sends what it should not")
	p.alive, p.kill = context.WithCancel(context.Background())
	p.turn.run = p.reconnect
	return p, nil
}

// String names the port by the target port and where it is.
func (p *RemotePort) String() string {
	return fmt.Sprintf("%016x:%016x@%s", p.cfg.Login.IDExt, p.cfg.Login.IOCGUID, p.cfg.Login.Dest)
}

// Config is what the port was added with.
func (p *RemotePort) Config() PortConfig { return p.cfg }

// State is the state as it is now.
func (p *RemotePort) State() PortState {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state
}

// PortInfo is what can be seen of a port beside its state.
type PortInfo struct {
	State        PortState
	Reconnecting bool  // an attempt is being made
	Failures     int   // attempts since the last success
	Cause        error // of the last loss or failed attempt; nil if there was none
	Timers       Timers
	Channels     int
	RequestLimit int32 // the lowest of all channels
	Stats        PortStats
}

// Info is what can be seen now.
func (p *RemotePort) Info() PortInfo {
	p.mu.Lock()
	defer p.mu.Unlock()
	info := PortInfo{State: p.state, Reconnecting: p.reconnecting, Failures: p.failures, Cause: p.cause, Timers: p.timers, Stats: p.stats}
	info.Stats.Outstanding, info.Stats.Waiting = p.outstanding, p.waiting
	if p.nexus != nil {
		info.Channels = len(p.nexus.channels)
		info.RequestLimit = p.nexus.channels[0].credits.Limit()
		for _, c := range p.nexus.channels {
			info.RequestLimit = min(info.RequestLimit, c.credits.Limit())
		}
	}
	return info
}

// FailBound bounds the time from a loss to the failure of I/O, by the timers as they are now (Clause SRP-SYSFS-018).
func (p *RemotePort) FailBound() FailBound {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.timers.FailBound(p.cfg.Login.TLRetryCount, p.cfg.AckTimeout)
}

// setState is called with the lock held.
func (p *RemotePort) setState(s PortState) {
	from := p.state
	p.state = s
	if !p.ready.Load() { // it is nobody's port yet
		return
	}
	p.log.Info("port state", "from", from, "to", s)
	if f := p.initiator.cfg.Transition; f != nil {
		f(p, from, s)
	}
}

// firstLogin logs in through the gate. Nobody else knows the port yet.
func (p *RemotePort) firstLogin(ctx context.Context) error {
	g := p.initiator.gate
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(p.alive, cancel)()
	first := &attempt{urgent: true, run: func() {
		ctx, cancel := context.WithTimeout(ctx, p.attemptMax(p.cfg.Timers.AttemptMax))
		defer cancel()
		n, err := p.login(ctx, false)
		if err == nil {
			err = p.up(n)
		}
		ended <- err
	}}
	g.put(first, time.Now())
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	if g.drop(first) {
		return fmt.Errorf("log in to %s: %w", p, ctx.Err())
	}
	return <-ended
}

var errDeletedMeanwhile = errors.New("the port was deleted meanwhile")

// up puts a nexus to use: commands go on.
func (p *RemotePort) up(n *nexus) error {
	p.mu.Lock()
	if p.state == PortLost {
		p.mu.Unlock()
		return errors.Join(errDeletedMeanwhile, n.close())
	}
	defer p.unlock()
	if !p.rules().KeepLossTimer {
		p.stopTimers()
	}
	if !p.rules().KeepFailures {
		p.failures = 0
	}
	p.nexus, p.starved = n, time.Time{}
	p.setState(PortRunning)
	n.start(time.Now())
	p.pump()
	return nil
}

// pump sends commands that wait, in order, as long as there is room. It is called with the lock held.
func (p *RemotePort) pump() {
	if p.state != PortRunning || p.queue.first == nil {
		p.starved = time.Time{}
		return
	}
	now := time.Now()
	var later time.Time
	for c := p.queue.first; c != nil && p.nexus != nil; {
		next := c.after
		switch {
		case c.notBefore.After(now):
			if later.IsZero() || c.notBefore.Before(later) {
				later = c.notBefore
			}
		case p.held(c):
		case !p.place(c, now):
			next = nil // whoever is behind must not overtake it
		}
		c = next
	}
	p.noteStarved(now, later)
}

// place sends a command on the next channel that has room for it.
func (p *RemotePort) place(c *Command, now time.Time) bool {
	if most := p.cfg.Login.TargetCanQueue; most > 0 && p.outstanding >= most {
		return false
	}
	n := p.nexus
	for i := range n.channels {
		k := (n.next + i) % len(n.channels)
		if n.channels[k].send(c, now) {
			n.next = k + 1
			return true
		}
	}
	return false
}

// held tells whether a command must not be sent yet because of its unit.
func (p *RemotePort) held(c *Command) bool {
	most := p.cfg.Login.MaxCmdPerLUN
	return len(p.resetting) > 0 && p.resetting[c.LUN] > 0 || most > 0 && p.perLUN[c.LUN] >= most
}

// noteStarved remembers since when commands wait for credits alone, and arms the timers of those that wait.
func (p *RemotePort) noteStarved(now, later time.Time) {
	if p.nexus == nil {
		return
	}
	if !later.IsZero() {
		if p.busyTimer != nil {
			p.busyTimer.Stop()
		}
		p.busyTimer = time.AfterFunc(later.Sub(now), func() {
			p.mu.Lock()
			defer p.unlock()
			p.pump()
		})
	}
	switch {
	case p.outstanding > 0 || p.queue.first == nil || !later.IsZero() || len(p.resetting) > 0:
		p.starved = time.Time{}
	case p.starved.IsZero():
		p.starved = now
		p.nexus.channels[0].arm(now.Add(p.timers.ProbeDeadline))
	}
}

// sent counts a command that is being sent, settled one that has left its channel.
func (p *RemotePort) sent(c *initiatorChannel, cmd *Command, out Buffer) {
	p.outstanding++
	if p.cfg.Login.MaxCmdPerLUN > 0 {
		p.perLUN[cmd.LUN]++
	}
	p.stats.Commands++
	p.stats.DataIn += uint64(len(cmd.In))
	p.stats.DataOut += uint64(len(cmd.Out))
	if out.Format == Immediate {
		p.stats.Immediate += uint64(len(cmd.Out))
	}
}

func (p *RemotePort) settled(cmd *Command) {
	p.outstanding--
	if p.cfg.Login.MaxCmdPerLUN > 0 {
		p.perLUN[cmd.LUN]--
	}
}

// strange takes note of what a target sends that it should not.
func (p *RemotePort) strange(what string, err error) { p.noise.Note("what", what, "error", err) }

// event takes note of an asynchronous event.
func (p *RemotePort) event(m *AERReq) {
	p.stats.Events++
	p.log.Info("event of the target", "lun", m.LUN, "sense", fmt.Sprintf("%x", m.Sense()))
}

// lose ends a nexus. Commands that were sent wait for the next one, or for fast_io_fail_tmo; those that were given up end. It is called
// with the lock held, and nothing in it waits.
func (p *RemotePort) lose(n *nexus, cause error) {
	if p.nexus != n || n.ended {
		return
	}
	p.nexus, n.ended = nil, true
	p.stats.Losses++
	p.cause = cause
	p.log.Warn("target port lost", "cause", cause)
	p.takeBack(n)
	p.closing.Go(func() {
		if err := n.close(); err != nil {
			p.log.Error("channels leave something behind", "error", err)
		}
	})
	if !p.ready.Load() { // during the first scan: Add fails (Clause SRP-STATE-013)
		p.setState(PortLost)
		p.failAll(fmt.Errorf("the target port was lost: %w", cause))
		return
	}
	p.lost = time.Now()
	if p.timers.FastIOFail == 0 || p.rules().FailAtOnce {
		p.failFast()
	} else {
		p.setState(PortBlocked)
	}
	p.armTimers()
	if rd := p.timers.ReconnectDelay; rd > 0 && !p.rules().NoReconnect {
		p.initiator.gate.put(&p.turn, p.lost.Add(rd+p.rules().Pause)) // Clause SRP-RECON-010
	}
}

// takeBack takes the commands of a nexus that has ended.
func (p *RemotePort) takeBack(n *nexus) {
	for _, c := range n.channels {
		if c.timer != nil {
			c.timer.Stop()
		}
		for c.newest != nil { // the newest first, since each goes to the front
			cmd := c.detach(c.newest)
			if p.rules().DropOnLoss {
				p.finish(cmd, nil)
				continue
			}
			if cmd.given != nil {
				p.finish(cmd, cmd.given)
				continue
			}
			p.requeue(cmd)
		}
		for _, t := range c.tasks {
			if t.done != nil && !t.answered {
				t.done(fmt.Errorf("%s: the target port was lost: %w", t.function, syscall.EIO))
			}
		}
	}
}

// failAll ends the commands that wait.
func (p *RemotePort) failAll(err error) {
	for c := p.queue.first; c != nil; c = p.queue.first {
		p.dequeue(c)
		p.finish(c, err)
	}
}

func (p *RemotePort) failFast() {
	p.setState(PortFailFast)
	p.offline = true
	p.failAll(ErrFailFast)
}

// armTimers sets both timers of a lost port, whose times count from the loss (Clause SRP-TMO-017).
func (p *RemotePort) armTimers() {
	p.stopTimers()
	if ff := p.timers.FastIOFail; ff > 0 && p.state == PortBlocked {
		p.failTimer = time.AfterFunc(time.Until(p.lost.Add(ff)), p.onFailTimer)
	}
	if dl := p.timers.DevLoss; dl > 0 {
		p.lossTimer = time.AfterFunc(time.Until(p.lost.Add(dl)), p.onLossTimer)
	}
}

func (p *RemotePort) stopTimers() {
	for _, t := range []*time.Timer{p.failTimer, p.lossTimer} {
		if t != nil {
			t.Stop()
		}
	}
}

// onFailTimer waits for no attempt (Clause SRP-TMO-010).
func (p *RemotePort) onFailTimer() {
	p.mu.Lock()
	defer p.unlock()
	ff := p.timers.FastIOFail
	if p.state != PortBlocked || ff < 0 || time.Now().Before(p.lost.Add(ff)) || p.rules().NeverFail {
		return
	}
	if p.reconnecting && p.rules().WaitForAttempt {
		return // failed looks again
	}
	p.failFast()
	if p.rules().RemoveOnFail {
		p.end(ErrDeleted)
	}
}

// onLossTimer deletes the port, unless it is back (Clause SRP-STATE-011).
func (p *RemotePort) onLossTimer() {
	p.mu.Lock()
	dl := p.timers.DevLoss
	lost := p.state == PortBlocked || p.state == PortFailFast || p.rules().KeepLossTimer
	gone := lost && dl >= 0 && !time.Now().Before(p.lost.Add(dl))
	if gone {
		p.end(fmt.Errorf("dev_loss_tmo has passed: %w", ErrDeleted))
	}
	p.unlock()
	if gone {
		if err := p.Delete(); err != nil {
			p.log.Error("deletion failed", "error", err)
		}
	}
}

// SetTimers changes the timers, also of a lost port. Combinations that cannot be are refused, and the old ones stay (Clause SRP-TMO-002).
func (p *RemotePort) SetTimers(t Timers) error {
	if err := t.Validate(); err != nil && !p.rules().AnyTimers {
		return fmt.Errorf("timers of %s: %w", p, err)
	}
	p.mu.Lock()
	defer p.unlock()
	was := p.timers
	if p.rules().IgnoreTimers {
		return nil
	}
	p.timers = t
	if p.nexus != nil && t.Probe > 0 {
		for _, c := range p.nexus.channels {
			c.arm(c.heard.Add(t.Probe))
		}
	}
	if p.state != PortBlocked && p.state != PortFailFast || p.rules().FixedTimers {
		return nil
	}
	if p.state == PortBlocked && t.FastIOFail == 0 {
		p.failFast()
	}
	p.armTimers()
	switch {
	case t.ReconnectDelay < 0:
		p.initiator.gate.drop(&p.turn)
	case t.ReconnectDelay != was.ReconnectDelay && !p.reconnecting:
		p.initiator.gate.put(&p.turn, time.Now().Add(t.ReconnectDelay))
	}
	return nil
}

// ReconnectNow has a lost port log in as soon as the gate is free (Clause SRP-RECON-025).
func (p *RemotePort) ReconnectNow() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state != PortBlocked && p.state != PortFailFast {
		return fmt.Errorf("reconnect %s: the port is %s: %w", p, p.state, syscall.EINVAL)
	}
	if !p.reconnecting {
		p.initiator.gate.put(&p.turn, time.Now())
	}
	return nil
}

// reconnect makes one attempt, when it is the port's turn. The network is waited for without the lock, and what follows does not wait.
func (p *RemotePort) reconnect() {
	p.mu.Lock()
	if p.state != PortBlocked && p.state != PortFailFast && !p.rules().NoCancel {
		p.mu.Unlock()
		return
	}
	p.reconnecting = true
	p.attempts.Add(1)
	most := p.timers.AttemptMax
	p.mu.Unlock()
	defer p.attempts.Done()
	alive := p.alive
	if p.rules().NoCancel {
		alive = context.Background()
	}
	ctx, cancel := context.WithTimeout(alive, p.attemptMax(most))
	defer cancel()
	n, err := p.login(ctx, true)
	if err == nil {
		err = p.back(n)
	}
	if err != nil {
		p.failed(err)
	}
}

func (p *RemotePort) back(n *nexus) error {
	p.mu.Lock()
	p.reconnecting = false
	p.stats.Reconnects++
	p.mu.Unlock()
	return p.up(n)
}

// failed puts the port behind all that wait, for a pause that grows (Clauses SRP-RECON-002, SRP-RECON-006, SRP-RECON-023).
func (p *RemotePort) failed(err error) {
	p.mu.Lock()
	defer p.unlock()
	p.reconnecting = false
	if p.state == PortLost {
		return
	}
	p.failures++
	p.stats.Attempts++
	p.cause = err
	p.log.Warn("reconnect failed", "attempt", p.failures, "error", err)
	if p.timers.ReconnectDelay > 0 && !p.givesUp(err) {
		p.initiator.gate.put(&p.turn, time.Now().Add(p.timers.Pause(p.failures)+p.rules().Pause))
	}
	if p.rules().WaitForAttempt && p.state == PortBlocked && p.timers.FastIOFail >= 0 && !time.Now().Before(p.lost.Add(p.timers.FastIOFail)) {
		p.failFast()
	}
}

// givesUp tells whether the port is not tried again.
func (p *RemotePort) givesUp(err error) bool {
	r := p.rules()
	var rejected *LoginError
	return r.NoReconnect || r.MostAttempts > 0 && p.failures >= r.MostAttempts || r.GiveUpOnReject && errors.As(err, &rejected)
}

// attemptMax is how long an attempt may take, by the timer for that.
func (p *RemotePort) attemptMax(timer time.Duration) time.Duration {
	if p.rules().NoAttemptLimit {
		return time.Hour
	}
	return timer
}

func (p *RemotePort) rules() *InitiatorRules { return &p.initiator.cfg.Rules }

// end makes the port lost for ever: all commands end. It is called with the lock held, and gives the nexus that is left.
func (p *RemotePort) end(err error) *nexus {
	n := p.nexus
	p.nexus = nil
	p.stopTimers()
	if p.busyTimer != nil {
		p.busyTimer.Stop()
	}
	if p.state != PortLost {
		p.setState(PortLost)
	}
	if n != nil {
		n.ended = true
		p.takeBack(n)
	}
	p.failAll(err)
	return n
}

// Delete logs out, ends all commands with ENODEV, and removes the port and its disks. An attempt that is being made is cancelled (Clause
// SRP-RECON-018). A target that does not answer is waited for up to twice LogoutTime.
func (p *RemotePort) Delete() error {
	p.deleting.Do(func() {
		p.mu.Lock()
		n := p.end(ErrDeleted)
		p.unlock()
		p.kill()
		if !p.rules().NoCancel {
			p.initiator.gate.drop(&p.turn)
		}
		if n != nil {
			n.logout()
			p.deleted = n.close()
		}
		p.attempts.Wait()
		p.closing.Wait()
		p.noise.Close()
		p.initiator.remove(p)
	})
	return p.deleted
}
