// SPDX-License-Identifier: Apache-2.0

package ibtrs_test

import (
	"context"
	"encoding/binary"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/rdma"
)

// ask dials the server with a connection request of our own making. It gives the errno of the reject, 0 when accepted.
func (l *lab) ask(rail int, change func(*ibtrs.ConnRequest)) ibtrs.Errno {
	l.t.Helper()
	r := ibtrs.ConnRequest{
		Magic: ibtrs.Magic, Version: ibtrs.Version, ConnectionCount: 2, Incarnation: 1, FirstConnection: ibtrs.FirstConnection,
		PathUUID: ibtrs.UUID{1}, GroupUUID: ibtrs.UUID{2},
	}
	change(&r)
	data, _ := r.AppendBinary(nil)
	cfg := rdma.ConnConfig{SendQueue: 4, RecvQueue: 4, RetryCount: 7, RNRRetryCount: 7}
	conn, err := l.clients[rail].Dial(context.Background(), l.path(rail).Server, cfg, data)
	var reject *rdma.RejectError
	switch {
	case err == nil:
		l.t.Cleanup(func() { conn.Close() })
		return 0
	case !errors.As(err, &reject):
		l.t.Fatal(err)
	}
	response, err := ibtrs.ParseConnResponse(reject.PrivateData)
	if err != nil || reject.Reason != rdma.ReasonConsumer {
		l.t.Fatalf("reject with reason %d, %v", reject.Reason, err)
	}
	return response.Rejection()
}

func TestServerRefusesConnections(t *testing.T) {
	type request = ibtrs.ConnRequest
	for _, tc := range []struct {
		name   string
		before []func(*request) // asked first, and accepted
		last   func(*request)
		rail   int
		want   ibtrs.Errno
	}{
		{"IBTRS-CONN-021 magic", nil, func(r *request) { r.Magic++ }, 0, ibtrs.ECONNRESET},
		{"IBTRS-CONN-022 major version", nil, func(r *request) { r.Version = 0x0300 }, 0, ibtrs.ECONNRESET},
		{"IBTRS-CONN-023 minor version", nil, func(r *request) { r.Version = 0x0207 }, 0, 0},
		{"IBTRS-CONN-024 count", nil, func(r *request) { r.ConnectionCount = 4097 }, 0, ibtrs.ECONNRESET},
		{"IBTRS-CONN-025 cid", nil, func(r *request) { r.CID = 2 }, 0, ibtrs.ECONNRESET},
		{"IBTRS-CONN-026 count 0", nil, func(r *request) { r.ConnectionCount = 0 }, 0, ibtrs.ECONNRESET},
		{"IBTRS-CONN-027 unknown group", nil, func(r *request) { r.FirstConnection = 0 }, 0, ibtrs.ENXIO},
		{"IBTRS-CONN-028 known group with flag", []func(*request){nop}, func(r *request) { r.CID = 1 }, 0, 0},
		{"IBTRS-CONN-029 cid again", []func(*request){nop}, nop, 0, ibtrs.ECONNRESET},
		{"IBTRS-CONN-030 other count", []func(*request){nop}, func(r *request) { r.CID, r.ConnectionCount = 1, 3 }, 0, ibtrs.ECONNRESET},
		{"IBTRS-CONN-032 other incarnation", []func(*request){nop}, func(r *request) { r.CID, r.Incarnation = 1, 2 }, 0, ibtrs.EBUSY},
		{"IBTRS-CONN-033 same addresses", []func(*request){nop}, func(r *request) { r.PathUUID[0] = 9 }, 0, ibtrs.EEXIST},
		{"IBTRS-CONN-053 other addresses", []func(*request){nop}, func(r *request) { r.PathUUID[0] = 9 }, 1, 0},
		{"IBTRS-CONN-036 cid 1 first", []func(*request){func(r *request) { r.CID = 1 }}, nop, 0, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				l.listen(l.serverConfig())
				for _, f := range tc.before {
					if errno := l.ask(0, f); errno != 0 {
						t.Fatalf("the request before was refused with %s", errno)
					}
				}
				if errno := l.ask(tc.rail, tc.last); errno != tc.want {
					t.Errorf("answered %s, want %s", errno, tc.want)
				}
				l.putGet(l.connect(l.clientConfig(1)), 1, 4096) // it still serves others
			})
		})
	}
}

func nop(*ibtrs.ConnRequest) {}

func TestServerBoundsHalfOpenPaths(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		cfg := l.serverConfig()
		cfg.MaxHalfOpen = 3
		s := l.listen(cfg)
		for i := range 5 {
			want := ibtrs.Errno(0)
			if i >= cfg.MaxHalfOpen {
				want = ibtrs.ENOMEM
			}
			if errno := l.ask(0, func(r *ibtrs.ConnRequest) { r.GroupUUID[1], r.PathUUID[1] = byte(i), byte(i) }); errno != want {
				t.Errorf("half-open path %d: %s, want %s", i, errno, want)
			}
		}
		time.Sleep(cfg.Timers.HalfOpen + time.Second) // Clause IBTRS-CONN-050
		synctest.Wait()
		if memory, halfOpen := s.Memory(); memory != 0 || halfOpen != 0 || len(s.Sessions()) != 0 {
			t.Errorf("%d bytes and %d half-open paths of %d sessions are left after their time", memory, halfOpen, len(s.Sessions()))
		}
		l.putGet(l.connect(l.clientConfig(1)), 1, 512)
	})
}

func TestServerBoundsConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		cfg := l.serverConfig()
		cfg.MaxConnections = 5
		l.listen(cfg)
		for cid := range uint16(7) {
			want := ibtrs.Errno(0)
			if int(cid) >= cfg.MaxConnections {
				want = ibtrs.ENOMEM
			}
			if errno := l.ask(0, func(r *ibtrs.ConnRequest) { r.CID, r.ConnectionCount = cid, 4096 }); errno != want {
				t.Errorf("connection %d: %s, want %s", cid, errno, want)
			}
		}
		time.Sleep(cfg.Timers.HalfOpen + time.Second)
		l.putGet(l.connect(l.clientConfig(1)), 1, 512)
	})
}

// outcome is what becomes of a request against the protocol.
type outcome int

const (
	served outcome = iota
	answeredEINVAL
	pathClosed
)

func TestServerJudgesRequests(t *testing.T) {
	g := smallGeometry
	le := binary.LittleEndian
	atMessage := func(b []byte, header int) []byte { return b[header:] }
	for _, tc := range []struct {
		name string
		edit func(wr *rdma.SendWR, msg []byte) // msg is user header (8 bytes) and transport message
		want outcome
	}{
		{"conforming", func(*rdma.SendWR, []byte) {}, served},
		{"IBTRS-IMM-006 chunk", func(wr *rdma.SendWR, _ []byte) { wr.Imm = uint32(g.QueueDepth)<<g.Shift() | 520 }, pathClosed},
		{"IBTRS-IMM-007 offset", func(wr *rdma.SendWR, _ []byte) { wr.Imm = g.ChunkSize() }, pathClosed},
		{"IBTRS-IO-021 type", func(_ *rdma.SendWR, b []byte) { le.PutUint16(atMessage(b, 8), 7) }, pathClosed},
		{"IBTRS-IO-022 header length", func(_ *rdma.SendWR, b []byte) { le.PutUint16(atMessage(b, 8)[2:], 521) }, answeredEINVAL},
		{"IBTRS-IO-023 two descriptors", func(_ *rdma.SendWR, b []byte) { le.PutUint16(atMessage(b, 8)[6:], 2) }, answeredEINVAL},
		{"IBTRS-IO-024 long descriptor", func(_ *rdma.SendWR, b []byte) { le.PutUint32(atMessage(b, 8)[20:], 513) }, answeredEINVAL},
		{"IBTRS-IO-025 empty descriptor", func(_ *rdma.SendWR, b []byte) { le.PutUint32(atMessage(b, 8)[20:], 0) }, pathClosed},
		{"IBTRS-IO-025 huge descriptor", func(_ *rdma.SendWR, b []byte) { le.PutUint32(atMessage(b, 8)[20:], 1<<31) }, pathClosed},
		{"IBTRS-IO-026 crossing the end", func(wr *rdma.SendWR, _ []byte) { wr.Imm = g.ChunkSize() - 2 }, pathClosed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			keyModes(t, func(t *testing.T, refresh bool) {
				l := newLab(t)
				scfg := l.serverConfig()
				scfg.KeyRefresh = refresh
				l.listen(scfg)
				cfg := l.clientConfig(1)
				armed := false
				cfg.Rules.EditRequest = func(_ *ibtrs.Path, _ uint32, wr *rdma.SendWR, msg []byte) {
					if armed {
						tc.edit(wr, msg)
					}
				}
				s := l.connect(cfg)
				if err := put(s, 1, pattern(1, 512)); err != nil {
					t.Fatal(err)
				}
				armed = true
				_, err := get(s, 1, 512)
				armed = false
				if got := judge(err); got != tc.want {
					t.Errorf("ended with %v", err)
				}
				other := l.clientConfig(1) // it still serves others
				other.Name, other.Paths[0] = "other", l.path(1)
				l.putGet(l.connect(other), 2, 4096)
			})
		})
	}
}

func judge(err error) outcome {
	switch {
	case err == nil:
		return served
	case errors.Is(err, ibtrs.EINVAL):
		return answeredEINVAL
	case errors.Is(err, ibtrs.ECONNABORTED):
		return pathClosed
	}
	return -1
}

func TestServerRefusesSessionNames(t *testing.T) {
	for _, tc := range []struct {
		name string
		edit func(message []byte)
	}{
		{"IBTRS-INFO-009 type", func(b []byte) { b[0] = 1 }},
		{"IBTRS-INFO-011 slash", func(b []byte) { b[3] = '/' }},
		{"IBTRS-INFO-011 dot", func(b []byte) { b[3] = '.' }},
		{"IBTRS-INFO-012 of another session", func(b []byte) { copy(b[2:], "taken\x00") }},
		{"IBTRS-INFO-014 empty", func(b []byte) { b[2] = 0 }},
		{"IBTRS-INFO-014 without end", func(b []byte) {
			for i := range 255 {
				b[2+i] = 'x'
			}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				l.listen(l.serverConfig())
				taken := l.clientConfig(1)
				taken.Name, taken.Paths[0] = "taken", l.path(1)
				l.connect(taken)
				cfg := l.clientConfig(1)
				cfg.Rules.EditInfoRequest = func(_ *ibtrs.Path, b []byte) { tc.edit(b) }
				if _, err := ibtrs.Open(context.Background(), cfg); !errors.Is(err, ibtrs.ECONNRESET) {
					t.Errorf("open: %v, want ECONNRESET", err)
				}
			})
		})
	}
}

// TestNewerIncarnationEndsTheOlder lets a client come back before the server has noticed that it was gone: the first
// attempt is refused, and makes the server close what is left of the path, so that a later one succeeds at once.
func TestNewerIncarnationEndsTheOlder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		server := l.listen(l.serverConfig())
		cfg := l.clientConfig(1)
		cfg.Timers.Teardown, cfg.Timers.ReconnectDelay, cfg.Timers.ReconnectSpread = time.Second, time.Second, 0
		s := l.connect(cfg)
		l.cut(0, true)
		put(s, 1, pattern(1, 512)) // finds the loss at once, which the idle server does not
		l.cut(0, false)
		took := waitState(t, s.Paths()[0], ibtrs.StateConnected, time.Minute)
		if took > 10*time.Second {
			t.Errorf("reconnected after %s, the server needs %s to notice by itself", took, cfg.Timers.Detection().Limit)
		}
		if n := len(server.Sessions()[0].Paths()); n != 1 {
			t.Errorf("the server has %d paths", n)
		}
		l.putGet(s, 2, 512)
	})
}
