// SPDX-License-Identifier: Apache-2.0

package srp_test

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/ibnbd/ibnbd/reference/backend"
	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/rdma/soft"
	"github.com/ibnbd/ibnbd/reference/scsi"
	"github.com/ibnbd/ibnbd/reference/srp"
)

// lab is an initiator host and a target host, in this process.
type lab struct {
	t         testing.TB
	hub       *soft.Hub
	initiator *soft.Device
	host      *soft.Device // of the target
	luns      *scsi.LUNs
	disk      *gated
	target    *srp.Target
}

var (
	initiatorAddr = netip.MustParseAddr("10.0.0.1")
	targetAddr    = netip.MustParseAddr("10.0.0.2")
	targetPort    = srp.NewPortID(0x11, 0x22, srp.IOClassRev16a)
)

func initiatorPort(n uint64) srp.PortID { return srp.NewPortID(n, 0x5054, srp.IOClassRev16a) }

// newLab makes the devices, and a disk of 1 MiB under number 0. Devices are closed at the end, which fails while anything of them is
// open: nothing may leak.
func newLab(t testing.TB) *lab {
	t.Helper()
	return newLabOf(t, asIs, asIs)
}

// newLabOf makes a lab whose devices are configured otherwise.
func newLabOf(t testing.TB, initiator, host func(*soft.Config)) *lab {
	t.Helper()
	l := &lab{t: t, hub: soft.NewHub(), luns: scsi.NewLUNs()}
	l.initiator, l.host = l.open(initiatorAddr, initiator), l.open(targetAddr, host)
	l.disk = newGated(t)
	l.add(0, "disk0", l.disk)
	return l
}

func (l *lab) add(number uint16, serial string, b backend.Backend) {
	l.t.Helper()
	cfg := scsi.DefaultUnitConfig()
	cfg.Serial = serial
	u, err := scsi.NewUnit(b, cfg)
	if err != nil {
		l.t.Fatal(err)
	}
	if err := l.luns.Add(number, u); err != nil {
		l.t.Fatal(err)
	}
}

func asIs(*soft.Config) {}

func (l *lab) open(addr netip.Addr, change func(*soft.Config)) *soft.Device {
	l.t.Helper()
	link, err := l.hub.Attach(addr, 0)
	if err != nil {
		l.t.Fatal(err)
	}
	cfg := soft.Config{TrustLink: true, Seed: 1}
	change(&cfg)
	dev, err := soft.Open(link, cfg)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() {
		if err := dev.Close(); err != nil {
			l.t.Errorf("something was left behind: %v", err)
		}
	})
	return dev
}

func testLog() *slog.Logger {
	if os.Getenv("SRP_TEST_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func (l *lab) targetConfig() srp.TargetConfig {
	cfg := srp.DefaultTargetConfig()
	cfg.Devices, cfg.Port, cfg.Everybody, cfg.Log = []rdma.Device{l.host}, targetPort, l.luns, testLog()
	cfg.RequestLimit = 8
	return cfg
}

func (l *lab) listen(cfg srp.TargetConfig) *srp.Target {
	l.t.Helper()
	target, err := srp.Listen(cfg)
	if err != nil {
		l.t.Fatal(err)
	}
	l.target = target
	l.t.Cleanup(func() {
		if err := target.Close(); err != nil {
			l.t.Error(err)
		}
	})
	return target
}

// gated is a disk that can be held: calls then wait, as those of a real one do.
type gated struct {
	backend.Backend
	hold chan struct{} // unless nil: a call takes one
	busy chan struct{} // a call that waits puts one
}

func newGated(t testing.TB) *gated {
	t.Helper()
	memory, err := backend.NewMemory(1<<20, 512)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { memory.Close() })
	return &gated{Backend: memory, busy: make(chan struct{}, 64)}
}

func (g *gated) Properties() backend.Properties {
	p := g.Backend.Properties()
	p.Immediate = g.hold == nil
	return p
}

func (g *gated) wait() {
	if g.hold != nil {
		g.busy <- struct{}{}
		<-g.hold
	}
}

func (g *gated) ReadAt(p []byte, offset int64) error {
	g.wait()
	return g.Backend.ReadAt(p, offset)
}

func (g *gated) WriteAt(p []byte, offset int64, fua bool) error {
	g.wait()
	return g.Backend.WriteAt(p, offset, fua)
}

// peer is a scripted initiator: one channel, which sends any unit.
type peer struct {
	t      testing.TB
	conn   rdma.Conn
	login  srp.LoginRsp
	memory rdma.Region // the target may read and write it
	units  rdma.Region
	recvs  rdma.Region
	offset uint16 // of immediate data
	next   uint64
	got    [][]byte // units received and not looked at
}

const (
	peerReceives = 64
	peerUnit     = 512
	peerMemory   = 1 << 20
	peerSend     = 16384
)

func loginReq(n uint64) srp.LoginReqCM {
	return srp.LoginReqCM{
		Tag: srp.TagOf(77), RequiredFormats: srp.FormatsDirect | srp.FormatsIndirect, Flags: srp.LoginImmediate, RequestedIULength: 8260,
		InitiatorPort: initiatorPort(n), TargetPort: targetPort, ImmediateOffset: 68,
	}
}

// dial logs in. The error is that of the connection.
func (l *lab) dial(login srp.LoginReqCM) (*peer, error) {
	l.t.Helper()
	p := &peer{t: l.t, offset: login.ImmediateOffset}
	for _, m := range []struct {
		region *rdma.Region
		size   int
		access rdma.Access
	}{{&p.memory, peerMemory, rdma.LocalWrite | rdma.RemoteRead | rdma.RemoteWrite}, {&p.units, peerSend, 0}, {&p.recvs, peerReceives * peerUnit, rdma.LocalWrite}} {
		var err error
		if *m.region, err = l.initiator.Register(m.size, m.access); err != nil {
			l.t.Fatal(err)
		}
	}
	data, _ := login.AppendBinary(nil)
	cfg := rdma.ConnConfig{SendQueue: 64, RecvQueue: peerReceives, ResponderResources: 4, RetryCount: 7, RNRRetryCount: 7}
	var recvs []rdma.RecvWR
	for i := range peerReceives {
		recvs = append(recvs, p.receive(i))
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var err error
	p.conn, err = l.initiator.Dial(ctx, netip.AddrPortFrom(targetAddr, srp.DefaultTargetPort), cfg, data, recvs...)
	if err == nil {
		if p.login, err = srp.ParseLoginRsp(p.conn.PeerData()); err != nil {
			l.t.Fatal(err)
		}
	}
	l.t.Cleanup(p.close)
	return p, err
}

func (l *lab) connect(n uint64) *peer {
	l.t.Helper()
	p, err := l.dial(loginReq(n))
	if err != nil {
		l.t.Fatal(err)
	}
	for _, number := range l.luns.Numbers() { // what a new nexus reports
		lun, _ := scsi.NewLUN(number)
		cmd := srp.NewCmd(p.tag(), lun)
		if rsp := p.do(p.command(cmd, scsi.TestUnitReady.New(), srp.Buffer{}, srp.Buffer{})); senseOf(l.t, rsp).Key != scsi.UnitAttention {
			l.t.Fatalf("the first command of a nexus: %+v", rsp)
		}
	}
	return p
}

func (p *peer) close() {
	if p.conn != nil {
		p.conn.Close()
		p.conn = nil
	}
	for _, r := range []rdma.Region{p.memory, p.units, p.recvs} {
		if err := r.Close(); err != nil && !errors.Is(err, rdma.ErrClosed) {
			p.t.Error(err)
		}
	}
}

func (p *peer) receive(i int) rdma.RecvWR {
	return rdma.RecvWR{ID: uint64(i), Local: []rdma.SGE{{Region: p.recvs, Offset: i * peerUnit, Length: peerUnit}}}
}

func (p *peer) tag() srp.Tag {
	p.next++
	return srp.TagOf(p.next)
}

// send posts one unit.
func (p *peer) send(unit []byte) {
	p.t.Helper()
	copy(p.units.Bytes(), unit)
	if err := p.conn.PostSend(p.sending(len(unit))); err != nil {
		p.t.Fatal(err)
	}
	if err := p.poll(func(d rdma.Completion) bool { return !d.Recv }); err != nil {
		p.t.Fatal(err)
	}
}

func (p *peer) sending(n int) rdma.SendWR {
	return rdma.SendWR{ID: 1 << 32, Op: rdma.OpSend, Local: []rdma.SGE{{Region: p.units, Length: n}}, Signaled: true}
}

// drain takes completions until there are no more.
func (p *peer) drain(ctx context.Context) {
	var done [8]rdma.Completion
	for {
		if _, err := p.conn.Poll(ctx, done[:]); err != nil {
			return
		}
	}
}

// poll takes completions until one is wanted.
func (p *peer) poll(wanted func(rdma.Completion) bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var done [1]rdma.Completion
	for {
		n, err := p.conn.Poll(ctx, done[:])
		if n > 0 && done[0].Status == rdma.StatusSuccess {
			if d := done[0]; d.Recv {
				at := int(d.ID) * peerUnit
				p.got = append(p.got, slices.Clone(p.recvs.Bytes()[at:at+d.Length]))
				_ = p.conn.PostRecv(p.receive(int(d.ID))) // fails only if the connection is lost, which Poll tells
			}
			if wanted(done[0]) {
				return nil
			}
			continue
		}
		if err == nil && n > 0 && done[0].Status != rdma.StatusFlushed { // the connection says why it was flushed
			err = done[0].Err()
		}
		if err != nil {
			return err
		}
	}
}

// unit waits for a unit.
func (p *peer) unit() ([]byte, error) {
	for len(p.got) == 0 {
		if err := p.poll(func(d rdma.Completion) bool { return d.Recv }); err != nil {
			return nil, err
		}
	}
	u := p.got[0]
	p.got = p.got[1:]
	return u, nil
}

// rsp waits for a response.
func (p *peer) rsp() srp.Rsp {
	p.t.Helper()
	u, err := p.unit()
	if err != nil {
		p.t.Fatal(err)
	}
	m, err := srp.ParseRsp(u)
	if err != nil {
		p.t.Fatalf("%x: %v", u, err)
	}
	return m
}

// do sends a unit and waits for the response with its tag.
func (p *peer) do(unit []byte) srp.Rsp {
	p.t.Helper()
	p.send(unit)
	m := p.rsp()
	if m.Tag != srp.Tag(unit[8:16]) {
		p.t.Fatalf("response for tag %s, sent %x", m.Tag, unit[8:16])
	}
	return m
}

func (p *peer) command(m srp.Cmd, cdb []byte, out, in srp.Buffer) []byte {
	p.t.Helper()
	b, err := m.AppendWith(nil, cdb, out, in, p.offset)
	if err != nil {
		p.t.Fatal(err)
	}
	return b
}

// piece describes memory of the peer.
func (p *peer) piece(offset, length int) srp.MemoryDescriptor {
	return srp.MemoryDescriptor{Address: p.memory.Addr() + uint64(offset), RKey: p.memory.Key(), Length: uint32(length)}
}

func (p *peer) read(lba uint64, blocks uint32, in srp.Buffer) srp.Rsp {
	p.t.Helper()
	return p.do(p.command(srp.NewCmd(p.tag(), srp.LUN{}), must(scsi.Read10.AppendIO(nil, lba, blocks, false)), srp.Buffer{}, in))
}

func (p *peer) write(lba uint64, blocks uint32, out srp.Buffer) srp.Rsp {
	p.t.Helper()
	return p.do(p.command(srp.NewCmd(p.tag(), srp.LUN{}), must(scsi.Write10.AppendIO(nil, lba, blocks, false)), out, srp.Buffer{}))
}

// manage sends a task management request and gives the code of the answer.
func (p *peer) manage(f srp.TaskFunction, lun srp.LUN, managed srp.Tag) srp.ResponseCode {
	p.t.Helper()
	m := srp.TskMgmt{Type: srp.TypeTskMgmt, Tag: p.tag(), LUN: lun, Function: f, ManagedTag: managed}
	b, _ := m.AppendBinary(nil)
	rsp := p.do(b)
	code, ok := rsp.ResponseCode()
	if !ok || rsp.ResponseLength != 4 || rsp.Size() != 40 { // Clause SRP-TM-006
		p.t.Errorf("answer to task management: %+v", rsp)
	}
	return code
}

func senseOf(t testing.TB, m srp.Rsp) scsi.Sense {
	t.Helper()
	s, ok := scsi.ParseSense(m.Sense())
	if !ok || m.Status != uint8(scsi.CheckCondition) {
		t.Fatalf("no sense: %+v", m)
	}
	return s
}

// good fails the test unless the command has succeeded, with all of its data.
func good(t testing.TB, m srp.Rsp) {
	t.Helper()
	if m.Flags != 0 || m.Status != 0 || m.Size() != srp.RspSize || m.RequestLimitDelta != 1 { // Clause SRP-RSP-001
		t.Fatalf("%+v", m)
	}
}

func must(cdb []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return cdb
}

func pattern(seed, n int) []byte {
	b := make([]byte, n)
	for i := 0; i+8 <= n; i += 8 {
		binary.BigEndian.PutUint64(b[i:], uint64(seed)<<32|uint64(i))
	}
	return b
}
