// SPDX-License-Identifier: Apache-2.0

package ibnbd_test

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ibnbd/ibnbd/reference/backend"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/rdma/soft"
)

var (
	schedules = flag.Int("schedules", 100, "number of random fault schedules to run")
	schedule  = flag.Uint64("schedule", 0, "run this one schedule alone")
)

// TestFaultSchedules writes and reads stamped blocks while paths are cut, slowed down and closed at random, on a disk
// that takes its time, and gives some writes up: what was acknowledged, or read, is there, whole, and stays until it is
// written again.
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
		got, err := runSchedule(t, seed, events, conforming)
		total.add(got)
		if err == nil {
			continue
		}
		t.Errorf("schedule %d: %v", seed, err)
		t.Logf("run it again with: go test ./reference/ibnbd -run TestFaultSchedules -schedule %d", seed)
		for _, e := range shrink(t, seed, events) {
			t.Logf("needed: %s", e)
		}
		return
	}
	t.Logf("%d schedules: %+v", last-first+1, total)
	if *schedule == 0 && (total.failedOver == 0 || total.failed == 0 || total.givenUp == 0 || total.reconnects == 0) {
		t.Errorf("the schedules caused too little: %+v", total)
	}
}

// TestFaultSchedulesNotice turns rules off, one after the other: some schedule must notice each.
func TestFaultSchedulesNotice(t *testing.T) {
	if raceEnabled {
		t.Skip("it runs the schedules of the test before, on what is broken, and needs ten times as long")
	}
	for name, spoil := range map[string]spoiler{
		"writes overtake each other":  func(s *ibnbd.ServerConfig, _ *ibnbd.ClientConfig) { s.Rules.NoWriteOrder = true },
		"no quarantine":               func(_ *ibnbd.ServerConfig, c *ibnbd.ClientConfig) { c.Transport.Rules.NoQuarantine = true },
		"writes are answered early":   func(s *ibnbd.ServerConfig, _ *ibnbd.ClientConfig) { s.Rules.AcknowledgeTooEarly = true },
		"devices stay closed":         func(_ *ibnbd.ServerConfig, c *ibnbd.ClientConfig) { c.Rules.NoRemap = true },
		"no order of given-up writes": func(_ *ibnbd.ServerConfig, c *ibnbd.ClientConfig) { c.Rules.NoOrder = true },
		"given-up writes are sent again": func(_ *ibnbd.ServerConfig, c *ibnbd.ClientConfig) {
			c.Rules.NoOrder, c.Transport.Rules.SendGivenUp = true, true
		},
		"new keys are ignored": func(_ *ibnbd.ServerConfig, c *ibnbd.ClientConfig) { c.Transport.Rules.IgnoreNewKey = true },
	} {
		t.Run(name, func(t *testing.T) {
			for seed := uint64(1); seed <= 2000; seed++ {
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
	writes, reads, failed  int
	givenUp                int
	failedOver, reconnects uint64
}

func (t *tally) add(o tally) {
	t.writes += o.writes
	t.reads += o.reads
	t.failed += o.failed
	t.givenUp += o.givenUp
	t.failedOver += o.failedOver
	t.reconnects += o.reconnects
}

// fault is one kind of event.
type fault int

const (
	faultCut        fault = iota // both ends of the rail are off
	faultMute                    // nothing leaves the server on the rail
	faultDeaf                    // nothing reaches the server on the rail
	faultLose                    // one packet of five is lost
	faultDelay                   // packets are late, some more than others
	faultLate                    // all packets to the server are late, and the client is told to reconnect the path
	faultServer                  // the server closes the path
	faultReconnect               // the client is told to reconnect the path
	faultDisconnect              // the client closes the path, and is told to reconnect it later
	faultPolicy                  // the policy changes
	faultKinds
)

var faultNames = [...]string{"cut", "mute", "deaf", "lose", "delay", "late", "server closes", "reconnect", "disconnect", "policy"}

// event is one thing that happens.
type event struct {
	at, length time.Duration
	kind       fault
	rail       int
}

func (e event) String() string {
	return fmt.Sprintf("at %s for %s: %s on rail %d", e.at, e.length, faultNames[e.kind], e.rail)
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
			at:     time.Duration(rnd.Int64N(int64(faultTime))),
			length: time.Duration(rnd.Int64N(int64(longest))),
			kind:   fault(rnd.IntN(int(faultKinds))), rail: rnd.IntN(rails),
		}
	}
	slices.SortFunc(events, func(a, b event) int { return int(a.at - b.at) })
	return events
}

// shrink leaves events out as long as the schedule still fails.
func shrink(t *testing.T, seed uint64, events []event) []event {
	for i := 0; i < len(events); {
		fewer := slices.Delete(slices.Clone(events), i, i+1)
		if _, err := runSchedule(t, seed, fewer, conforming); err != nil {
			events, i = fewer, 0
			continue
		}
		i++
	}
	return events
}

// scheduleTimers are short, so that little fake time has to pass, but in the proportions of the real ones. A packet that
// is late is so by less than the packet lifetime.
var scheduleTimers = ibtrs.Timers{
	HeartbeatInterval: 200 * time.Millisecond, HeartbeatMisses: 3,
	Connect: 2 * time.Second, Info: 2 * time.Second, HalfOpen: 4 * time.Second, Teardown: time.Second,
	PacketLifetime: 300 * time.Millisecond, ReconnectDelay: 300 * time.Millisecond,
	ReconnectSettle: 50 * time.Millisecond, ReconnectSpread: 200 * time.Millisecond,
}

const latestPacket = 250 * time.Millisecond

func runSchedule(t *testing.T, seed uint64, events []event, spoil spoiler) (got tally, err error) {
	synctest.Test(t, func(t *testing.T) {
		got, err = newTrial(t, seed, spoil).run(events)
	})
	return got, err
}

// trial is one run of a schedule.
type trial struct {
	*lab
	client *ibnbd.Client
	server *ibnbd.Server
	device *ibnbd.Device
	seed   uint64

	mu    sync.Mutex // guards the rest
	tally tally
	errs  []error
}

// spoiler turns rules off, to see that the schedules notice.
type spoiler func(*ibnbd.ServerConfig, *ibnbd.ClientConfig)

func conforming(*ibnbd.ServerConfig, *ibnbd.ClientConfig) {}

func newTrial(t *testing.T, seed uint64, spoil spoiler) *trial {
	r := &trial{lab: newLab(t), seed: seed}
	rnd := rand.New(rand.NewPCG(seed, 2))
	scfg := r.serverConfig()
	scfg.Transport.KeyRefresh = seed%2 == 0
	scfg.Transport.Timers = scheduleTimers
	scfg.Exports = []ibnbd.Export{{Path: "ram0", Backend: &slowDisk{Backend: r.memory(deviceSize, 512), rnd: rnd}}}
	ccfg := r.clientConfig("blya", 0, 1)
	ccfg.Transport.Timers = scheduleTimers
	ccfg.Transport.AckTimeout = 13 // 34 ms
	spoil(&scfg, &ccfg)
	r.server = r.listen(scfg)
	r.client = r.connect(ccfg)
	r.device = r.mapDevice(r.client, "ram0", ibnbd.ReadWrite)
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
	writers.Wait()
	r.fail(r.heal())
	for _, w := range all {
		w.final()
	}
	for _, p := range r.client.Session().Paths() {
		s := p.Stats()
		r.tally.failedOver += s.FailedOver
		r.tally.reconnects += uint64(s.Reconnected)
	}
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
	path := r.client.Session().Paths()[e.rail]
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	server := r.servers[e.rail]
	var undo []*soft.Injection
	inject := func(f soft.Fault) {
		f.Seed = r.seed<<8 + n
		undo = append(undo, server.Inject(f))
	}
	switch e.kind {
	case faultCut:
		r.hub.SetDown(clientAddr(e.rail), true)
		defer r.hub.SetDown(clientAddr(e.rail), false)
	case faultMute:
		inject(soft.Fault{Stage: soft.Sealed, Drop: true})
	case faultDeaf:
		inject(soft.Fault{Stage: soft.Arrived, Drop: true})
	case faultLose:
		inject(soft.Fault{Stage: soft.Sealed, Drop: true, Chance: 0.2})
		inject(soft.Fault{Stage: soft.Arrived, Drop: true, Chance: 0.2})
	case faultDelay:
		inject(soft.Fault{Stage: soft.Arrived, Delay: latestPacket, Chance: 0.3})
		inject(soft.Fault{Stage: soft.Arrived, Delay: latestPacket / 7, Chance: 0.5})
	case faultLate:
		inject(soft.Fault{Stage: soft.Arrived, Delay: latestPacket})
		time.Sleep(latestPacket)
		path.Reconnect(ctx)
	case faultServer:
		for _, s := range r.server.Transport().Sessions() {
			for _, p := range s.Paths() {
				if p.Client() == clientAddr(e.rail) {
					p.Disconnect()
				}
			}
		}
	case faultReconnect:
		path.Reconnect(ctx) // may be refused, or fail
	case faultDisconnect:
		path.Disconnect(ctx)
		defer path.Reconnect(ctx)
	case faultPolicy:
		r.fail(r.client.Session().SetPolicy(ibtrs.Policy(n % 3)))
	}
	time.Sleep(e.length)
	for _, i := range undo {
		i.Remove()
	}
}

// heal waits until both paths are connected and the device is open, within the bound that the timers promise.
func (r *trial) heal() error {
	session := r.client.Session()
	limit := scheduleTimers.Reconnect(rails).Limit
	start := time.Now()
	for {
		up := r.device.State() == ibnbd.DeviceOpen
		for _, p := range session.Paths() {
			up = up && p.State() == ibtrs.StateConnected
		}
		switch {
		case up:
			return nil
		case time.Since(start) > limit:
			return fmt.Errorf("not healed after %s: paths are %s and %s, device is %s", limit, session.Paths()[0].State(), session.Paths()[1].State(), r.device.State())
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// slowDisk takes a random time for each write and executes it at the end of that, as a disk does that has a queue.
type slowDisk struct {
	backend.Backend
	mu  sync.Mutex // guards rnd, and the memory
	rnd *rand.Rand
}

func (d *slowDisk) Properties() backend.Properties {
	p := d.Backend.Properties()
	p.Immediate = false
	return p
}

func (d *slowDisk) WriteAt(p []byte, offset int64, fua bool) error {
	d.mu.Lock()
	wait := time.Duration(d.rnd.Int64N(int64(20 * time.Millisecond)))
	if d.rnd.IntN(20) == 0 {
		wait *= 50 // up to a second
	}
	d.mu.Unlock()
	time.Sleep(wait)
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.Backend.WriteAt(p, offset, fua)
}

func (d *slowDisk) ReadAt(p []byte, offset int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.Backend.ReadAt(p, offset)
}

// writer owns a few blocks, writes and reads them, and knows what must be in them.
type writer struct {
	trial  *trial
	id     uint64
	rnd    *rand.Rand
	blocks [3]block
	count  uint64
}

// block is what is known of a block: the last write that was acknowledged or read, and the later ones that failed, of which
// any may have happened. When one of them was read, all have happened that ever will.
type block struct {
	offset int64
	acked  uint64
	maybe  []uint64
}

const (
	blockSize  = 4096
	sectorSize = 512

	patient  = 5                      // of so many writes one is given up when it takes too long
	patience = 400 * time.Millisecond // at most
)

func newWriter(r *trial, id int) *writer {
	w := &writer{trial: r, id: uint64(id), rnd: rand.New(rand.NewPCG(r.seed, 10+uint64(id)))}
	for i := range w.blocks {
		w.blocks[i].offset = int64(id*len(w.blocks)+i) * blockSize
	}
	return w
}

func (w *writer) work(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-time.After(time.Duration(w.rnd.Int64N(int64(60 * time.Millisecond)))):
		}
		b := &w.blocks[w.rnd.IntN(len(w.blocks))]
		if w.rnd.IntN(3) == 0 {
			w.read(b)
		} else {
			w.writeImpatiently(b)
		}
	}
}

// writeImpatiently gives some writes up.
func (w *writer) writeImpatiently(b *block) {
	ctx := context.Background()
	if w.rnd.IntN(patient) == 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(w.rnd.Int64N(int64(patience))))
		defer cancel()
	}
	w.write(ctx, b)
}

func (w *writer) write(ctx context.Context, b *block) error {
	w.count++
	data := make([]byte, blockSize)
	for i := 0; i < blockSize; i += sectorSize {
		stamp(data[i:i+sectorSize], uint64(b.offset)+uint64(i), w.count)
	}
	_, err := w.trial.device.WriteAtContext(ctx, data, b.offset, 0)
	w.trial.mu.Lock()
	defer w.trial.mu.Unlock()
	w.trial.tally.writes++
	if errors.Is(err, context.DeadlineExceeded) {
		w.trial.tally.givenUp++
	}
	if err != nil {
		w.trial.tally.failed++
		b.maybe = append(b.maybe, w.count)
		return err
	}
	b.acked, b.maybe = w.count, nil
	return nil
}

func (w *writer) read(b *block) {
	data := make([]byte, blockSize)
	_, err := w.trial.device.ReadAt(data, b.offset)
	w.trial.mu.Lock()
	w.trial.tally.reads++
	if err != nil {
		w.trial.tally.failed++
	}
	w.trial.mu.Unlock()
	if err == nil {
		w.trial.fail(w.check(b, data))
	}
}

// check judges what was read. All sectors must be of the same write, and it must be one that can be there.
func (w *writer) check(b *block, data []byte) error {
	var first uint64
	for i := 0; i < len(data); i += sectorSize {
		n, err := unstamp(data[i:i+sectorSize], uint64(b.offset)+uint64(i))
		switch {
		case err != nil:
			return fmt.Errorf("writer %d, block at %d, sector %d: %w", w.id, b.offset, i/sectorSize, err)
		case i == 0:
			first = n
		case n != first:
			return fmt.Errorf("writer %d, block at %d is torn: write %d, then %d", w.id, b.offset, first, n)
		}
	}
	if first != b.acked && !slices.Contains(b.maybe, first) {
		return fmt.Errorf("writer %d, block at %d holds write %d, want %d or one of %v", w.id, b.offset, first, b.acked, b.maybe)
	}
	b.acked, b.maybe = first, nil
	return nil
}

// final looks at all blocks after some time, in which a late write would show, and writes and reads each once more.
func (w *writer) final() {
	time.Sleep(2 * time.Second)
	for i := range w.blocks {
		b := &w.blocks[i]
		w.read(b)
		if err := w.write(context.Background(), b); err != nil {
			w.trial.fail(fmt.Errorf("after everything has healed: %w", err))
		}
		w.read(b)
	}
}

// stamp fills a sector with who it is and which write, and a checksum.
func stamp(sector []byte, place, write uint64) {
	for i := 16; i < sectorSize-4; i++ {
		sector[i] = byte(write*13 + uint64(i))
	}
	binary.LittleEndian.PutUint64(sector, place)
	binary.LittleEndian.PutUint64(sector[8:], write)
	binary.LittleEndian.PutUint32(sector[sectorSize-4:], crc32.ChecksumIEEE(sector[:sectorSize-4]))
}

// unstamp gives the number of the write; a sector that was never written is that of write 0.
func unstamp(sector []byte, place uint64) (write uint64, err error) {
	if slices.Max(sector) == 0 {
		return 0, nil
	}
	if crc32.ChecksumIEEE(sector[:sectorSize-4]) != binary.LittleEndian.Uint32(sector[sectorSize-4:]) {
		return 0, errors.New("the checksum is wrong")
	}
	if at := binary.LittleEndian.Uint64(sector); at != place {
		return 0, fmt.Errorf("it belongs to %d", at)
	}
	return binary.LittleEndian.Uint64(sector[8:]), nil
}
