// SPDX-License-Identifier: Apache-2.0

package ibtrs_test

import (
	"context"
	"testing"
	"time"

	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/rdma"
)

// patience is how long a fuzzed request may stay without an answer before the fuzzer goes on.
const patience = 50 * time.Millisecond

// fuzzTimers let a fuzzed path come to an end soon.
var fuzzTimers = ibtrs.Timers{
	HeartbeatInterval: time.Second, HeartbeatMisses: 3, Connect: time.Second, Info: patience, HalfOpen: time.Second,
	ReconnectDelay: time.Hour,
}

// overlay puts fuzzed bytes over a message.
func overlay(message, fuzz []byte) {
	for i := range min(len(message), len(fuzz)) {
		message[i] ^= fuzz[i]
	}
}

// FuzzServer sends a server a connection request, an INFO request and requests into which a fuzzer has put its bytes: it
// must not panic, and go on serving a client that conforms.
func FuzzServer(f *testing.F) {
	f.Add([]byte{}, []byte{}, []byte{}, uint32(0))
	f.Add([]byte{0, 0, 1}, []byte{1}, []byte{0, 0, 0, 0, 0, 0, 0, 0, 1}, uint32(0x00080000))
	l := newLab(f)
	for _, refresh := range []bool{false, true} {
		cfg := l.serverConfig()
		cfg.KeyRefresh, cfg.Timers = refresh, fuzzTimers
		cfg.Devices = cfg.Devices[:1]
		if refresh {
			cfg.Port++
		}
		l.listen(cfg)
	}
	conforming := l.connect(l.clientConfig(1))
	f.Fuzz(func(t *testing.T, conn, info, message []byte, imm uint32) {
		for port := range uint16(2) {
			cfg := l.clientConfig(1)
			cfg.Name, cfg.Timers, cfg.Connections = "fuzz", fuzzTimers, 2
			cfg.Paths[0].Server = l.serverPort(port)
			cfg.Rules.EditConnRequest = func(_ *ibtrs.Path, _ int, r *ibtrs.ConnRequest) {
				b, _ := r.AppendBinary(nil)
				overlay(b, conn)
				*r, _ = ibtrs.ParseConnRequest(b)
			}
			cfg.Rules.EditInfoRequest = func(_ *ibtrs.Path, b []byte) { overlay(b, info) }
			cfg.Rules.EditRequest = func(_ *ibtrs.Path, _ uint32, wr *rdma.SendWR, b []byte) {
				overlay(b, message)
				wr.Imm ^= imm
			}
			s, err := ibtrs.Open(context.Background(), cfg)
			if err != nil {
				continue
			}
			for _, d := range []ibtrs.Direction{ibtrs.Read, ibtrs.Write} {
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				s.Do(ctx, &ibtrs.Request{Direction: d, Header: header(1), Data: make([]byte, 512)})
				cancel()
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
		if err := put(conforming, 1, pattern(1, 512)); err != nil {
			t.Fatalf("a conforming client suffers: %v", err)
		}
	})
}

// FuzzClient gives a client accepts, INFO responses and responses into which a fuzzer has put its bytes: it must not
// panic, and not touch what it was not asked to.
func FuzzClient(f *testing.F) {
	f.Add([]byte{}, []byte{}, []byte{}, uint32(0), false)
	f.Add([]byte{}, []byte{}, []byte{1}, uint32(0x00080000), true)
	l := newLab(f)
	f.Fuzz(func(t *testing.T, conn, info, message []byte, imm uint32, refresh bool) {
		scfg := l.serverConfig()
		scfg.KeyRefresh, scfg.Timers = refresh, fuzzTimers
		scfg.Devices = scfg.Devices[:1]
		scfg.Rules.EditConnResponse = func(_ int, r *ibtrs.ConnResponse) {
			b, _ := r.AppendBinary(nil)
			overlay(b, conn)
			*r, _ = ibtrs.ParseConnResponse(b)
			r.QueueDepth %= 1024 // what a server may ask for is no news, and costs time
		}
		scfg.Rules.EditInfoResponse = func(_ *ibtrs.ServerPath, b []byte) []byte { overlay(b, info); return b }
		scfg.Rules.EditResponse = func(_ *ibtrs.ServerPath, _ uint32, wr *rdma.SendWR) {
			if len(wr.Local) > 0 {
				overlay(wr.Local[0].Region.Bytes()[wr.Local[0].Offset:][:wr.Local[0].Length], message)
			}
			wr.Imm ^= imm
		}
		server, err := ibtrs.Listen(scfg)
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		cfg := l.clientConfig(1)
		cfg.Timers, cfg.Connections = fuzzTimers, 2
		s, err := ibtrs.Open(context.Background(), cfg)
		if err != nil {
			return
		}
		defer s.Close()
		buffer := make([]byte, 1536)
		for _, d := range []ibtrs.Direction{ibtrs.Write, ibtrs.Read} {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			s.Do(ctx, &ibtrs.Request{Direction: d, Header: header(1), Data: buffer[512:1024]})
			cancel()
		}
		for i, b := range buffer {
			if (i < 512 || i >= 1024) && b != 0 {
				t.Fatalf("byte %d outside the data of the request was changed", i)
			}
		}
	})
}
