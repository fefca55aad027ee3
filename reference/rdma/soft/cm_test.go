// SPDX-License-Identifier: Apache-2.0

package soft_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/rdma/soft"
	"github.com/ibnbd/ibnbd/reference/roce"
)

// Offsets in a packet of connection management, from the base transport header on.
const (
	madAt      = 20
	madDataAt  = madAt + roce.MADHeaderLen
	reqIPCMAt  = madDataAt + 140
	cmPacket   = 280
	requestGap = 4608 * time.Millisecond // between two REQs
	replyGap   = 4096 * time.Millisecond // between two REPs, or DREQs
)

// is matches packets that carry a message of connection management.
func is(attribute roce.AttributeID) func(*soft.Packet) bool {
	return func(p *soft.Packet) bool {
		b := p.Payload()
		return p.DestQP() == roce.GSIQPN && len(b) == cmPacket && roce.AttributeID(uint16(b[madAt+16])<<8|uint16(b[madAt+17])) == attribute
	}
}

// lose makes a device lose the first count messages of a kind that it sends.
func lose(d *soft.Device, attribute roce.AttributeID, count int) *soft.Injection {
	return d.Inject(soft.Fault{Name: "lose " + attribute.String(), Stage: soft.Sealed, Match: is(attribute), Count: count, Drop: true})
}

// see counts the messages of a kind that a device sends.
func see(d *soft.Device, attribute roce.AttributeID) *soft.Injection {
	return d.Inject(soft.Fault{Stage: soft.Made, Match: is(attribute), Change: func(*soft.Packet) {}})
}

// acceptAll accepts every request on port 7777 of the server until the test ends, after waiting.
func acceptAll(t *testing.T, p *pair, wait time.Duration) {
	t.Helper()
	l, err := p.b.Listen(7777)
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var served sync.WaitGroup
	served.Go(func() {
		var conns []rdma.Conn
		for {
			r, err := l.Next(ctx)
			if err != nil {
				break
			}
			time.Sleep(wait)
			c, err := r.Accept(ctx, testConn, nil, recvs(p.memB, 4)...)
			if err != nil {
				continue
			}
			conns = append(conns, c)
			p.server = c.(*soft.Conn)
		}
		for _, c := range conns {
			closeAll(t, c)
		}
	})
	t.Cleanup(func() {
		cancel()
		served.Wait()
		closeAll(t, l)
	})
}

// dial dials port 7777 of the server; a connection is closed with the test.
func dial(t *testing.T, p *pair) (*soft.Conn, error) {
	t.Helper()
	c, err := p.a.Dial(context.Background(), netip.AddrPortFrom(addrB, 7777), testConn, nil)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { closeAll(t, c) })
	return c.(*soft.Conn), nil
}

// rejection gives the reason of a reject, 0 for another error.
func rejection(err error) roce.RejReason {
	var reject *rdma.RejectError
	if errors.As(err, &reject) {
		return roce.RejReason(reject.Reason)
	}
	return 0
}

func TestBadRequests(t *testing.T) {
	for _, tt := range []struct {
		name string
		edit func(*roce.CMReq)
		want roce.RejReason
	}{
		{"another port", func(r *roce.CMReq) { r.ServiceID++ }, roce.RejInvalidServiceID},
		{"another port space", func(r *roce.CMReq) { r.ServiceID = roce.IPServiceID(roce.PortSpaceUDP, 7777) }, roce.RejInvalidServiceID},
		{"another service", func(r *roce.CMReq) { r.ServiceID = 7777 }, roce.RejInvalidServiceID},
		{"not the listener's GID", func(r *roce.CMReq) { r.Primary.RemoteGID[15]++ }, roce.RejPrimaryRemoteGID},
		{"unreliable connection", func(r *roce.CMReq) { r.TransportType = roce.TransportUC }, roce.RejInvalidTransportType},
		{"path MTU 0", func(r *roce.CMReq) { r.PathMTU = 0 }, roce.RejInvalidMTU},
		{"path MTU 6", func(r *roce.CMReq) { r.PathMTU = 6 }, roce.RejInvalidMTU},
		{"path MTU larger than the listener's", func(r *roce.CMReq) { r.PathMTU = roce.MTU4096 }, roce.RejInvalidMTU},
		{"partition key 0", func(r *roce.CMReq) { r.PKey = 0 }, roce.RejUnsupportedRequest},
		{"a GID of another family", func(r *roce.CMReq) { r.Primary.LocalGID = roce.GIDOf(netip.MustParseAddr("fd00::1")) }, roce.RejUnsupportedRequest},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				edit := func(m roce.CMMessage) {
					if req, ok := m.(*roce.CMReq); ok {
						tt.edit(req)
					}
				}
				p := newPair(t, soft.Config{PathMTU: 2048, EditCM: edit}, soft.Config{PathMTU: 2048})
				acceptAll(t, p, 0)
				if _, err := dial(t, p); rejection(err) != tt.want {
					t.Errorf("dial: %v, must be rejected with %q", err, tt.want)
				}
			})
		})
	}
}

func TestBadIPHeaderOfRequest(t *testing.T) {
	for name, change := range map[string]func([]byte){
		"version 1":                     func(b []byte) { b[0] = 0x10 },
		"IP version 5":                  func(b []byte) { b[1] = 0x50 },
		"IP version 6":                  func(b []byte) { b[1] = 0x60 },
		"another destination":           func(b []byte) { b[35]++ },
		"a source that is unspecified":  func(b []byte) { clear(b[16:20]) },
		"a source that is a group (IP)": func(b []byte) { b[16] = 224 },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPair(t, soft.Config{}, soft.Config{})
				acceptAll(t, p, 0)
				p.a.Inject(soft.Fault{Stage: soft.Made, Match: is(roce.AttrREQ), Change: func(p *soft.Packet) { change(p.Payload()[reqIPCMAt:]) }})
				if _, err := dial(t, p); rejection(err) != roce.RejConsumer {
					t.Errorf("dial: %v, must be rejected with %q", err, roce.RejConsumer)
				}
			})
		})
	}
}

// What is lost is sent again, after the time that was agreed.
func TestLostSetUpMessages(t *testing.T) {
	for _, tt := range []struct {
		name string
		lose func(*pair)
		want time.Duration // until both sides are established
	}{
		{"nothing", func(*pair) {}, 0},
		{"a REQ", func(p *pair) { lose(p.a, roce.AttrREQ, 1) }, requestGap},
		{"three REQs", func(p *pair) { lose(p.a, roce.AttrREQ, 3) }, 3 * requestGap},
		{"a REP", func(p *pair) { lose(p.b, roce.AttrREP, 1) }, replyGap},
		{"an RTU", func(p *pair) { lose(p.a, roce.AttrRTU, 1) }, replyGap},
		{"a reject", func(p *pair) { lose(p.b, roce.AttrREJ, 1) }, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPair(t, soft.Config{}, soft.Config{})
				tt.lose(p)
				start := time.Now()
				p.connect(t, testConn)
				<-p.client.Established()
				<-p.server.Established()
				if got := time.Since(start); got != tt.want {
					t.Errorf("established after %v, must be %v", got, tt.want)
				}
			})
		})
	}
}

// A request of the peer's queue pair confirms the reply as well as an RTU.
func TestDataConfirms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, soft.Config{Rules: soft.Rules{NoRTU: true}}, soft.Config{})
		start := time.Now()
		p.connect(t, testConn)
		must(t, p.client.PostSend(rdma.SendWR{Op: rdma.OpSend, Signaled: true}))
		must(t, one(t, p.client).Err())
		<-p.server.Established()
		if got := time.Since(start); got != 0 {
			t.Errorf("established after %v", got)
		}
	})
}

func TestUnreachable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, soft.Config{}, soft.Config{})
		p.hub.SetDown(addrB, true)
		requests := see(p.a, roce.AttrREQ)
		start := time.Now()
		if _, err := dial(t, p); !errors.Is(err, rdma.ErrUnreachable) {
			t.Errorf("dial: %v, must wrap ErrUnreachable", err)
		}
		if n, d := requests.Hits(), time.Since(start); n != 16 || d != 16*requestGap {
			t.Errorf("%d requests in %v, must be 16 in %v", n, d, 16*requestGap)
		}
	})
}

// A peer that never confirms is given up.
func TestNeverConfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, soft.Config{Rules: soft.Rules{NoRTU: true}, CMRetries: 3}, soft.Config{})
		replies := see(p.b, roce.AttrREP)
		start := time.Now()
		p.connect(t, testConn)
		<-p.server.Lost()
		if err := p.server.Err(); !errors.Is(err, rdma.ErrUnreachable) {
			t.Errorf("error: %v, must wrap ErrUnreachable", err)
		}
		if n, d := replies.Hits(), time.Since(start); n != 4 || d != 4*replyGap {
			t.Errorf("%d replies in %v, must be 4 in %v", n, d, 4*replyGap)
		}
	})
}

// While the application thinks, repeated requests are answered with a plea for time, which the peer grants.
func TestSlowApplication(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, soft.Config{}, soft.Config{})
		requests, pleas := see(p.a, roce.AttrREQ), see(p.b, roce.AttrMRA)
		acceptAll(t, p, time.Minute)
		if _, err := dial(t, p); err != nil {
			t.Fatal(err)
		}
		if requests.Hits() != 2 || pleas.Hits() != 1 {
			t.Errorf("%d requests and %d pleas in a minute, must be 2 and 1", requests.Hits(), pleas.Hits())
		}
	})
}

func TestRequestGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, soft.Config{}, soft.Config{})
		l, err := p.b.Listen(7777)
		must(t, err)
		defer closeAll(t, l)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if _, err := p.a.Dial(ctx, l.Addr(), testConn, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("dial: %v", err)
		}
		synctest.Wait()
		// It was not given by Next yet, and never will be.
		short, stop := context.WithTimeout(context.Background(), time.Second)
		defer stop()
		if r, err := l.Next(short); err == nil {
			_, err := r.Accept(context.Background(), testConn, nil)
			t.Errorf("a request that was given up came; accepting it: %v", err)
		}
	})
}

func TestAcceptOfRequestGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, soft.Config{}, soft.Config{})
		l, err := p.b.Listen(7777)
		must(t, err)
		defer closeAll(t, l)
		ctx, cancel := context.WithCancel(context.Background())
		dialled := make(chan error, 1)
		go func() {
			_, err := p.a.Dial(ctx, l.Addr(), testConn, nil)
			dialled <- err
		}()
		r, err := l.Next(context.Background())
		must(t, err)
		cancel()
		<-dialled
		synctest.Wait()
		if _, err := r.Accept(context.Background(), testConn, nil); !errors.Is(err, rdma.ErrDisconnected) {
			t.Errorf("accept: %v, must wrap ErrDisconnected", err)
		}
	})
}

func TestDisconnectMessages(t *testing.T) {
	for _, tt := range []struct {
		name string
		lose func(*pair)
		want time.Duration
		asks uint64
	}{
		{"nothing lost", func(*pair) {}, 0, 1},
		{"a DREQ lost", func(p *pair) { lose(p.a, roce.AttrDREQ, 1) }, replyGap, 2},
		{"a DREP lost", func(p *pair) { lose(p.b, roce.AttrDREP, 1) }, replyGap, 2},
		{"every DREP lost", func(p *pair) { lose(p.b, roce.AttrDREP, 0) }, 16 * replyGap, 16},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				// A TIMEWAIT that outlasts the test, so that the peer knows the ids.
				cfg := testConn
				cfg.AckTimeout = 31
				p := newPair(t, soft.Config{}, soft.Config{})
				p.connect(t, cfg)
				asks := see(p.a, roce.AttrDREQ)
				tt.lose(p)
				start := time.Now()
				must(t, p.client.Disconnect(context.Background()))
				if d := time.Since(start); d != tt.want || asks.Hits() != tt.asks {
					t.Errorf("disconnected after %v with %d requests, must be %v with %d", d, asks.Hits(), tt.want, tt.asks)
				}
			})
		})
	}
}

func TestCrossingDisconnects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := connected(t, soft.Config{}, soft.Config{})
		<-p.server.Established()
		for _, d := range []*soft.Device{p.a, p.b} {
			d.Inject(soft.Fault{Stage: soft.Sealed, Match: is(roce.AttrDREQ), Delay: time.Millisecond})
		}
		answers := []*soft.Injection{see(p.a, roce.AttrDREP), see(p.b, roce.AttrDREP)}
		errs := make(chan error, 2)
		start := time.Now()
		for _, c := range []*soft.Conn{p.client, p.server} {
			go func() { errs <- c.Disconnect(context.Background()) }()
		}
		must(t, <-errs)
		must(t, <-errs)
		synctest.Wait()
		if d := time.Since(start); d != time.Millisecond {
			t.Errorf("it took %v", d)
		}
		for _, a := range answers {
			if a.Hits() != 1 {
				t.Errorf("%d answers of one side, must be 1", a.Hits())
			}
		}
	})
}

// Whoever has the answer to a DREQ may use the memory of the connection for something else.
func TestDisconnectedBeforeTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := connected(t, soft.Config{}, soft.Config{})
		<-p.server.Established()
		var seen []error
		p.b.Inject(soft.Fault{Stage: soft.Made, Match: is(roce.AttrDREP), Change: func(*soft.Packet) { seen = append(seen, p.server.Err()) }})
		must(t, p.client.Disconnect(context.Background()))
		if len(seen) != 1 || !errors.Is(seen[0], rdma.ErrDisconnected) {
			t.Errorf("when the answer was sent, the connection's error was %v", seen)
		}
	})
}

// A DREQ must name ids and queue pair. For unknown ids it is answered, with the ids swapped; for another queue pair not.
func TestForeignDREQ(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var drep *roce.CMDrep
		edit := func(m roce.CMMessage) {
			if m, ok := m.(*roce.CMDrep); ok {
				drep = m
			}
		}
		var change func(*roce.CMDreq)
		p := connected(t, soft.Config{EditCM: func(m roce.CMMessage) {
			if m, ok := m.(*roce.CMDreq); ok {
				change(m)
			}
		}, CMRetries: 1}, soft.Config{EditCM: edit})
		change = func(m *roce.CMDreq) { m.RemoteQPN++ }
		must(t, p.client.Disconnect(context.Background()))
		if drep != nil || p.server.Err() != nil {
			t.Errorf("a DREQ for another queue pair was answered with %+v; the connection: %v", drep, p.server.Err())
		}
		p = connected(t, soft.Config{EditCM: func(m roce.CMMessage) {
			if m, ok := m.(*roce.CMDreq); ok {
				m.LocalCommID, m.RemoteCommID = 0x11111111, 0x22222222
			}
		}, CMRetries: 1}, soft.Config{EditCM: edit})
		must(t, p.client.Disconnect(context.Background()))
		if drep == nil || drep.LocalCommID != 0x22222222 || drep.RemoteCommID != 0x11111111 {
			t.Errorf("the answer to a DREQ for unknown ids is %+v", drep)
		}
		if p.server.Err() != nil {
			t.Errorf("a DREQ for unknown ids ended a connection: %v", p.server.Err())
		}
	})
}

// A peer that restarts with the same adapter and queue pair has forgotten its old connection: the new request is
// rejected, and the old connection is ended.
func TestStaleConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var first *roce.CMReq
		p := newPair(t, soft.Config{EditCM: func(m roce.CMMessage) {
			if m, ok := m.(*roce.CMReq); ok {
				if first == nil {
					first = m
				}
				m.LocalQPN = first.LocalQPN
			}
		}}, soft.Config{})
		acceptAll(t, p, 0)
		if _, err := dial(t, p); err != nil {
			t.Fatal(err)
		}
		if _, err := dial(t, p); rejection(err) != roce.RejStaleConnection {
			t.Errorf("second dial: %v, must be rejected with %q", err, roce.RejStaleConnection)
		}
		synctest.Wait()
		if err := p.server.Err(); !errors.Is(err, rdma.ErrDisconnected) {
			t.Errorf("the old connection: %v, must wrap ErrDisconnected", err)
		}
	})
}

// Each side may have as many READs in flight as it wants and the other serves.
func TestResourcesAreCrossed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var rep *roce.CMRep
		p := newPair(t, soft.Config{}, soft.Config{EditCM: func(m roce.CMMessage) {
			if m, ok := m.(*roce.CMRep); ok {
				rep = m
			}
		}})
		l, err := p.b.Listen(7777)
		must(t, err)
		defer closeAll(t, l)
		accepted := make(chan rdma.Conn, 1)
		go func() {
			cfg := testConn
			cfg.InitiatorDepth, cfg.ResponderResources = 5, 2
			if r, err := l.Next(context.Background()); err == nil {
				c, _ := r.Accept(context.Background(), cfg, nil)
				accepted <- c
			}
		}()
		cfg := testConn
		cfg.InitiatorDepth, cfg.ResponderResources = 3, 7
		c, err := p.a.Dial(context.Background(), l.Addr(), cfg, nil)
		must(t, err)
		defer closeAll(t, c, <-accepted)
		if rep.ResponderResources != 2 || rep.InitiatorDepth != 5 {
			t.Errorf("the reply offers %d and wants %d, must be 2 and 5", rep.ResponderResources, rep.InitiatorDepth)
		}
	})
}

// A listener does not hold more requests than its backlog.
func TestBacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, soft.Config{}, soft.Config{Backlog: 2})
		l, err := p.b.Listen(7777)
		must(t, err)
		dialled := make(chan error, 3)
		for range 3 {
			go func() {
				_, err := p.a.Dial(context.Background(), l.Addr(), testConn, nil)
				dialled <- err
			}()
		}
		if err := <-dialled; rejection(err) != roce.RejNoResources {
			t.Errorf("one dial too many: %v, must be rejected with %q", err, roce.RejNoResources)
		}
		closeAll(t, l)
		for range 2 {
			if err := <-dialled; rejection(err) != roce.RejInvalidServiceID {
				t.Errorf("dial to a listener that closes: %v", err)
			}
		}
	})
}

// Ids are not used again before TIMEWAIT is over: until then the connection counts.
func TestTimeWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, soft.Config{MaxConns: 1}, soft.Config{})
		acceptAll(t, p, 0)
		for range 3 {
			c, err := dial(t, p)
			must(t, err)
			must(t, c.Disconnect(context.Background()))
			closeAll(t, c)
			var limit *rdma.LimitError
			if _, err := dial(t, p); !errors.As(err, &limit) {
				t.Errorf("dial during TIMEWAIT: %v, must be a LimitError", err)
			}
			time.Sleep(roce.LinuxCMTimeout(uint8(testConn.AckTimeout)))
			synctest.Wait()
		}
	})
}

// The reply goes where the request came from; the queue pair's packets go to the address that the request names.
func TestReplyAndDataAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		other := netip.MustParseAddr("10.0.0.3")
		var mu sync.Mutex
		var to []string
		p := newPair(t, soft.Config{EditCM: func(m roce.CMMessage) {
			if m, ok := m.(*roce.CMReq); ok {
				m.Primary.LocalGID = roce.GIDOf(other)
			}
		}}, soft.Config{Trace: func(r soft.Record) {
			if r.Direction == soft.Outbound {
				mu.Lock()
				defer mu.Unlock()
				to = append(to, r.Packet.OpCode().String()+" to "+r.Packet.Dst().String())
			}
		}})
		p.connect(t, testConn)
		must(t, p.server.PostSend(rdma.SendWR{Op: rdma.OpSend}))
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		want := []string{"UD SEND Only to " + addrA.String(), "RC SEND Only to " + other.String()}
		if diff := cmp.Diff(want, to); diff != "" {
			t.Error(diff)
		}
	})
}

// Every datagram of connection management has the form that peers insist on.
func TestDatagramForm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var seen []string
		transactions := make(map[roce.AttributeID]uint64)
		check := func(r soft.Record) {
			p := r.Packet
			if p.DestQP() != roce.GSIQPN || r.Direction != soft.Outbound {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			b := p.Payload()
			mad, _, err := roce.DecodeCM(p.Data())
			if err != nil || len(b) != cmPacket || p.OpCode() != roce.UDSendOnly || p.PKey() != 0xFFFF ||
				mad.BaseVersion != 1 || mad.MgmtClass != 7 || mad.ClassVersion != 2 || mad.Method != 3 ||
				!slices.Equal(b[12:20], []byte{0x80, 1, 0, 0, 0, 0, 0, 1}) || roce.CheckICRC(p.IP(), p.UDP(), b) != roce.ICRCGood {
				t.Errorf("datagram % x: %v", b, err)
			}
			seen = append(seen, mad.AttributeID.String())
			transactions[mad.AttributeID] = mad.TransactionID
		}
		p := connected(t, soft.Config{Trace: check}, soft.Config{Trace: check})
		must(t, p.client.Disconnect(context.Background()))
		mu.Lock()
		defer mu.Unlock()
		if diff := cmp.Diff([]string{"REQ", "REP", "RTU", "DREQ", "DREP"}, seen); diff != "" {
			t.Error(diff)
		}
		req, dreq := transactions[roce.AttrREQ], transactions[roce.AttrDREQ]
		if transactions[roce.AttrREP] != req || transactions[roce.AttrRTU] != req || transactions[roce.AttrDREP] != dreq || dreq == req {
			t.Errorf("transaction ids: %x", transactions)
		}
	})
}

// Datagrams that are not right are ignored, whatever they ask for.
func TestBadDatagrams(t *testing.T) {
	for name, change := range map[string]func(*soft.Packet){
		"base version":  func(p *soft.Packet) { p.Payload()[madAt] = 2 },
		"class":         func(p *soft.Packet) { p.Payload()[madAt+1] = 8 },
		"class version": func(p *soft.Packet) { p.Payload()[madAt+2] = 3 },
		"method":        func(p *soft.Packet) { p.Payload()[madAt+3] = 1 },
		"queue key":     func(p *soft.Packet) { p.Payload()[12] = 0 },
		"attribute":     func(p *soft.Packet) { p.Payload()[madAt+17] = 0x30 },
		"opcode":        func(p *soft.Packet) { p.SetOpCode(roce.RCSendOnly) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPair(t, soft.Config{CMRetries: 1}, soft.Config{})
				acceptAll(t, p, 0)
				p.a.Inject(soft.Fault{Stage: soft.Made, Match: is(roce.AttrREQ), Change: func(p *soft.Packet) {
					p.SetAckReq(true)
					change(p)
				}})
				if _, err := dial(t, p); !errors.Is(err, rdma.ErrUnreachable) {
					t.Errorf("dial: %v, must wrap ErrUnreachable", err)
				}
				if n := p.b.Stats().Sent; n != 0 {
					t.Errorf("%d packets in answer to nothing", n)
				}
			})
		})
	}
}

// A link that is closed under a device ends everything that waits on a device, as the removal of a real device does; what is left is to
// close it all.
func TestLinkLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := soft.NewHub()
		link, err := hub.Attach(addrA, 0)
		must(t, err)
		d, err := soft.Open(link, soft.Config{})
		must(t, err)
		p := &pair{hub: hub, a: d, b: openDevice(t, hub, addrB, soft.Config{})}
		p.memA, p.memB = register(t, p.a), register(t, p.b)
		p.connect(t, testConn)
		l, err := d.Listen(5)
		must(t, err)

		failures := make(chan error, 3)
		ctx := context.Background()
		go func() {
			_, err := d.Dial(ctx, netip.MustParseAddrPort("10.0.0.9:5"), testConn, nil) // nobody's address
			failures <- err
		}()
		go func() {
			_, err := l.Next(ctx)
			failures <- err
		}()
		go func() {
			var done [64]rdma.Completion
			for {
				if _, err := p.client.Poll(ctx, done[:]); err != nil {
					failures <- err
					return
				}
			}
		}()
		synctest.Wait()
		must(t, link.Close())
		for range cap(failures) {
			if err := <-failures; !errors.Is(err, rdma.ErrDeviceRemoved) {
				t.Errorf("what was waiting ended with %v", err)
			}
		}
		if _, err := d.Dial(ctx, netip.AddrPortFrom(addrB, 7777), testConn, nil); !errors.Is(err, rdma.ErrDeviceRemoved) {
			t.Errorf("Dial afterwards: %v", err)
		}
		if _, err := d.Listen(6); !errors.Is(err, rdma.ErrDeviceRemoved) {
			t.Errorf("Listen afterwards: %v", err)
		}
		closeAll(t, l, p.client, p.memA, d)
	})
}
