// SPDX-License-Identifier: Apache-2.0

package soft

import (
	"net/netip"
	"sync"
	"time"

	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/roce"
)

// cmQKey is the queue key of management datagrams.
const cmQKey = 0x80010000

// manager is the connection manager of a device. mu guards all of it and all its dialogs. Lock order: manager, then queue
// pair.
type manager struct {
	dev  *Device
	guid uint64 // of the channel adapter: fresh for each device, so that peers tell us from one that died

	mu        sync.Mutex
	closed    bool
	lost      bool // the link is gone, though the device is not closed
	listeners map[uint16]*listener
	dialogs   map[uint32]*dialog // by local communication id
	psn       uint32             // of management datagrams
}

// cmState is where a dialog stands.
type cmState uint8

const (
	cmREQSent     cmState = iota // asked, waiting for a reply
	cmREQRcvd                    // asked by the peer, waiting for the application
	cmREPSent                    // replied, waiting for the peer's confirmation
	cmEstablished                //
	cmDREQSent                   // asked to disconnect, waiting for the answer
	cmTimeWait                   // over; packets that are still on their way die out
	cmOver                       // forgotten
)

// dialog is the connection management of one connection, from the first message to the end of its TIMEWAIT.
type dialog struct {
	state       cmState
	localID     uint32
	remoteID    uint32
	transaction uint64
	peer        netip.Addr // where management datagrams go
	remoteGUID  uint64
	localQPN    uint32
	remoteQPN   uint32
	dataPeer    netip.Addr // where the queue pair's packets go
	ackTimeout  uint8

	conn    *Conn    // nil when closed
	request *request // passive, until it is answered
	repeat  []byte   // the datagram that a repeated message of the peer, or the timer, sends again

	timer   *time.Timer
	turn    int // of the timer; an older one that fires late finds another number
	left    int // repetitions
	every   time.Duration
	settled chan struct{} // closed when the dialog is established, or has failed with err
	err     error
	parted  chan struct{} // closed when the peer has agreed to disconnect, or will not any more
}

func (m *manager) init(d *Device) {
	m.dev = d
	m.guid = uint64(d.random())<<32 | uint64(d.random())
	m.listeners = make(map[uint16]*listener)
	m.dialogs = make(map[uint32]*dialog)
	m.psn = d.random() & psnMask
}

// close forgets all dialogs. Only such are left as have no connection any more.
func (m *manager) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	for _, g := range m.dialogs {
		m.forget(g)
	}
}

// count is the number of listeners and of requests that nobody has answered.
func (m *manager) count() (listeners, requests int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, g := range m.dialogs {
		if g.state == cmREQRcvd && g.request.given {
			requests++
		}
	}
	return len(m.listeners), requests
}

// newDialog makes a dialog with ids that nobody uses. The caller holds mu.
func (m *manager) newDialog(state cmState) (*dialog, error) {
	if err := m.usable(); err != nil {
		return nil, err
	}
	if err := rdma.CheckLimit("number of connections", len(m.dialogs)+1, 1, m.dev.cfg.MaxConns); err != nil {
		return nil, err
	}
	g := &dialog{state: state, settled: make(chan struct{}), parted: make(chan struct{})}
	for g.localID == 0 || m.dialogs[g.localID] != nil {
		g.localID = m.dev.random()
	}
	g.localQPN = m.freeQPN()
	m.dialogs[g.localID] = g
	return g, nil
}

// usable fails when nothing can begin any more. The caller holds mu.
func (m *manager) usable() error {
	switch {
	case m.closed:
		return rdma.ErrClosed
	case m.lost:
		return rdma.ErrDeviceRemoved
	}
	return nil
}

// freeQPN draws a queue pair number that neither a queue pair nor a dialog has.
func (m *manager) freeQPN() uint32 {
	const firstQPN, lastQPN = 0x10, 0xFFFFFE
	for {
		qpn := firstQPN + m.dev.random()%(lastQPN-firstQPN+1)
		if m.dev.qp(qpn) == nil && !m.usesQPN(qpn) {
			return qpn
		}
	}
}

func (m *manager) usesQPN(qpn uint32) bool {
	for _, g := range m.dialogs {
		if g.localQPN == qpn {
			return true
		}
	}
	return false
}

// receive handles a packet to queue pair 1. It never acknowledges one, whatever it asks for.
func (m *manager) receive(p *Packet) dropReason {
	if p.OpCode() != roce.UDSendOnly || be.Uint32(p.Ext()) != cmQKey {
		return dropCM
	}
	mad, msg, err := roce.DecodeCM(p.Data())
	if err != nil || mad.BaseVersion != roce.MADBaseVersion || mad.Method != roce.MethodSend {
		return dropCM
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return dropCM
	}
	in := incoming{from: p.Src(), transaction: mad.TransactionID}
	switch msg := msg.(type) {
	case *roce.CMReq:
		m.onREQ(in, msg)
	case *roce.CMRep:
		m.onREP(in, msg)
	case *roce.CMRtu:
		m.onRTU(msg)
	case *roce.CMRej:
		m.onREJ(msg)
	case *roce.CMMra:
		m.onMRA(msg)
	case *roce.CMDreq:
		m.onDREQ(in, msg)
	case *roce.CMDrep:
		m.onDREP(msg)
	}
	return delivered
}

// incoming is what is known of a message beside its fields.
type incoming struct {
	from        netip.Addr
	transaction uint64
}

// find gives the dialog with these ids, nil if there is none.
func (m *manager) find(localID, remoteID uint32) *dialog {
	if g := m.dialogs[localID]; g != nil && g.remoteID == remoteID {
		return g
	}
	return nil
}

// edited gives a message after the owner of the device has had the chance to change it.
func edited[M roce.CMMessage](m *manager, msg M) M {
	if m.dev.cfg.EditCM != nil {
		m.dev.cfg.EditCM(msg)
	}
	return msg
}

// encode makes a datagram of a message.
func (m *manager) encode(transaction uint64, msg roce.CMMessage, private []byte) []byte {
	mad := roce.NewCMHeader(msg.Attribute(), transaction)
	b, err := roce.AppendCM(nil, &mad, msg, private)
	if err != nil {
		panic(err) // the private data was checked when it came in
	}
	return b
}

// send sends a datagram to queue pair 1 of a peer.
func (m *manager) send(to netip.Addr, mad []byte) {
	const size = roce.BTHLen + roce.DETHLen + roce.MADLen + roce.ICRCLen
	d := m.dev
	port := d.link.SourcePort()
	if port == 0 {
		port = roce.DatagramSourcePort(roce.GSIQPN)
	}
	f := newFlow(d.Addr(), to, port, d.cfg.TrafficClass, d.cfg.TTL)
	p := f.start(size)
	b := p.Payload()
	m.psn++
	be.PutUint32(b, uint32(roce.UDSendOnly)<<24|uint32(roce.DefaultPKey))
	be.PutUint32(b[4:], roce.GSIQPN)
	be.PutUint32(b[8:], m.psn&psnMask)
	be.PutUint32(b[12:], cmQKey)
	be.PutUint32(b[16:], roce.GSIQPN)
	copy(b[20:], mad)
	d.send([]*Packet{p})
}

// say sends a message that is not repeated by the timer.
func (m *manager) say(g *dialog, msg roce.CMMessage, private []byte) {
	m.send(g.peer, m.encode(g.transaction, msg, private))
}

// ask sends a message and repeats it until the dialog moves on, or the peer is given up.
func (m *manager) ask(g *dialog, msg roce.CMMessage, private []byte, every time.Duration, retries int) {
	g.repeat, g.every, g.left = m.encode(g.transaction, msg, private), every, retries
	m.send(g.peer, g.repeat)
	m.schedule(g, every)
}

// schedule sets the dialog's timer.
func (m *manager) schedule(g *dialog, wait time.Duration) {
	m.unschedule(g)
	turn := g.turn
	g.timer = time.AfterFunc(wait, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if g.turn == turn {
			m.onTimer(g)
		}
	})
}

func (m *manager) unschedule(g *dialog) {
	g.turn++
	if g.timer != nil {
		g.timer.Stop()
	}
}

// onTimer repeats what was not answered, or gives up.
func (m *manager) onTimer(g *dialog) {
	if g.state == cmTimeWait {
		m.forget(g)
		return
	}
	if g.left > 0 {
		g.left--
		m.send(g.peer, g.repeat)
		m.schedule(g, g.every)
		return
	}
	switch g.state {
	case cmREQSent:
		m.giveUp(g, rdma.ErrUnreachable)
	case cmREPSent:
		m.giveUp(g, rdma.ErrUnreachable)
	case cmREQRcvd: // the time that was promised to the peer is over; the request stays for the application
	case cmDREQSent:
		m.timeWait(g)
	}
}

// settle tells who waits for the dialog that it is established, or failed.
func (g *dialog) settle(err error) {
	select {
	case <-g.settled:
		return
	default:
	}
	g.err = err
	close(g.settled)
}

// part tells who waits that the disconnection is done.
func (g *dialog) part() {
	select {
	case <-g.parted:
	default:
		close(g.parted)
	}
}

// establish ends the set-up.
func (m *manager) establish(g *dialog) {
	m.unschedule(g)
	g.state = cmEstablished
	close(g.conn.established)
	g.settle(nil)
}

// heard is told when the first packet of a peer's queue pair has come: the peer has the reply, even if its confirmation
// is lost.
func (m *manager) heard(q *queuePair) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, g := range m.dialogs {
		if g.localQPN == q.qpn && g.state == cmREPSent && g.conn != nil {
			m.establish(g)
			return
		}
	}
}

// giveUp ends a dialog, and its connection, without a word to the peer.
func (m *manager) giveUp(g *dialog, err error) {
	if g.conn != nil {
		g.conn.qp.disconnect(m.dev.connError(g.conn.qp, err))
	}
	g.settle(err)
	m.forget(g)
}

// linkLost ends all connections, dials and listeners because the link is gone.
func (m *manager) linkLost() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lost = true
	for _, l := range m.listeners {
		close(l.lost)
	}
	for _, g := range m.dialogs {
		m.giveUp(g, rdma.ErrDeviceRemoved)
	}
}

// forget removes a dialog.
func (m *manager) forget(g *dialog) {
	m.unschedule(g)
	if g.request != nil {
		g.request.listener.drop(g.request)
	}
	g.state = cmOver
	g.settle(rdma.ErrClosed)
	g.part()
	delete(m.dialogs, g.localID)
}

// reject sends a REJ about a message of the peer. localID is 0 where none was disclosed.
func (m *manager) reject(in incoming, localID, remoteID uint32, kind roce.CMMessageKind, why refusal) {
	rej := &roce.CMRej{LocalCommID: localID, RemoteCommID: remoteID, MessageRejected: kind, Reason: why.reason}
	rej.InfoLength = uint8(copy(rej.Info[:], why.info))
	m.send(in.from, m.encode(in.transaction, edited(m, rej), why.private))
}

// refusal is why a request is rejected.
type refusal struct {
	reason  roce.RejReason
	info    []byte
	private []byte
}
