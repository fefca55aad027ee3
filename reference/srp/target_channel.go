// SPDX-License-Identifier: Apache-2.0

package srp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/scsi"
)

// TargetChannel is one connection of a nexus. One goroutine, serve, polls it; requests also go on in workers, and in the
// goroutines of other channels when task management ends something.
type TargetChannel struct {
	nexus           *TargetNexus
	scsi            *scsi.Nexus
	conn            rdma.Conn
	log             *slog.Logger
	immediateOffset uint16 // 0: not granted

	receives []rdma.RecvWR
	received rdma.Region // a unit for each receive
	answers  rdma.Region // a response for each request, and one for requests of the target
	data     rdma.Region

	gone    chan struct{} // closed when nothing of the channel is left
	parting struct {      // the disconnect
		once    sync.Once
		running sync.WaitGroup
		ctx     context.Context // ends when the initiator's answer is not waited for any more
		cancel  context.CancelFunc
		timer   *time.Timer // until this side disconnects; guarded by mu
	}
	inUse   sync.WaitGroup
	heard   atomic.Bool // something has completed since the last look
	probing atomic.Bool

	mu       sync.Mutex // guards the rest
	cause    error      // why the channel ends; nothing is posted any more
	closed   bool       // close has begun
	requests []targetRequest
	free     []*targetRequest
	backlog  []arrival        // units that found no free request
	starved  []*targetRequest // wait for data memory, in order
	pages    *pages
	held     []chain // not posted yet, because the send queue is full
	owed     int32   // credits of requests that ended without a response
	granted  int     // credits that the initiator has, or whose requests are being carried out
	asked    bool    // a request of the target is not answered
	askedTag Tag
	asks     uint64
	ask      rdma.SendWR
	draining bool
	idle     chan struct{} // closed when draining, and no request is left
	stats    ChannelStats
}

// ChannelStats count what a channel has done.
type ChannelStats struct {
	Commands    uint64 `json:"commands"`       // that were answered
	DataIn      uint64 `json:"data_in_bytes"`  // written to the initiator
	DataOut     uint64 `json:"data_out_bytes"` // read from it
	Outstanding int    `json:"outstanding"`    // commands and task management
}

// Stats are the counts so far.
func (c *TargetChannel) Stats() ChannelStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.Outstanding = len(c.requests) - len(c.free)
	return s
}

// arrival is a unit in a receive.
type arrival struct{ receive, length int }

// chain is work that is posted as a whole.
type chain []rdma.SendWR

const (
	targetSendQueue = 1024
	chainMost       = 64 // work requests in one chain
	readDepth       = 4  // RDMA READs at a time, as mainline has it (Clause SRP-DATA-003)
	targetPollBatch = 64
)

// What has completed, in the upper half of the id of a work request; the number of the receive or request is in the lower one.
const (
	workReceive uint64 = iota << 32
	workInner          // neither the last of a chain nor a matter for anybody
	workTable          // the read of a partial list
	workRead           // the last read of a chain of data-out
	workAnswer         // a response
	workAsk            // a request of the target
	workLogout
	workProbe
)

func (c *TargetChannel) slots() int {
	return c.nexus.target.cfg.RequestLimit + c.nexus.target.cfg.SpareCredits + reserve
}

// newTargetChannel takes the memory of a channel. With an error it returns what it has got so far.
func newTargetChannel(n *TargetNexus, dev rdma.Device, login *LoginReqCM) (*TargetChannel, error) {
	cfg := &n.target.cfg
	c := &TargetChannel{nexus: n, scsi: n.scsi, gone: make(chan struct{}), idle: make(chan struct{}), pages: newPages(cfg.ChannelMemory), granted: cfg.RequestLimit}
	c.log = cfg.Log.With("initiator", n.initiator)
	c.parting.ctx, c.parting.cancel = context.WithCancel(context.Background())
	if off := login.ImmediateOffset; cfg.Rules.AnyImmediateOffset || login.Flags&LoginImmediate != 0 && !cfg.NoImmediate && off >= MinImmediateOffset && int(off) < cfg.MaxIULength {
		c.immediateOffset = max(off, 1) // Clause SRP-LOGIN-031
	}
	// A request is free again when its response is acknowledged. By then the initiator may have sent the next one.
	c.requests = make([]targetRequest, 2*c.slots())
	for i := range c.requests {
		r := &c.requests[i]
		r.channel, r.number, r.task.Run = c, i, r.run
		r.execution = r.execute
		c.free = append(c.free, r)
	}
	for _, m := range []struct {
		region *rdma.Region
		size   int
		access rdma.Access
	}{
		{&c.received, c.slots() * cfg.MaxIULength, rdma.LocalWrite},
		{&c.answers, (len(c.requests) + 1) * targetIULength, 0},
		{&c.data, cfg.ChannelMemory, rdma.LocalWrite},
	} {
		var err error
		if *m.region, err = dev.Register(m.size, m.access); err != nil {
			return c, fmt.Errorf("memory of a channel: %w", err)
		}
	}
	c.makeReceives()
	for i := range c.requests {
		c.requests[i].answer = c.sending(i, workAnswer)
	}
	c.ask = c.sending(len(c.requests), workAsk)
	return c, nil
}

func (c *TargetChannel) connConfig() rdma.ConnConfig {
	return rdma.ConnConfig{
		SendQueue: targetSendQueue, RecvQueue: c.slots(), InitiatorDepth: readDepth, ResponderResources: readDepth,
		RetryCount: 7, RNRRetryCount: 7,
	}
}

// makeReceives makes the receives, which are posted when the login is accepted.
func (c *TargetChannel) makeReceives() {
	size := c.nexus.target.cfg.MaxIULength
	for i := range c.slots() {
		local := []rdma.SGE{{Region: c.received, Offset: i * size, Length: size}}
		c.receives = append(c.receives, rdma.RecvWR{ID: workReceive | uint64(i), Local: local})
	}
}

func (c *TargetChannel) unit(a arrival) []byte {
	at := a.receive * c.nexus.target.cfg.MaxIULength
	if c.nexus.target.cfg.Rules.ReadBehindUnit {
		return c.received.Bytes()[at : at+c.nexus.target.cfg.MaxIULength]
	}
	return c.received.Bytes()[at : at+a.length]
}

func (c *TargetChannel) response(login *LoginReqCM, result uint8) LoginRsp {
	r := LoginRsp{
		Type: TypeLoginRsp, RequestLimitDelta: int32(c.nexus.target.cfg.RequestLimit), Tag: login.Tag,
		MaxInitiatorIULength: uint32(c.nexus.target.cfg.MaxIULength), MaxTargetIULength: targetIULength,
		SupportedFormats: FormatsDirect | FormatsIndirect, Flags: result,
	}
	if c.immediateOffset != 0 {
		r.Flags |= LoginImmediate
	}
	return r
}

// RemoteAddr is where the initiator is.
func (c *TargetChannel) RemoteAddr() netip.AddrPort { return c.conn.RemoteAddr() }

// serve lives as long as the channel; err is why it cannot begin.
func (c *TargetChannel) serve(err error) {
	if err == nil {
		stop := c.probe()
		err = c.poll()
		stop()
	}
	c.fail(err)
	c.close()
}

// confirmed waits for the initiator to confirm. Units that have come before that stay in the completion queue (Clause
// SRP-LOGIN-029).
func (c *TargetChannel) confirmed() error {
	limit := c.nexus.target.cfg.HalfOpen
	if c.nexus.target.cfg.Rules.NoHalfOpenLimit {
		limit = math.MaxInt64
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-c.conn.Established():
		return nil
	case <-c.conn.Lost():
		return c.conn.Err()
	case <-timer.C:
		return errHalfOpen // Clause SRP-TGT-003
	}
}

func (c *TargetChannel) poll() error {
	var done [targetPollBatch]rdma.Completion
	for {
		n, err := c.conn.Poll(context.Background(), done[:])
		if n > 0 {
			c.heard.Store(true)
		}
		for i := range done[:n] {
			c.complete(&done[i])
		}
		if n > 0 {
			c.postHeld()
			c.catchUp()
		}
		if err != nil {
			return err
		}
	}
}

// fail ends the channel; serve takes it apart.
func (c *TargetChannel) fail(cause error) {
	c.end(cause)
	c.disconnect()
	if t := c.nexus.target; t.cfg.Rules.FailTogether && errors.As(cause, new(*rdma.WorkError)) {
		t.mu.Lock()
		all := t.allChannels()
		t.mu.Unlock()
		for _, other := range all {
			other.end(cause)
			other.disconnect()
		}
	}
}

// end stops the channel from sending. The first cause counts.
func (c *TargetChannel) end(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.endLocked(cause)
}

func (c *TargetChannel) endLocked(cause error) {
	if c.cause == nil {
		c.cause = cause
		c.log.Info("channel ends", "address", c.conn.RemoteAddr(), "cause", cause)
	}
}

// disconnect closes the connection, once.
func (c *TargetChannel) disconnect() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	c.parting.once.Do(func() {
		c.parting.running.Go(func() {
			ctx, cancel := context.WithTimeout(c.parting.ctx, c.nexus.target.cfg.Drain)
			defer cancel()
			_ = c.conn.Disconnect(ctx) // an initiator that does not answer is no news
		})
	})
}

// awaitDisconnect leaves it to the initiator to close the connection, for a while.
func (c *TargetChannel) awaitDisconnect() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.parting.timer == nil && !c.closed {
		c.parting.timer = time.AfterFunc(c.nexus.target.cfg.Drain, c.disconnect)
	}
}

// close takes the channel apart: the connection goes, so that no buffer is touched any more, then all requests end, those that
// are in a backend by themselves.
func (c *TargetChannel) close() {
	c.mu.Lock()
	c.closed = true
	if c.parting.timer != nil {
		c.parting.timer.Stop()
	}
	c.mu.Unlock()
	c.parting.cancel()
	c.parting.running.Wait()
	err := c.conn.Close()
	for _, r := range c.active() {
		r.abandon()
	}
	c.inUse.Wait()
	if err := errors.Join(err, c.release()); err != nil {
		c.log.Error("channel leaves something behind", "error", err)
	}
	c.nexus.remove(c)
}

// active are the requests that have begun.
func (c *TargetChannel) active() (all []*targetRequest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held, c.starved, c.backlog = nil, nil, nil
	for i := range c.requests {
		if c.requests[i].state != requestFree {
			all = append(all, &c.requests[i])
		}
	}
	return all
}

func (c *TargetChannel) release() error {
	var errs []error
	for _, r := range []rdma.Region{c.received, c.answers, c.data} {
		if r != nil {
			errs = append(errs, r.Close())
		}
	}
	return errors.Join(errs...)
}

// post posts a chain, or holds it back until there is room. It reports whether the channel takes work at all.
func (c *TargetChannel) post(w chain) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.postLocked(w)
}

func (c *TargetChannel) postLocked(w chain) bool {
	if c.cause != nil {
		return false
	}
	if len(c.held) > 0 {
		c.held = append(c.held, w)
		return true
	}
	err := c.conn.PostSend(w...)
	if errors.Is(err, rdma.ErrQueueFull) {
		c.held = append(c.held, w)
		return true
	}
	return err == nil // a connection that is lost says why to poll
}

// postHeld posts what was held back, as far as there is room.
func (c *TargetChannel) postHeld() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.held) > 0 && c.cause == nil {
		if err := c.conn.PostSend(c.held[0]...); err != nil {
			return
		}
		c.held = c.held[1:]
	}
}

// complete deals with one completion. Of work that was flushed close takes care.
func (c *TargetChannel) complete(done *rdma.Completion) {
	if done.Status != rdma.StatusSuccess {
		if c.nexus.target.cfg.Rules.ExecuteUnread && done.ID&^math.MaxUint32 == workRead {
			c.requests[int(uint32(done.ID))].dataRead()
		}
		if done.Status != rdma.StatusFlushed {
			c.fail(done.Err()) // Clause SRP-DATA-007
		}
		return
	}
	number := int(uint32(done.ID))
	switch kind := done.ID &^ math.MaxUint32; kind {
	case workReceive:
		c.arrived(arrival{number, done.Length})
	case workTable:
		c.requests[number].tableRead()
	case workRead:
		c.requests[number].dataRead()
	case workAnswer:
		c.requests[number].end()
	case workLogout:
		c.disconnect()
	case workProbe:
		c.probing.Store(false)
	}
}

// repost gives a receive back. It is done before the response is posted, so that whoever has a credit finds a receive (Clause
// SRP-CRED-002).
func (c *TargetChannel) repost(receive int) {
	_ = c.conn.PostRecv(c.receives[receive : receive+1]...) // fails only if the connection is lost, which poll notices
}

// probe writes nothing to an initiator of which nothing was heard for the probe interval, so that one that has vanished is
// noticed (Clause SRP-LOGOUT-007).
func (c *TargetChannel) probe() (stop func()) {
	cfg := &c.nexus.target.cfg
	if cfg.Probe == 0 {
		return func() {}
	}
	quit := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		tick := time.NewTicker(cfg.Probe)
		defer tick.Stop()
		var since time.Time // of the probe that is not answered
		for {
			select {
			case <-quit:
				return
			case now := <-tick.C:
				switch {
				case c.probing.Load() && now.Sub(since) >= cfg.Vanished:
					c.fail(errVanished)
				case !c.heard.Swap(false) && !c.probing.Swap(true):
					since = now
					c.post(chain{{ID: workProbe, Op: rdma.OpWrite, Signaled: true}})
				}
			}
		}
	})
	return func() {
		close(quit)
		running.Wait()
	}
}

// GiveCredits changes the request limit of the initiator by an SRP_CRED_REQ. It fails while another request of the target is not
// answered (Clause SRP-CRED-013), and beyond what there are receives for.
func (c *TargetChannel) GiveCredits(delta int32) error {
	return c.request(delta, func(tag Tag) []byte {
		b, _ := CredReq{Type: TypeCredReq, RequestLimitDelta: delta, Tag: tag}.AppendBinary(nil)
		return b
	})
}

// Report tells the initiator of an event of a logical unit by an SRP_AER_REQ. Sense data is at most MaxSenseSize of package
// scsi.
func (c *TargetChannel) Report(lun LUN, sense []byte, delta int32) error {
	if len(sense) > targetIULength-AERReqSize {
		return fmt.Errorf("sense data of %d bytes, must be at most %d: %w", len(sense), targetIULength-AERReqSize, syscall.EINVAL)
	}
	return c.request(delta, func(tag Tag) []byte {
		m := AERReq{Type: TypeAERReq, RequestLimitDelta: delta, Tag: tag, LUN: lun, SenseLength: uint32(len(sense)), Body: sense}
		b, _ := m.AppendBinary(nil)
		return b
	})
}

// request sends a request of the target.
func (c *TargetChannel) request(delta int32, unit func(Tag) []byte) error {
	cfg := &c.nexus.target.cfg
	c.mu.Lock()
	defer c.mu.Unlock()
	after := int64(c.granted) + int64(delta)
	switch {
	case c.cause != nil: // its memory may be gone
		return fmt.Errorf("the channel has ended: %w", syscall.ENOTCONN)
	case c.asked:
		return fmt.Errorf("the initiator has not answered the request before: %w", syscall.EBUSY)
	case after < 0 || after > int64(cfg.RequestLimit+cfg.SpareCredits):
		return fmt.Errorf("request limit of %d, must be 0 to %d: %w", after, cfg.RequestLimit+cfg.SpareCredits, syscall.EINVAL)
	}
	c.asks++
	c.askedTag = TagOf(c.asks)
	c.fill(&c.ask, unit(c.askedTag), workAsk)
	if !c.postLocked(chain{c.ask}) {
		return fmt.Errorf("the channel has ended: %w", syscall.ENOTCONN)
	}
	c.asked, c.granted = true, int(after)
	return nil
}

// answered takes the answer to a request of the target.
func (c *TargetChannel) answered(tag Tag) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asked && tag == c.askedTag {
		c.asked = false
	}
}

// Logout ends the channel with an SRP_T_LOGOUT, unless a request of the target is not answered: it then ends without.
func (c *TargetChannel) Logout(reason LogoutReason) {
	b, _ := TLogout{Type: TypeTLogout, Reason: reason}.AppendBinary(nil)
	c.mu.Lock()
	posted := false
	if !c.asked && c.cause == nil {
		c.fill(&c.ask, b, workLogout)
		posted = c.postLocked(chain{c.ask})
	}
	c.endLocked(fmt.Errorf("the target has logged out: %s", reason))
	c.mu.Unlock()
	if !posted {
		c.disconnect()
		return
	}
	c.awaitDisconnect()
}

// sending makes the work that sends the answer of a number.
func (c *TargetChannel) sending(number int, kind uint64) rdma.SendWR {
	local := []rdma.SGE{{Region: c.answers, Offset: number * targetIULength}}
	return rdma.SendWR{ID: kind | uint64(number), Op: rdma.OpSend, Local: local, Signaled: true}
}

// fill copies a unit to where work sends it from.
func (c *TargetChannel) fill(w *rdma.SendWR, unit []byte, kind uint64) {
	sge := &w.Local[0]
	sge.Length = copy(c.answers.Bytes()[sge.Offset:sge.Offset+targetIULength], unit)
	w.ID = kind | w.ID&math.MaxUint32
}
