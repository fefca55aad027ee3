// SPDX-License-Identifier: Apache-2.0

package srp

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/ibnbd/ibnbd/reference/layout"
	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/scsi"
)

// initiatorChannel is one connection of a nexus. One goroutine, serve, polls it.
type initiatorChannel struct {
	nexus  *nexus
	port   *RemotePort
	number int
	conn   rdma.Conn
	served chan struct{} // closed when nothing is polled any more; nil before serve

	unitSize  int    // room for a unit that is sent, bytes
	unitLimit int    // bytes of the longest unit that the target takes
	immediate uint16 // offset of immediate data; 0: not granted
	entries   int    // of a list in a command

	received, units, answers, data rdma.Region
	receives                       []rdma.RecvWR
	answering                      []rdma.SendWR // the answer to what is in a receive

	loggedOut chan struct{} // closed when the target has taken the logout
	once      sync.Once

	// Guarded by the port's lock.

	credits        Credits
	slots          []slot
	free           []*slot
	oldest, newest *slot
	pages          *pages
	tags           uint64
	tasks          []*management // in order; the first is the one that was sent
	heard          time.Time     // something has succeeded
	probed         time.Time     // a probe was sent; zero: it has succeeded
	timer          *time.Timer
	timerAt        time.Time
}

// What has completed, in the upper half of the id of a work request; the number of the receive or slot is in the lower one.
const (
	doneReceive uint64 = iota << 32
	doneSend
	doneInvalidate
	doneAnswer // to a request of the target
	doneManage
	doneProbe
	doneLogout
)

const (
	tagShift     = 16 // below it is the number of the slot
	manageNumber = 1<<tagShift - 1
	leastReceive = 256
)

// receiveSize is the room for a unit of the target (Clause SRP-LOGIN-011): Linux's target says that its units may be as long as the
// initiator's.
func (c *PortConfig) receiveSize() int { return max(c.requestedIU(), leastReceive) }

// newInitiatorChannel takes the memory of a channel. With an error it returns what it has got so far.
func newInitiatorChannel(n *nexus, number int) (*initiatorChannel, error) {
	p := n.port
	cfg := &p.cfg
	c := &initiatorChannel{nexus: n, port: p, number: number, loggedOut: make(chan struct{}), pages: newPages(cfg.ChannelMemory)}
	c.unitSize = (cfg.requestedIU() + 63) &^ 63
	slots := cfg.Login.QueueSize
	receives := slots + 1 + targetRequests
	c.slots = make([]slot, slots)
	for _, m := range []struct {
		region *rdma.Region
		size   int
		access rdma.Access
	}{
		{&c.received, receives * cfg.receiveSize(), rdma.LocalWrite},
		{&c.units, (slots + 1) * c.unitSize, 0},
		{&c.answers, (receives + 1) * MinIUSize, 0},
		{&c.data, cfg.ChannelMemory, cfg.dataAccess()},
	} {
		var err error
		if *m.region, err = cfg.Device.Register(m.size, m.access); err != nil {
			return c, fmt.Errorf("memory of a channel: %w", err)
		}
	}
	room := cfg.receiveSize()
	if p.rules().SmallReceives {
		room = leastReceive / 2
	}
	for i := range receives {
		c.receives = append(c.receives, rdma.RecvWR{
			ID: doneReceive | uint64(i), Local: []rdma.SGE{{Region: c.received, Offset: i * cfg.receiveSize(), Length: room}},
		})
		c.answering = append(c.answering, rdma.SendWR{
			ID: doneAnswer | uint64(i), Op: rdma.OpSend, Local: []rdma.SGE{{Region: c.answers, Offset: i * MinIUSize, Length: MinIUSize}}, Signaled: true,
		})
	}
	return c, c.makeWindows()
}

func (c *PortConfig) dataAccess() rdma.Access {
	if c.Keys == GlobalKey {
		return rdma.LocalWrite | rdma.RemoteRead | rdma.RemoteWrite
	}
	return rdma.LocalWrite | rdma.WindowBind
}

// makeWindows gives the slots what they make keys with.
func (c *initiatorChannel) makeWindows() (err error) {
	for i := range c.slots {
		s := &c.slots[i]
		s.channel, s.number = c, i
		s.out.access, s.in.access = rdma.RemoteRead, rdma.RemoteWrite
		if c.port.cfg.Keys == GlobalKey {
			continue
		}
		for _, t := range []*transfer{&s.out, &s.in} {
			if t.window, err = c.port.cfg.Device.NewWindow(); err != nil {
				return fmt.Errorf("windows of a channel: %w", err)
			}
		}
	}
	return nil
}

// connConfig sizes the queues so that they never fill up.
func (c *initiatorChannel) connConfig() rdma.ConnConfig {
	l := &c.port.cfg.Login
	const perSlot = 5 // two keys made, two taken back, one SEND
	return rdma.ConnConfig{
		SendQueue: perSlot*len(c.slots) + len(c.receives) + 4, RecvQueue: len(c.receives),
		ResponderResources: readDepth, RetryCount: l.TLRetryCount, RNRRetryCount: 7, AckTimeout: c.port.cfg.AckTimeout,
	}
}

// agree takes what the target has answered to the login.
func (c *initiatorChannel) agree(m *LoginRsp) error {
	cfg := &c.port.cfg
	title := loginRspLayout.Title
	least := CmdSize + maxExtraCDB + MemoryDescriptorSize
	switch {
	case m.RequestLimitDelta < leastCredits && !c.port.rules().AnyLimit:
		return layout.Illegal(title, "request_limit_delta", 4, m.RequestLimitDelta, fmt.Sprintf("at least %d", leastCredits))
	case m.MaxInitiatorIULength < MinIULength:
		return layout.Illegal(title, "max_initiator_iu_length", 16, m.MaxInitiatorIULength, fmt.Sprintf("at least %d", MinIULength))
	case m.MaxTargetIULength > uint32(cfg.receiveSize()):
		return layout.Illegal(title, "max_target_iu_length", 20, m.MaxTargetIULength, fmt.Sprintf("at most %d, the size of receive buffers", cfg.receiveSize()))
	case m.SupportedFormats&FormatsDirect == 0:
		return layout.Illegal(title, "supported_formats", 24, m.SupportedFormats, "with direct buffers")
	}
	c.unitLimit = int(min(uint64(m.MaxInitiatorIULength), uint64(cfg.requestedIU())))
	if m.Flags&LoginImmediate != 0 && cfg.MaxImmediate > 0 {
		c.immediate = immediateOffset
	}
	room := c.unitLimit - least - (indirectHeaderSize - MemoryDescriptorSize)
	c.entries = max(0, min(cfg.Login.CmdSGEntries, room/MemoryDescriptorSize))
	if m.SupportedFormats&FormatsIndirect == 0 {
		c.entries = 0
	}
	c.credits = NewCredits(m.RequestLimitDelta) // Clause SRP-CRED-012
	usable := min(int64(len(c.slots)), int64(m.RequestLimitDelta)+mostQueue)
	for i := range usable {
		c.free = append(c.free, &c.slots[i])
	}
	return nil
}

// serve polls until the connection has ended.
func (c *initiatorChannel) serve() {
	defer close(c.served)
	var done [64]rdma.Completion
	for {
		n, err := c.conn.Poll(context.Background(), done[:])
		c.port.mu.Lock()
		if !c.nexus.ended && n > 0 {
			c.progress(done[:n])
		}
		for i := range done[:n] {
			if done[i].ID == doneLogout {
				c.once.Do(func() { close(c.loggedOut) })
			}
		}
		if err != nil && !(c.number > 0 && c.port.rules().KeepOtherChannel) {
			c.port.lose(c.nexus, err)
		}
		c.port.unlock()
		if err != nil {
			return
		}
	}
}

// progress deals with completions. It is called with the lock held.
func (c *initiatorChannel) progress(done []rdma.Completion) {
	now := time.Now()
	for i := range done {
		if d := &done[i]; d.Status == rdma.StatusSuccess {
			c.heard = now
			c.complete(d)
		} else if d.Status != rdma.StatusFlushed && !(c.number > 0 && c.port.rules().KeepOtherChannel) { // why it was flushed another completion tells, or Poll
			c.port.lose(c.nexus, d.Err())
		}
		if c.nexus.ended {
			return
		}
	}
	c.manageNext(now)
	c.port.pump()
}

func (c *initiatorChannel) complete(d *rdma.Completion) {
	number := int(uint32(d.ID))
	switch d.ID &^ math.MaxUint32 {
	case doneReceive:
		if !c.arrived(number, d.Length) {
			c.repost(number)
		}
	case doneSend, doneInvalidate:
		s := &c.slots[number]
		s.pending--
		c.freeIfDone(s)
	case doneAnswer:
		c.repost(number)
	case doneManage:
		c.tasks[0].pending = false
		c.managed()
	case doneProbe:
		c.probed = time.Time{}
		if probe := c.port.timers.Probe; probe > 0 {
			c.arm(c.heard.Add(probe))
		}
	}
}

func (c *initiatorChannel) repost(receive int) {
	if c.nexus.ended {
		return
	}
	_ = c.conn.PostRecv(c.receives[receive : receive+1]...) // fails only if the connection is lost, which Poll tells
}

// arrived deals with a unit. It reports whether an answer was posted, whose completion gives the receive back.
func (c *initiatorChannel) arrived(receive, length int) (answering bool) {
	at := receive * c.port.cfg.receiveSize()
	if c.port.rules().ReadBehindUnit {
		length = c.port.cfg.receiveSize()
	}
	unit := c.received.Bytes()[at : at+length]
	if edit := c.port.rules().EditReceived; edit != nil {
		if unit = edit(unit); unit == nil {
			return false
		}
	}
	kind, err := IUType(unit)
	if err != nil {
		c.port.strange("a unit of the target is too short", err)
		return false
	}
	switch kind {
	case TypeRsp:
		c.response(unit)
	case TypeCredReq:
		m, err := ParseCredReq(unit)
		if err != nil { // Clause SRP-CRED-010
			c.port.strange("SRP_CRED_REQ dropped", err)
			return false
		}
		c.credits.Add(m.RequestLimitDelta)
		c.port.stats.CreditRequests++
		return c.answer(receive, TypeCredRsp, m.Tag) // Clause SRP-CRED-006
	case TypeAERReq:
		m, err := ParseAERReq(unit)
		if err != nil {
			c.port.strange("SRP_AER_REQ dropped", err)
			return false
		}
		c.credits.Add(m.RequestLimitDelta)
		c.port.event(&m)
		return c.answer(receive, TypeAERRsp, m.Tag) // Clause SRP-CRED-007
	case TypeTLogout:
		if c.port.rules().IgnoreLogout {
			return false
		}
		m, _ := ParseTLogout(unit)
		c.port.lose(c.nexus, fmt.Errorf("%w: %s", errTargetLogout, m.Reason)) // Clause SRP-LOGOUT-003
	default:
		c.port.strange("a unit of the target has a type that targets do not send", fmt.Errorf("type %#02x", kind))
	}
	return false
}

var errTargetLogout = errors.New("the target has logged out")

// answer answers a request of the target. It needs no credit, and the buffer is that of the receive, so there is always one.
func (c *initiatorChannel) answer(receive int, kind uint8, tag Tag) bool {
	at := receive * MinIUSize
	appendTypeAndTag(c.answers.Bytes()[at:at:at+MinIUSize], kind, [7]byte{}, tag)
	if err := c.conn.PostSend(c.answering[receive : receive+1]...); err != nil {
		c.port.lose(c.nexus, fmt.Errorf("answer: %w", err))
	}
	return true
}

// response deals with an SRP_RSP. One whose lengths are wrong is used as far as it is right (Clause SRP-RSP-004).
func (c *initiatorChannel) response(unit []byte) {
	m, err := ParseRsp(unit)
	if errors.Is(err, layout.ErrShort) { // Clause SRP-RSP-013
		c.port.lose(c.nexus, err)
		return
	}
	if err != nil {
		c.port.strange("SRP_RSP is wrong", err)
	}
	c.addCredits(m.RequestLimitDelta) // Clause SRP-CRED-005
	if c.port.rules().AnyTag && c.oldest != nil && !c.waits(m.Tag) {
		m.Tag = c.oldest.tag
	}
	number := m.Tag.Number() & manageNumber
	if number == manageNumber && len(c.tasks) > 0 && c.tasks[0].sent && c.tasks[0].tag == m.Tag {
		c.taskAnswered(&m)
		return
	}
	if number >= uint64(len(c.slots)) || c.slots[number].command == nil || c.slots[number].tag != m.Tag {
		c.port.stats.UnknownTags++ // Clauses SRP-RSP-011, SRP-RSP-012
		c.port.strange("SRP_RSP for a tag that is not in use", fmt.Errorf("tag %s", m.Tag))
		return
	}
	s := &c.slots[number]
	cmd := c.detach(s)
	var in []byte
	if len(s.in.runs) == 1 {
		r := s.in.runs[0]
		in = c.data.Bytes()[r.offset : r.offset+r.length]
	} else if len(s.in.runs) > 1 {
		s.fetch(&s.in, cmd.In)
		in = cmd.In
	}
	c.port.answered(cmd, &m, in)
	c.retire(s)
}

// addCredits applies a request limit delta.
func (c *initiatorChannel) addCredits(delta int32) {
	if c.port.rules().WrapCredits {
		c.credits.limit += delta
		return
	}
	c.credits.Add(delta)
}

// waits tells whether a command or task management with a tag is not answered.
func (c *initiatorChannel) waits(tag Tag) bool {
	for s := c.oldest; s != nil; s = s.newer {
		if s.tag == tag {
			return true
		}
	}
	return len(c.tasks) > 0 && c.tasks[0].sent && c.tasks[0].tag == tag
}

// arm makes the timer fire not later than at. It is called with the lock held.
func (c *initiatorChannel) arm(at time.Time) {
	if !c.timerAt.IsZero() && !at.Before(c.timerAt) {
		return
	}
	c.timerAt = at
	if c.timer == nil {
		c.timer = time.AfterFunc(time.Until(at), c.onTimer)
		return
	}
	c.timer.Reset(time.Until(at))
}

// onTimer looks for what has not been answered in time, and for a channel on which nothing happens.
func (c *initiatorChannel) onTimer() {
	c.port.mu.Lock()
	defer c.port.unlock()
	if c.nexus.ended {
		return
	}
	c.timerAt = time.Time{}
	now := time.Now()
	for _, d := range c.deadlines() {
		if d.at.IsZero() {
			continue
		}
		if d.at.After(now) {
			c.arm(d.at)
			continue
		}
		d.act(c, now)
		if c.nexus.ended {
			return
		}
	}
}

type deadline struct {
	at  time.Time // zero: there is none
	act func(c *initiatorChannel, now time.Time)
}

// deadlines of a channel: the oldest command, task management, a probe or else the time for one, and commands for which the target gives
// no credit.
func (c *initiatorChannel) deadlines() [4]deadline {
	var d [4]deadline
	t := &c.port.timers
	r := c.port.rules()
	if c.oldest != nil && !r.NoCommandLimit {
		d[0] = deadline{c.oldest.sentAt.Add(t.ProbeDeadline), func(c *initiatorChannel, now time.Time) { c.overdue(now) }}
	}
	if len(c.tasks) > 0 && !r.NoTaskLimit {
		d[1] = deadline{c.tasks[0].asked.Add(c.port.cfg.TaskTimeout), func(c *initiatorChannel, _ time.Time) {
			c.port.lose(c.nexus, fmt.Errorf("%s is not answered within %s", c.tasks[0].function, c.port.cfg.TaskTimeout)) // Clause SRP-TM-007
		}}
	}
	switch {
	case !c.probed.IsZero():
		d[2] = deadline{c.probed.Add(t.ProbeDeadline), func(c *initiatorChannel, _ time.Time) {
			c.port.lose(c.nexus, fmt.Errorf("a probe is not acknowledged within %s", c.port.timers.ProbeDeadline))
		}}
	case t.Probe > 0:
		d[2] = deadline{c.heard.Add(t.Probe), (*initiatorChannel).probe}
	}
	if c.number == 0 && !c.port.starved.IsZero() {
		d[3] = deadline{c.port.starved.Add(t.ProbeDeadline), func(c *initiatorChannel, _ time.Time) {
			c.port.lose(c.nexus, fmt.Errorf("the target gives no credit for %s", c.port.timers.ProbeDeadline))
		}}
	}
	return d
}

// overdue loses the port because of a command that is not answered.
func (c *initiatorChannel) overdue(now time.Time) {
	s := c.oldest
	c.port.lose(c.nexus, fmt.Errorf("command %#02x with tag %s is not answered within %s", s.command.CDB[0], s.tag, now.Sub(s.sentAt).Round(time.Millisecond)))
}

// probe writes nothing to the target, which its device has to acknowledge; keys are not looked at (Clause SRP-TMO-014).
func (c *initiatorChannel) probe(now time.Time) {
	if c.port.rules().ProbeByCommand {
		c.heard = now
		c.arm(now.Add(c.port.timers.Probe))
		go func() { _ = c.port.Submit(&Command{CDB: scsi.TestUnitReady.New(), Done: func(*Command) {}}) }() // not with the lock
		return
	}
	c.probed = now
	c.port.stats.Probes++
	if err := c.conn.PostSend(probing...); err != nil {
		c.port.lose(c.nexus, fmt.Errorf("probe: %w", err))
		return
	}
	c.arm(now.Add(c.port.timers.ProbeDeadline))
}

var probing = []rdma.SendWR{{ID: doneProbe, Op: rdma.OpWrite, Signaled: true}}

// logout tells the target that the channel ends, and waits until it has taken that, for a while (Clause SRP-LOGOUT-001).
func (c *initiatorChannel) logout(ctx context.Context) {
	at := len(c.receives) * MinIUSize
	appendTypeAndTag(c.answers.Bytes()[at:at:at+MinIUSize], TypeILogout, [7]byte{}, Tag{})
	local := []rdma.SGE{{Region: c.answers, Offset: at, Length: MinIUSize}}
	if err := c.conn.PostSend(rdma.SendWR{ID: doneLogout, Op: rdma.OpSend, Local: local, Signaled: true}); err != nil {
		return // the connection is lost, and with it the session
	}
	select {
	case <-c.loggedOut:
	case <-c.conn.Lost():
	case <-ctx.Done():
	}
}

// close disconnects, and gives everything back when nothing is touched any more.
func (c *initiatorChannel) close() error {
	if c.timer != nil {
		c.timer.Stop()
	}
	var errs []error
	if c.conn != nil {
		ctx, cancel := context.WithTimeout(context.Background(), c.port.cfg.LogoutTime)
		_ = c.conn.Disconnect(ctx) // a target that does not answer is no news
		cancel()
		errs = append(errs, c.conn.Close())
	}
	if c.served != nil {
		<-c.served
	}
	for i := range c.slots {
		for _, t := range []*transfer{&c.slots[i].out, &c.slots[i].in} {
			if t.window != nil {
				errs = append(errs, t.window.Close())
			}
		}
	}
	for _, r := range []rdma.Region{c.received, c.units, c.answers, c.data} {
		if r != nil {
			errs = append(errs, r.Close())
		}
	}
	return errors.Join(errs...)
}
