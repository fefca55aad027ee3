// SPDX-License-Identifier: Apache-2.0

package srp_test

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/scsi"
	"github.com/ibnbd/ibnbd/reference/srp"
)

// puppet is a target that answers as a test says. By itself it is a conforming one, with the units of the lab, as far as data-in has one
// descriptor and data-out is immediate.
type puppet struct {
	l        *lab
	listener rdma.Listener
	nexus    *scsi.Nexus
	running  sync.WaitGroup

	mu       sync.Mutex                                                          // guards the rest
	login    func(n int, req *srp.LoginReqCM, rsp *srp.LoginRsp) (reject []byte) // may change the answer to login number n, or reject it
	respond  func(c *puppetChannel, cmd *srp.Cmd, rsp *srp.Rsp) bool             // deals with a response; false: it is sent
	manage   func(c *puppetChannel, m *srp.TskMgmt) bool
	logins   int
	channels []*puppetChannel
	got      [][]byte // units that are neither commands nor task management
}

type puppetChannel struct {
	puppet *puppet
	conn   rdma.Conn
	recvs  rdma.Region
	sends  rdma.Region
	data   rdma.Region
	next   int

	mu       sync.Mutex // guards the memory that tests send from
	released bool
}

const (
	puppetUnit  = 9000
	puppetSlots = 64
	puppetSends = 256 // units that may be on their way
	puppetData  = 64 << 10
)

// perform starts a puppet.
func (l *lab) perform() *puppet {
	l.t.Helper()
	p := &puppet{l: l, nexus: scsi.NewNexus(l.luns, scsi.PowerOnOrReset)}
	var err error
	if p.listener, err = l.host.Listen(srp.DefaultTargetPort); err != nil {
		l.t.Fatal(err)
	}
	p.running.Go(p.accept)
	l.t.Cleanup(func() {
		p.listener.Close()
		for _, c := range p.all() {
			c.conn.Close()
		}
		p.running.Wait()
		p.nexus.Close()
	})
	return p
}

func (p *puppet) all() []*puppetChannel {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.channels)
}

// script changes what the puppet does from now on.
func (p *puppet) script(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

// last is the channel of the last login.
func (p *puppet) last() *puppetChannel {
	all := p.all()
	return all[len(all)-1]
}

// units are those that were received, and are neither commands nor task management.
func (p *puppet) units() [][]byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.got)
}

func (p *puppet) accept() {
	for {
		request, err := p.listener.Next(context.Background())
		if err != nil {
			return
		}
		req, err := srp.ParseLoginReqCM(request.PrivateData())
		if err != nil {
			p.l.t.Error(err)
		}
		rsp := srp.LoginRsp{
			Type: srp.TypeLoginRsp, RequestLimitDelta: 8, Tag: req.Tag, MaxInitiatorIULength: puppetUnit, MaxTargetIULength: 256,
			SupportedFormats: srp.FormatsDirect | srp.FormatsIndirect, Flags: srp.LoginImmediate,
		}
		p.mu.Lock()
		login, n := p.login, p.logins
		p.logins++
		p.mu.Unlock()
		if login != nil {
			if reject := login(n, &req, &rsp); reject != nil {
				_ = request.Reject(reject) // an initiator that has gone needs none
				continue
			}
		}
		p.open(request, rsp)
	}
}

func (p *puppet) open(request rdma.Request, rsp srp.LoginRsp) {
	c := &puppetChannel{puppet: p}
	for _, m := range []struct {
		region *rdma.Region
		size   int
		access rdma.Access
	}{{&c.recvs, puppetSlots * puppetUnit, rdma.LocalWrite}, {&c.sends, puppetSends * puppetUnit, 0}, {&c.data, puppetSlots * puppetData, rdma.LocalWrite}} {
		var err error
		if *m.region, err = p.l.host.Register(m.size, m.access); err != nil {
			p.l.t.Error(err)
			return
		}
	}
	var recvs []rdma.RecvWR
	for i := range puppetSlots {
		recvs = append(recvs, c.receive(i))
	}
	data, _ := rsp.AppendBinary(nil)
	conn, err := request.Accept(context.Background(), rdma.ConnConfig{SendQueue: 1024, RecvQueue: puppetSlots, RetryCount: 7, RNRRetryCount: 7, InitiatorDepth: 4}, data, recvs...)
	if err != nil {
		c.release()
		return
	}
	c.conn = conn
	p.mu.Lock()
	p.channels = append(p.channels, c)
	p.mu.Unlock()
	p.running.Go(c.serve)
}

func (c *puppetChannel) receive(i int) rdma.RecvWR {
	return rdma.RecvWR{ID: uint64(i), Local: []rdma.SGE{{Region: c.recvs, Offset: i * puppetUnit, Length: puppetUnit}}}
}

func (c *puppetChannel) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.released = true
	for _, r := range []rdma.Region{c.recvs, c.sends, c.data} {
		if err := r.Close(); err != nil {
			c.puppet.l.t.Error(err)
		}
	}
}

// serve deals with units until the connection ends.
func (c *puppetChannel) serve() {
	defer c.release()
	defer c.conn.Close()
	var done [16]rdma.Completion
	for {
		n, err := c.conn.Poll(context.Background(), done[:])
		for _, d := range done[:n] {
			if d.Recv && d.Status == rdma.StatusSuccess {
				at := int(d.ID) * puppetUnit
				unit := slices.Clone(c.recvs.Bytes()[at : at+d.Length])
				_ = c.conn.PostRecv(c.receive(int(d.ID))) // fails only if the connection is lost, which Poll tells
				c.take(unit)
			}
		}
		if err != nil {
			return
		}
	}
}

func (c *puppetChannel) take(unit []byte) {
	p := c.puppet
	switch unit[0] {
	case srp.TypeCmd:
		c.command(unit)
	case srp.TypeTskMgmt:
		m, err := srp.ParseTskMgmt(unit)
		if err != nil {
			p.l.t.Error(err)
		}
		p.mu.Lock()
		manage := p.manage
		p.mu.Unlock()
		if manage != nil && manage(c, &m) {
			return
		}
		rsp := srp.Rsp{Type: srp.TypeRsp, RequestLimitDelta: 1, Tag: m.Tag}
		rsp.SetResponseCode(srp.ResponseOK)
		c.rsp(&rsp)
	default:
		p.mu.Lock()
		p.got = append(p.got, unit)
		p.mu.Unlock()
	}
}

// command carries a command out.
func (c *puppetChannel) command(unit []byte) {
	p := c.puppet
	cmd, err := srp.ParseCmd(unit)
	if err != nil {
		p.l.t.Error(err)
		return
	}
	out, err := cmd.DataOut(68)
	if err != nil || out.Format != srp.NoData && out.Format != srp.Immediate {
		p.l.t.Errorf("data-out of format %d: %v", out.Format, err)
	}
	in, err := cmd.DataIn()
	if err != nil || in.Format > srp.Direct {
		p.l.t.Errorf("data-in of format %d: %v", in.Format, err)
	}
	o := execute(p.nexus, cmd.LUN, cmd.CDB[:], out.Data)
	rsp := srp.Rsp{Type: srp.TypeRsp, RequestLimitDelta: 1, Tag: cmd.Tag, Status: uint8(o.Status)}
	if in.Format == srp.Direct {
		rsp.SetResidualIn(uint32(len(o.in)), in.Length)
		c.place(in.Memory, o.in)
	}
	if o.Status == scsi.CheckCondition {
		rsp.SetSense(rsp.Status, o.Sense.AppendFixed(nil))
	}
	p.mu.Lock()
	respond := p.respond
	p.mu.Unlock()
	if respond == nil || !respond(c, &cmd, &rsp) {
		c.rsp(&rsp)
	}
}

// done is how a command ended, with its data-in.
type done struct {
	scsi.Result
	in []byte
}

func execute(n *scsi.Nexus, lun scsi.LUN, cdb, out []byte) (o done) {
	var task scsi.Task
	n.Prepare(&task, lun, cdb)
	data := make([]byte, task.Length)
	if task.Direction == scsi.DataOut {
		data = data[:copy(data, out)]
	}
	task.Run = func() { o.Result = task.Execute(data) }
	task.Submit(scsi.Simple)
	task.Ready()
	task.End()
	if task.Direction == scsi.DataIn {
		o.in = data[:o.N]
	}
	return o
}

// place writes to the initiator's memory.
func (c *puppetChannel) place(d srp.MemoryDescriptor, data []byte) {
	data = data[:min(len(data), int(d.Length), puppetData)]
	if len(data) == 0 {
		return
	}
	at := c.next % puppetSlots * puppetData
	copy(c.data.Bytes()[at:], data)
	c.post(rdma.SendWR{Op: rdma.OpWrite, RemoteAddr: d.Address, RemoteKey: d.RKey, Local: []rdma.SGE{{Region: c.data, Offset: at, Length: len(data)}}, Signaled: true})
}

func (c *puppetChannel) rsp(m *srp.Rsp) {
	b, _ := m.AppendBinary(nil)
	c.send(b)
}

// send sends any unit, unless the channel has ended.
func (c *puppetChannel) send(unit []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.released {
		return
	}
	at := c.next % puppetSends * puppetUnit
	n := copy(c.sends.Bytes()[at:at+puppetUnit], unit)
	c.next++
	var local []rdma.SGE
	if n > 0 {
		local = []rdma.SGE{{Region: c.sends, Offset: at, Length: n}}
	}
	c.post(rdma.SendWR{Op: rdma.OpSend, Local: local, Signaled: true})
}

func (c *puppetChannel) post(w rdma.SendWR) {
	if err := c.conn.PostSend(w); errors.Is(err, rdma.ErrQueueFull) {
		c.puppet.l.t.Error(err)
	}
}
