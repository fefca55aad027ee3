// SPDX-License-Identifier: Apache-2.0

package srp_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ibnbd/ibnbd/reference/backend"
	"github.com/ibnbd/ibnbd/reference/rdma/soft"
	"github.com/ibnbd/ibnbd/reference/scsi"
	"github.com/ibnbd/ibnbd/reference/srp"
)

var (
	schedules = flag.Int("schedules", 100, "number of random fault schedules to run")
	schedule  = flag.Uint64("schedule", 0, "run this one schedule alone")
)

// TestFaultSchedules writes and reads stamped blocks while the network, the target and the user do things at random, on a disk that takes
// its time, and gives some writes up: what was acknowledged, or read, is there, whole, and stays until it is written again. At the end
// all heals within the bound.
func TestFaultSchedules(t *testing.T) {
	first, last := uint64(1), uint64(*schedules)
	if raceEnabled {
		last = max(1, last/4) // each takes ten times as long
	}
	if *schedule != 0 {
		first, last = *schedule, *schedule
	}
	var total tally
	for seed := first; seed <= last; seed++ {
		events := randomEvents(seed)
		got, err := runSchedule(t, seed, events, nil)
		total.add(got)
		if err == nil {
			continue
		}
		t.Errorf("schedule %d: %v", seed, err)
		t.Logf("run it again with: go test ./reference/srp -run TestFaultSchedules -schedule %d", seed)
		for _, e := range shrink(t, seed, events) {
			t.Logf("needed: %s", e)
		}
		return
	}
	t.Logf("%d schedules: %+v", last-first+1, total)
	if *schedule == 0 && (total.failed == 0 || total.givenUp == 0 || total.reconnects == 0 || total.failedFast == 0) {
		t.Errorf("the schedules caused too little: %+v", total)
	}
}

// TestFaultSchedulesNotice lets the disk break its promises: some schedule must notice each.
func TestFaultSchedulesNotice(t *testing.T) {
	if raceEnabled {
		t.Skip("it runs the schedules of the test before, on what is broken, and needs ten times as long")
	}
	for name, spoil := range map[string]func(*slowDisk){
		"some writes are lost":      func(d *slowDisk) { d.lose = true },
		"some writes are too late":  func(d *slowDisk) { d.late = true },
		"some writes are in halves": func(d *slowDisk) { d.halve = true },
	} {
		t.Run(name, func(t *testing.T) {
			for seed := uint64(1); seed <= 50; seed++ {
				if _, err := runSchedule(t, seed, randomEvents(seed), spoil); err != nil {
					t.Logf("schedule %d: %.200s", seed, err.Error())
					return
				}
			}
			t.Error("no schedule noticed")
		})
	}
}

// tally counts what a schedule has caused.
type tally struct {
	writes, reads, failed, givenUp, failedFast int
	reconnects, losses, aborts                 uint64
}

func (t *tally) add(o tally) {
	t.writes += o.writes
	t.reads += o.reads
	t.failed += o.failed
	t.givenUp += o.givenUp
	t.failedFast += o.failedFast
	t.reconnects += o.reconnects
	t.losses += o.losses
	t.aborts += o.aborts
}

// fault is one kind of event.
type fault int

const (
	faultCut       fault = iota // the target is off the network
	faultMute                   // nothing leaves the target
	faultDeaf                   // nothing reaches it
	faultLose                   // one packet of five is lost
	faultDelay                  // packets are late, some more than others
	faultDisable                // the target's port is disabled
	faultLogout                 // the target logs a channel out
	faultCredits                // the target takes credits, and gives them back
	faultReconnect              // the user wants the port to reconnect now
	faultTimers                 // the user changes timers
	faultReset                  // the user resets the unit
	faultScan                   // the user scans
	faultKinds
)

var faultNames = [...]string{"cut", "mute", "deaf", "lose", "delay", "disable", "logout", "credits", "reconnect", "timers", "reset", "scan"}

// event is one thing that happens.
type event struct {
	at, length time.Duration
	kind       fault
}

func (e event) String() string {
	return fmt.Sprintf("at %s for %s: %s", e.at, e.length, faultNames[e.kind])
}

const (
	faultTime = 8 * time.Second // in which faults begin
	longest   = 3 * time.Second // that one lasts
)

func randomEvents(seed uint64) []event {
	rnd := rand.New(rand.NewPCG(seed, 1))
	events := make([]event, 1+rnd.IntN(6))
	for i := range events {
		events[i] = event{
			at: time.Duration(rnd.Int64N(int64(faultTime))), length: time.Duration(rnd.Int64N(int64(longest))), kind: fault(rnd.IntN(int(faultKinds))),
		}
	}
	slices.SortFunc(events, func(a, b event) int { return int(a.at - b.at) })
	return events
}

// shrink leaves events out as long as the schedule still fails.
func shrink(t *testing.T, seed uint64, events []event) []event {
	for i := 0; i < len(events); {
		fewer := slices.Delete(slices.Clone(events), i, i+1)
		if _, err := runSchedule(t, seed, fewer, nil); err != nil {
			events, i = fewer, 0
			continue
		}
		i++
	}
	return events
}

// scheduleTimers are short, so that little fake time has to pass.
func scheduleTimers(rnd *rand.Rand) srp.Timers {
	t := srp.DefaultTimers()
	t.FastIOFail = []time.Duration{0, 300 * time.Millisecond, time.Second, srp.Off}[rnd.IntN(4)]
	t.ReconnectDelay = []time.Duration{100 * time.Millisecond, 700 * time.Millisecond}[rnd.IntN(2)]
	t.ReconnectDelayMax, t.AttemptMax = 2*time.Second, 2*time.Second
	t.Probe, t.ProbeDeadline = 500*time.Millisecond, 1500*time.Millisecond
	return t
}

func runSchedule(t *testing.T, seed uint64, events []event, spoil func(*slowDisk)) (got tally, err error) {
	synctest.Test(t, func(t *testing.T) { got, err = newTrial(t, seed, spoil).run(events) })
	return got, err
}

// trial is one run of a schedule.
type trial struct {
	*lab
	port *srp.RemotePort
	disk *srp.Disk
	seed uint64

	mu    sync.Mutex // guards the rest
	tally tally
	errs  []error
}

func newTrial(t *testing.T, seed uint64, spoil func(*slowDisk)) *trial {
	r := &trial{lab: newLab(t), seed: seed}
	rnd := rand.New(rand.NewPCG(seed, 2))
	slow := &slowDisk{Backend: newGated(t).Backend, rnd: rnd}
	if spoil != nil {
		spoil(slow)
	}
	r.add(1, "slow", slow)
	tc, cfg := r.targetConfig(), r.portConfig()
	tc.Drain = time.Second
	cfg.Timers, cfg.AckTimeout, cfg.TaskTimeout = scheduleTimers(rnd), 12, time.Second // 17 ms
	cfg.Login.ChannelCount = 1 + rnd.IntN(3)
	cfg.Keys = srp.Keys(rnd.IntN(2))
	if rnd.IntN(2) == 0 {
		cfg.MaxImmediate = 0
	}
	if cfg.Keys == srp.GlobalKey && rnd.IntN(2) == 0 {
		cfg.Segment = 4096
	}
	r.listen(tc)
	r.port = r.lab.login(cfg)
	r.disk = r.port.Disks()[1]
	return r
}

// run makes the events happen while writers work, lets everything heal, and looks at all blocks at the end.
func (r *trial) run(events []event) (tally, error) {
	stop := make(chan struct{})
	var writers, faults sync.WaitGroup
	var all []*writer
	for i := range 4 {
		w := newWriter(r, i)
		all = append(all, w)
		writers.Go(func() { w.work(stop) })
	}
	start := time.Now()
	for i, e := range events {
		time.Sleep(time.Until(start.Add(e.at)))
		faults.Go(func() { r.happen(e, uint64(i)) })
	}
	faults.Wait()
	time.Sleep(time.Second)
	close(stop)
	r.fail(r.heal())
	writers.Wait()
	for _, w := range all {
		w.final()
	}
	info := r.port.Info()
	if info.Stats.Outstanding != 0 || info.Stats.Waiting != 0 {
		r.fail(fmt.Errorf("something is left over: %+v", info.Stats))
	}
	r.tally.reconnects, r.tally.losses, r.tally.aborts = info.Stats.Reconnects, info.Stats.Losses, info.Stats.Aborts
	return r.tally, errors.Join(r.errs...)
}

func (r *trial) fail(err error) {
	if err == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errs = append(r.errs, err)
}

// happen makes an event happen and ends it.
func (r *trial) happen(e event, n uint64) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var undo []func()
	inject := func(f soft.Fault) {
		f.Seed = r.seed<<8 + n
		undo = append(undo, r.host.Inject(f).Remove)
	}
	switch e.kind {
	case faultCut:
		r.hub.SetDown(targetAddr, true)
		undo = append(undo, func() { r.hub.SetDown(targetAddr, false) })
	case faultMute:
		inject(soft.Fault{Stage: soft.Sealed, Drop: true})
	case faultDeaf:
		inject(soft.Fault{Stage: soft.Arrived, Drop: true})
	case faultLose:
		inject(soft.Fault{Stage: soft.Sealed, Drop: true, Chance: 0.2})
		inject(soft.Fault{Stage: soft.Arrived, Drop: true, Chance: 0.2})
	case faultDelay:
		inject(soft.Fault{Stage: soft.Arrived, Delay: 250 * time.Millisecond, Chance: 0.3})
		inject(soft.Fault{Stage: soft.Arrived, Delay: 35 * time.Millisecond, Chance: 0.5})
	case faultDisable:
		r.target.Enable(false)
		undo = append(undo, func() { r.target.Enable(true) })
	case faultLogout, faultCredits:
		for _, n := range r.target.Nexuses() {
			for _, c := range n.Channels()[:1] {
				if e.kind == faultLogout {
					c.Logout(srp.LogoutNoReason)
				} else if c.GiveCredits(-2) == nil {
					undo = append(undo, func() { _ = c.GiveCredits(2) }) // of a channel that has ended nobody needs any
				}
			}
		}
	case faultReconnect:
		_ = r.port.ReconnectNow() // a running port refuses
	case faultTimers:
		r.fail(r.port.SetTimers(scheduleTimers(rand.New(rand.NewPCG(r.seed, n)))))
	case faultReset:
		_ = r.disk.Reset(ctx) // may fail like any command
	case faultScan:
		_ = r.port.Scan(ctx)
	}
	time.Sleep(e.length)
	for _, f := range undo {
		f()
	}
}

// heal waits until the port runs, within the bound that the timers promise.
func (r *trial) heal() error {
	timers := r.port.Info().Timers
	limit := timers.Detect(2, 12) + timers.Probe + timers.ReconnectBound(1, 100*time.Millisecond, 2*time.Second)
	for start := time.Now(); r.port.State() != srp.PortRunning; time.Sleep(10 * time.Millisecond) {
		if time.Since(start) > limit {
			return fmt.Errorf("not healed after %s: the port is %s, %w", limit, r.port.State(), r.port.Info().Cause)
		}
	}
	return nil
}

// slowDisk takes a random time for each write and executes it at the end of that, as a disk does that has a queue.
type slowDisk struct {
	backend.Backend
	lose, late, halve bool // promises that it breaks

	mu  sync.Mutex // guards rnd
	rnd *rand.Rand
}

func (d *slowDisk) Properties() backend.Properties {
	p := d.Backend.Properties()
	p.Immediate = false
	return p
}

func (d *slowDisk) draw(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rnd.IntN(n)
}

func (d *slowDisk) ReadAt(p []byte, offset int64) error {
	time.Sleep(time.Duration(d.draw(5)) * time.Millisecond)
	return d.Backend.ReadAt(p, offset)
}

func (d *slowDisk) WriteAt(p []byte, offset int64, fua bool) error {
	takes := time.Duration(d.draw(20)) * time.Millisecond
	if d.draw(10) == 0 {
		takes = time.Duration(d.draw(800)) * time.Millisecond
	}
	broken := d.draw(20) == 0
	if d.late && broken {
		q := bytes.Clone(p)
		time.AfterFunc(200*time.Millisecond, func() { _ = d.Backend.WriteAt(q, offset, fua) })
		return nil
	}
	time.Sleep(takes)
	switch {
	case d.lose && broken:
		return nil
	case d.halve && broken:
		p = p[:len(p)/2]
	}
	return d.Backend.WriteAt(p, offset, fua)
}

// writer has blocks of its own, of which it knows what may be in them.
type writer struct {
	trial *trial
	rnd   *rand.Rand
	first int64
	next  uint64
	may   [8][]uint64 // stamps that a block may have
}

const writerBlock = 8192

func newWriter(r *trial, i int) *writer {
	w := &writer{trial: r, rnd: rand.New(rand.NewPCG(r.seed, uint64(100+i))), first: int64(i) * 8 * writerBlock, next: uint64(i) << 32}
	for k := range w.may {
		w.may[k] = []uint64{0}
	}
	return w
}

func (w *writer) work(stop chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-time.After(time.Duration(1+w.rnd.IntN(60)) * time.Millisecond):
		}
		k := w.rnd.IntN(len(w.may))
		ctx, cancel := context.Background(), func() {}
		if w.rnd.IntN(4) == 0 {
			ctx, cancel = context.WithTimeout(ctx, time.Duration(w.rnd.IntN(100))*time.Millisecond)
		}
		if w.rnd.IntN(2) == 0 {
			w.write(ctx, k)
		} else {
			w.read(ctx, k)
		}
		cancel()
	}
}

func (w *writer) write(ctx context.Context, k int) {
	w.next++
	_, err := w.trial.disk.WriteAtContext(ctx, stamped(w.next), w.first+int64(k)*writerBlock, w.rnd.IntN(4) == 0)
	w.count(err, &w.trial.tally.writes)
	if err == nil {
		w.may[k] = w.may[k][:0]
	}
	w.may[k] = append(w.may[k], w.next)
}

func (w *writer) read(ctx context.Context, k int) {
	p := make([]byte, writerBlock)
	_, err := w.trial.disk.ReadAtContext(ctx, p, w.first+int64(k)*writerBlock)
	w.count(err, &w.trial.tally.reads)
	if err != nil {
		return
	}
	stamp := binary.BigEndian.Uint64(p)
	if !slices.Contains(w.may[k], stamp) || !bytes.Equal(p, stamped(stamp)) {
		w.trial.fail(fmt.Errorf("block %d at %s holds stamp %#x (whole: %v), it may hold %#x", k, w.trial.since(), stamp, bytes.Equal(p, stamped(stamp)), w.may[k]))
	}
	w.may[k] = []uint64{stamp}
}

func (r *trial) since() string { return time.Now().Format("05.000") }

func (w *writer) count(err error, well *int) {
	r := w.trial
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err == nil:
		*well++
	case errors.Is(err, context.DeadlineExceeded):
		r.tally.givenUp++
	case errors.Is(err, srp.ErrFailFast):
		r.tally.failedFast++
	case errors.Is(err, srp.ErrOffline) || errors.Is(err, srp.ErrReset):
		r.tally.failed++
	default:
		var sense *srp.CommandError
		if errors.As(err, &sense) && sense.Sense.Key == scsi.AbortedCommand {
			r.tally.failed++
			return
		}
		r.errs = append(r.errs, err)
	}
}

// final reads all blocks, twice: nothing may change any more.
func (w *writer) final() {
	for range 2 {
		for k := range w.may {
			w.read(context.Background(), k)
		}
		time.Sleep(time.Second)
	}
}

// stamped is a block full of a stamp; zero is what a new disk holds.
func stamped(stamp uint64) []byte {
	b := make([]byte, writerBlock)
	if stamp == 0 {
		return b
	}
	for i := 0; i < len(b); i += 8 {
		binary.BigEndian.PutUint64(b[i:], stamp)
	}
	return b
}
