// SPDX-License-Identifier: Apache-2.0

package ibtrs_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/rdma"
)

func TestClientRefusesAccepts(t *testing.T) {
	type response = ibtrs.ConnResponse
	for _, tc := range []struct {
		clause string
		edit   func(cid int, r *response)
	}{
		{"IBTRS-CONN-037", func(_ int, r *response) { r.Magic++ }},
		{"IBTRS-CONN-037", func(_ int, r *response) { r.Version = 0x0300 }},
		{"IBTRS-CONN-037", func(_ int, r *response) { r.Errno = -5 }},
		{"IBTRS-CONN-037", func(cid int, r *response) { r.Errno = -int16(cid) }},
		{"IBTRS-CONN-038", func(_ int, r *response) { r.QueueDepth = 0 }},
		{"IBTRS-CONN-051", func(_ int, r *response) { r.MaxHeaderSize = 256 }},
		{"IBTRS-CONN-051", func(_ int, r *response) { r.MaxIOSize++ }},
		{"IBTRS-CONN-051", func(_ int, r *response) { r.MaxIOSize = 1<<32 - 4096 }},
	} {
		synctest.Test(t, func(t *testing.T) {
			l := newLab(t)
			scfg := l.serverConfig()
			scfg.Rules.EditConnResponse = tc.edit
			l.listen(scfg)
			_, err := ibtrs.Open(context.Background(), l.clientConfig(1))
			expectBreach(t, err, tc.clause)
		})
	}
}

func expectBreach(t *testing.T, err error, clause string) {
	t.Helper()
	var breach *ibtrs.ProtocolError
	if !errors.As(err, &breach) || breach.Clause != clause || !errors.Is(err, ibtrs.ECONNRESET) {
		t.Errorf("got %v, want a breach of clause %s that is ECONNRESET", err, clause)
	}
}

func TestClientRefusesInfoResponses(t *testing.T) {
	for _, tc := range []struct {
		name, clause string
		edit         func(b []byte) []byte
	}{
		{"type", "IBTRS-INFO-004", func(b []byte) []byte { b[0] = 0; return b }},
		{"short", "IBTRS-INFO-004", func(b []byte) []byte { return b[:7] }},
		{"no regions", "IBTRS-INFO-004", func(b []byte) []byte { b[2] = 0; return b }},
		{"more regions than there are", "IBTRS-INFO-004", func(b []byte) []byte { b[2] = 2; return b }},
		{"length", "IBTRS-INFO-017", func(b []byte) []byte { b[20]++; return b }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				scfg := l.serverConfig()
				scfg.KeyRefresh = false
				scfg.Rules.EditInfoResponse = func(_ *ibtrs.ServerPath, b []byte) []byte { return tc.edit(b) }
				l.listen(scfg)
				_, err := ibtrs.Open(context.Background(), l.clientConfig(1))
				expectBreach(t, err, tc.clause)
			})
		})
	}
}

// TestClientJudgesResponses spoils the first response of a server. The request ends in the given way, and the client
// recovers.
func TestClientJudgesResponses(t *testing.T) {
	for _, tc := range []struct {
		name    string
		refresh bool
		edit    func(p *ibtrs.ServerPath, wr *rdma.SendWR)
		vanish  bool // the response is ignored: the request ends only with its path
	}{
		{"IBTRS-IMM-009 id beyond the depth", false, func(_ *ibtrs.ServerPath, wr *rdma.SendWR) { wr.Imm = 0x10000000 | 400000 }, true},
		{"IBTRS-IMM-010 id without request", false, func(_ *ibtrs.ServerPath, wr *rdma.SendWR) { wr.Imm = 0x10000000 | 7 }, true},
		{"IBTRS-IMM-008 unknown immediate", false, func(_ *ibtrs.ServerPath, wr *rdma.SendWR) { wr.Imm = 0x50000000 }, true},
		{"IBTRS-INV-010 other chunk", true, func(_ *ibtrs.ServerPath, wr *rdma.SendWR) { wr.Local[0].Region.Bytes()[2]++ }, false},
		{"IBTRS-INV-009 other type", true, func(_ *ibtrs.ServerPath, wr *rdma.SendWR) { wr.Local[0].Region.Bytes()[0]++ }, false},
		{"IBTRS-INV-008 short", true, func(_ *ibtrs.ServerPath, wr *rdma.SendWR) { wr.Local[0].Length = 7 }, false},
		{"IBTRS-INV-013 RDMA write", true, func(_ *ibtrs.ServerPath, wr *rdma.SendWR) { wr.Op, wr.Local = rdma.OpWriteImm, nil }, false},
		{"IBTRS-INV-014 SEND", false, func(_ *ibtrs.ServerPath, wr *rdma.SendWR) { wr.Op = rdma.OpSendImm }, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				scfg := l.serverConfig()
				scfg.KeyRefresh = tc.refresh
				spoilt := false
				scfg.Rules.EditResponse = func(p *ibtrs.ServerPath, _ uint32, wr *rdma.SendWR) {
					if !spoilt {
						spoilt = true
						tc.edit(p, wr)
					}
				}
				l.listen(scfg)
				s := l.connect(l.clientConfig(1))
				ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
				defer cancel()
				err := s.Do(ctx, &ibtrs.Request{Direction: ibtrs.Write, Header: header(1), Data: pattern(1, 512)})
				want := ibtrs.ErrnoOf(ibtrs.ECONNABORTED)
				if tc.vanish {
					if !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("request ended with %v, want it to wait for ever", err)
					}
				} else if ibtrs.ErrnoOf(err) != want {
					t.Errorf("request ended with %v, want %s", err, want)
				}
				waitState(t, s.Paths()[0], ibtrs.StateConnected, 2*time.Minute)
				l.putGet(s, 2, 512)
			})
		})
	}
}
