// SPDX-License-Identifier: Apache-2.0

package soft_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/rdma/soft"
)

var (
	schedules = flag.Int("schedules", 100, "number of random fault schedules to run")
	schedule  = flag.Uint64("schedule", 0, "run this one schedule alone")
)

// TestFaultSchedules sends messages of all kinds in both directions while packets are lost, doubled, delayed and overtaken
// at random: each message arrives once, in order and whole.
func TestFaultSchedules(t *testing.T) {
	first, last := uint64(1), uint64(*schedules)
	if *schedule != 0 {
		first, last = *schedule, *schedule
	}
	for seed := first; seed <= last; seed++ {
		t.Run(fmt.Sprint("schedule ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { runSchedule(t, seed) })
			if t.Failed() {
				t.Logf("run it again with: go test ./reference/rdma/soft -run TestFaultSchedules -schedule %d", seed)
			}
		})
	}
}

func runSchedule(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 1))
	cfg := soft.Config{PathMTU: 256 << rnd.IntN(5), Seed: seed, Rules: soft.Rules{UnlimitedSevenRetries: true}}
	if rnd.IntN(2) == 0 {
		cfg.AckDelay, cfg.AckEvery = time.Millisecond, 1+rnd.IntN(8)
	}
	if rnd.IntN(2) == 0 {
		cfg.Window = 1 + rnd.IntN(128)
	}
	p := connected(t, cfg, cfg)
	for i, d := range []*soft.Device{p.a, p.b} {
		injectRandom(d, rnd, seed*2+uint64(i))
	}
	const messages = 60
	errs := make(chan error, 2)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	talkers := []*talker{newTalker(p.client, p.memA, p.memB, seed), newTalker(p.server, p.memB, p.memA, seed+1000)}
	for _, k := range talkers {
		go func() { errs <- k.run(ctx, messages) }()
	}
	for range 2 {
		if err := <-errs; err != nil {
			t.Error(err)
			cancel()
		}
	}
}

// injectRandom puts up to four random faults on a device.
func injectRandom(d *soft.Device, rnd *rand.Rand, seed uint64) {
	stages := []soft.Stage{soft.Made, soft.Sealed, soft.Arrived, soft.Checked}
	kinds := []soft.Fault{
		{Name: "loss", Drop: true},
		{Name: "duplication", Copies: 1},
		{Name: "delay", Delay: time.Duration(1+rnd.IntN(8000)) * time.Microsecond},
		{Name: "reordering", Behind: 1 + rnd.IntN(5)},
		{Name: "corruption", Stage: soft.Sealed, Change: flipBit(rand.New(rand.NewPCG(seed, 7)))},
	}
	for _, f := range kinds {
		if rnd.IntN(3) == 0 {
			continue
		}
		if f.Change == nil {
			f.Stage = stages[rnd.IntN(len(stages))]
		}
		f.Chance, f.Seed = rnd.Float64()*0.08, seed
		d.Inject(f)
	}
}

// flipBit flips a random bit of what the ICRC covers.
func flipBit(rnd *rand.Rand) func(*soft.Packet) {
	return func(p *soft.Packet) {
		b := p.Payload()
		at := rnd.IntN(len(b))
		if at == 4 {
			at = 5 // byte 4 is not covered
		}
		b[at] ^= 1 << rnd.IntN(8)
	}
}

// talker sends numbered messages on a connection and checks those that come. Memory: the first quarter is what READs of
// the peer find, never changed; the second is the source of what is sent; the third takes what is received and read; the
// last is where the peer's WRITEs go.
type talker struct {
	c         rdma.Conn
	mem, peer rdma.Region
	rnd       *rand.Rand
	sent, got int
	open      int            // work posted and not completed
	sizes     map[uint64]int // of READs in flight
}

const (
	quarter    = testMemory / 4
	talkRecvs  = 32
	talkRecv   = 4096
	maxTalking = 8
)

func newTalker(c rdma.Conn, mem, peer rdma.Region, seed uint64) *talker {
	copy(mem.Bytes()[:quarter], fixed)
	return &talker{c: c, mem: mem, peer: peer, rnd: rand.New(rand.NewPCG(seed, 2)), sizes: make(map[uint64]int)}
}

// message is the content of message i, which both sides know.
func message(i int) []byte {
	rnd := rand.New(rand.NewPCG(uint64(i), 99))
	b := make([]byte, 1+rnd.IntN(talkRecv))
	pattern(b, i)
	return b
}

func isWrite(i int) bool { return i%3 == 0 }

// fixed is the content of the first quarter.
var fixed = func() []byte {
	b := make([]byte, quarter)
	pattern(b, 5)
	return b
}()

func (k *talker) run(ctx context.Context, messages int) error {
	done := make([]rdma.Completion, 16)
	for k.sent < messages || k.got < messages || k.open > 0 {
		for k.sent < messages && k.open < maxTalking {
			if err := k.say(); err != nil {
				return err
			}
		}
		n, err := k.c.Poll(ctx, done)
		if err != nil {
			return fmt.Errorf("sent %d, received %d: %w", k.sent, k.got, err)
		}
		for _, d := range done[:n] {
			if err := k.handle(d); err != nil {
				return err
			}
		}
	}
	return nil
}

// say sends message k.sent, and now and then a READ before it.
func (k *talker) say() error {
	i := k.sent
	text := message(i)
	slot := i % maxTalking
	at := quarter + slot*talkRecv
	copy(k.mem.Bytes()[at:], text)
	wr := rdma.SendWR{ID: uint64(i), Op: rdma.OpSendImm, Local: part(k.mem, at, len(text)), Imm: uint32(i), Signaled: true}
	if isWrite(i) {
		wr.Op, wr.RemoteAddr, wr.RemoteKey = rdma.OpWriteImm, k.peer.Addr()+uint64(3*quarter+i*talkRecv), k.peer.Key()
	}
	work := []rdma.SendWR{wr}
	if k.rnd.IntN(4) == 0 {
		work = append([]rdma.SendWR{k.read(slot)}, work...)
	}
	if err := k.c.PostSend(work...); err != nil {
		return err
	}
	k.sent++
	k.open += len(work)
	return nil
}

const readID = 1 << 32

// read makes a READ of the peer's first quarter.
func (k *talker) read(slot int) rdma.SendWR {
	const room = quarter / 2 / maxTalking
	size := 1 + k.rnd.IntN(room)
	from := k.rnd.IntN(quarter - size)
	k.sizes[readID|uint64(slot)] = from
	return rdma.SendWR{
		ID: readID | uint64(slot), Op: rdma.OpRead, Local: part(k.mem, 2*quarter+quarter/2+slot*room, size),
		RemoteAddr: k.peer.Addr() + uint64(from), RemoteKey: k.peer.Key(), Signaled: true,
	}
}

func (k *talker) handle(d rdma.Completion) error {
	if err := d.Err(); err != nil {
		return err
	}
	if !d.Recv {
		k.open--
		if d.Op == rdma.OpRead {
			return k.checkRead(d)
		}
		return nil
	}
	i := k.got
	k.got++
	want, at := message(i), testMemory/2+int(d.ID)*recvSize
	if isWrite(i) {
		at = 3*quarter + i*talkRecv
	}
	switch got := k.mem.Bytes()[at : at+d.Length]; {
	case d.Imm != uint32(i):
		return fmt.Errorf("message %d came where %d is due", d.Imm, i)
	case isWrite(i) != (d.Op == rdma.OpWriteImm):
		return fmt.Errorf("message %d came as %s", i, d.Op)
	case !bytes.Equal(got, want):
		return fmt.Errorf("message %d is not as sent", i)
	}
	return k.c.PostRecv(recvAt(k.mem, int(d.ID)))
}

func (k *talker) checkRead(d rdma.Completion) error {
	const room = quarter / 2 / maxTalking
	at := 2*quarter + quarter/2 + int(d.ID&^readID)*room
	from := k.sizes[d.ID]
	if !bytes.Equal(k.mem.Bytes()[at:at+d.Length], fixed[from:from+d.Length]) {
		return errors.New("a READ brought something else")
	}
	return nil
}
