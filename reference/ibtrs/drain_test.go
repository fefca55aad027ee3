// SPDX-License-Identifier: Apache-2.0

package ibtrs_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/rdma/soft"
	"github.com/ibnbd/ibnbd/reference/roce"
)

// TestDrain ends a server in good order while it has one request, and gets another: the first is answered, although the
// answer is lost on its way at first; the second is not begun, and fails with the path.
func TestDrain(t *testing.T) {
	for _, refresh := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			l := newLab(t)
			held := make(chan func(), 2)
			l.store.hold = func(_ *ibtrs.ServerRequest, execute func()) { held <- execute }
			cfg := l.serverConfig()
			cfg.KeyRefresh = refresh
			s := l.listen(cfg)
			c := l.connect(l.clientConfig(1))

			begun, late := make(chan error, 1), make(chan error, 1)
			go func() { begun <- put(c, 1, []byte("in time")) }()
			execute := <-held
			drained := make(chan error, 1)
			go func() { drained <- s.Drain(context.Background()) }()
			synctest.Wait()
			go func() { late <- put(c, 2, []byte("too late")) }()
			synctest.Wait()
			expectWaiting(t, "Drain before the request is answered", drained)

			answer := l.servers[0].Inject(soft.Fault{Name: "answer", Stage: soft.Sealed, Drop: true, Match: func(p *soft.Packet) bool {
				return p.DestQP() != roce.GSIQPN && p.OpCode().IsRequest()
			}})
			execute()
			synctest.Wait()
			if answer.Hits() == 0 {
				t.Error("no answer was sent")
			}
			expectWaiting(t, "Drain before the answer has arrived", drained)
			answer.Remove()
			if err := <-begun; err != nil {
				t.Errorf("the request that was begun: %v", err)
			}
			if err := <-drained; err != nil {
				t.Errorf("Drain: %v", err)
			}
			if err := s.Drain(context.Background()); err != nil {
				t.Errorf("a second Drain: %v", err)
			}
			expectWaiting(t, "the request that came too late", late)
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			if err := <-late; err == nil {
				t.Error("the request that came too late succeeds")
			}
			if len(held) > 0 || l.store.executed != 1 {
				t.Errorf("%d requests were executed, %d more begun", l.store.executed, len(held))
			}
		})
	}
}

func expectWaiting(t *testing.T, what string, done <-chan error) {
	t.Helper()
	select {
	case err := <-done:
		t.Errorf("%s has ended: %v", what, err)
	default:
	}
}

// TestDrainEnds gives up a server whose block layer does not end a request.
func TestDrainEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		held := make(chan func(), 1)
		l.store.hold = func(_ *ibtrs.ServerRequest, execute func()) { held <- execute }
		s := l.listen(l.serverConfig())
		c := l.connect(l.clientConfig(1))
		ended := make(chan error, 1)
		go func() { ended <- put(c, 1, []byte("for ever")) }()
		execute := <-held
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := s.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Drain: %v, must end with its context", err)
		}
		execute()
		if err := <-ended; err != nil {
			t.Errorf("the request: %v", err)
		}
	})
}
