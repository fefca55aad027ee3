// SPDX-License-Identifier: Apache-2.0

package ibnbd_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ibnbd/ibnbd/reference/backend"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/rdma/soft"
)

// eachEnding runs a test with a silent path that is given up, and with one that is whole again before that.
func eachEnding(t *testing.T, test func(s *stale, end func(*stale))) {
	for name, end := range endings {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(newStale(t), end) })
		})
	}
}

// hush makes the first path silent. What is sent next, while nothing else is, goes over it.
func (s *stale) hush() { s.silence = s.servers[0].Inject(soft.Fault{Stage: soft.Arrived, Drop: true}) }

// heal waits until the first path is whole again, and some more.
func (s *stale) heal() {
	s.t.Helper()
	s.silence.Remove()
	s.until("the path is connected", func() bool { return s.client.Session().Paths()[0].State() == ibtrs.StateConnected })
	time.Sleep(s.timers.Detection().Limit)
}

// soon is a context that ends while nothing comes through.
func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

// TestOldWriteDoesNotReachAnotherDevice maps a device that gets the id of one that was unmapped by force with a write under way.
func TestOldWriteDoesNotReachAnotherDevice(t *testing.T) {
	eachEnding(t, func(s *stale, end func(*stale)) {
		s.hush()
		leave := beginOnMapping(s, request{ibnbd.OpWrite, older})
		synctest.Wait()
		id := s.device.ID()
		leave()
		mapped := make(chan *ibnbd.Device, 1)
		go func() { mapped <- s.mapDevice(s.client, "other", ibnbd.ReadWrite) }()
		time.Sleep(time.Second)
		end(s)
		if s.device = <-mapped; s.device.ID() != id {
			s.t.Fatalf("the other device has id %d, the old one had %d: the test sees nothing", s.device.ID(), id)
		}
		s.running.Wait()
		s.heal()
		expect(s.t.(*testing.T), s.device, 0, zero)
	})
}

// TestOpenThatWasGivenUp maps a device, with an OPEN under way that nobody waits for any more.
func TestOpenThatWasGivenUp(t *testing.T) {
	eachEnding(t, func(s *stale, end func(*stale)) {
		s.hush()
		if _, err := s.client.Map(soon(s.t), "other", ibnbd.ReadWrite, ibnbd.BlockIO); !errors.Is(err, context.DeadlineExceeded) {
			s.t.Fatalf("map over a silent path: %v", err)
		}
		mapped := make(chan *ibnbd.Device, 1)
		go func() { mapped <- s.mapDevice(s.client, "other", ibnbd.ReadWrite) }()
		time.Sleep(time.Second)
		end(s)
		s.device = <-mapped
		s.heal()
		expect(s.t.(*testing.T), s.device, 0, zero)
		if n := len(s.server.Devices()); n != 2 {
			s.t.Errorf("%d devices are open, want 2", n)
		}
	})
}

// TestOpenThatWasGivenUpIsClosed leaves nothing open on the server.
func TestOpenThatWasGivenUpIsClosed(t *testing.T) {
	eachEnding(t, func(s *stale, end func(*stale)) {
		s.hush()
		if _, err := s.client.Map(soon(s.t), "other", ibnbd.ReadWrite, ibnbd.BlockIO); !errors.Is(err, context.DeadlineExceeded) {
			s.t.Fatalf("map over a silent path: %v", err)
		}
		end(s)
		s.heal()
		if open := s.server.Devices(); len(open) != 1 || open[0].Path != "ram0" {
			s.t.Errorf("open are %v, want ram0 alone", open)
		}
	})
}

// TestCloseThatWasGivenUp maps a device again, with the CLOSE of the first mapping under way that nobody waits for any more.
func TestCloseThatWasGivenUp(t *testing.T) {
	eachEnding(t, func(s *stale, end func(*stale)) {
		s.hush()
		if err := s.device.Unmap(soon(s.t), false); !errors.Is(err, context.DeadlineExceeded) {
			s.t.Fatalf("unmap over a silent path: %v", err)
		}
		mapped := make(chan *ibnbd.Device, 1)
		go func() { mapped <- s.mapDevice(s.client, "ram0", ibnbd.ReadWrite) }()
		time.Sleep(time.Second)
		end(s)
		s.device = <-mapped
		s.heal()
		if _, err := s.device.WriteAt(newer, 0); err != nil {
			s.t.Errorf("write after an old CLOSE: %v", err)
		}
	})
}

// TestDeviceThatIsBeingMapped looks at a device whose OPEN is not answered yet, as those do who list devices.
func TestDeviceThatIsBeingMapped(t *testing.T) {
	eachEnding(t, func(s *stale, end func(*stale)) {
		s.hush()
		mapped := make(chan *ibnbd.Device, 1)
		go func() { mapped <- s.mapDevice(s.client, "other", ibnbd.ReadWrite) }()
		synctest.Wait()
		d := s.client.Devices()[1]
		if d.State() != ibnbd.DeviceInit || d.Size() != 0 || d.MaxIO() != 0 || d.BlockSize() != 0 || d.ID() != 0 || d.Traits() != (ibnbd.Traits{}) {
			s.t.Errorf("a device that is being mapped is %s with %d bytes", d.State(), d.Size())
		}
		if _, err := d.ReadAt(make([]byte, staleSize), 0); err == nil {
			s.t.Error("a device that is being mapped can be read")
		}
		end(s)
		if d != <-mapped || d.Size() != deviceSize {
			s.t.Errorf("the device has %d bytes when it is mapped", d.Size())
		}
		s.heal()
	})
}

// TestUnmapKnowsOfIOThatWasGivenUp is refused as long as a write may take effect, however long ago its application has gone.
func TestUnmapKnowsOfIOThatWasGivenUp(t *testing.T) {
	eachEnding(t, func(s *stale, end func(*stale)) {
		s.hush()
		if _, err := s.device.WriteAtContext(soon(s.t), older, 0, 0); !errors.Is(err, context.DeadlineExceeded) {
			s.t.Fatalf("write over a silent path: %v", err)
		}
		if err := s.device.Unmap(context.Background(), false); !errors.Is(err, ibtrs.EBUSY) {
			s.t.Errorf("unmap with a write under way: %v, want EBUSY", err)
		}
		end(s)
		s.heal()
		if err := s.device.Unmap(context.Background(), false); err != nil {
			s.t.Error(err)
		}
	})
}

// TestSubmitKeepsTheOrder submits what touches the blocks of a write that is stuck: it is sent when that has ended, and not at
// all if its context ends before.
func TestSubmitKeepsTheOrder(t *testing.T) {
	eachEnding(t, func(s *stale, end func(*stale)) {
		s.hush()
		type ended struct {
			what string
			err  error
		}
		all := make(chan ended, 4)
		submit := func(ctx context.Context, what string, op *ibnbd.IO) {
			op.Done = func(_ *ibnbd.IO, err error) { all <- ended{what, err} }
			if err := s.device.Submit(ctx, op); err != nil {
				s.t.Errorf("submit %s: %v", what, err)
			}
		}
		submit(context.Background(), "write", &ibnbd.IO{Op: ibnbd.OpWrite, Data: older})
		impatient := &ibnbd.IO{Op: ibnbd.OpRead, Data: make([]byte, staleSize)}
		submit(soon(s.t), "impatient read", impatient)
		submit(context.Background(), "next write", &ibnbd.IO{Op: ibnbd.OpWrite, Data: newer})
		submit(context.Background(), "elsewhere", &ibnbd.IO{Op: ibnbd.OpWrite, Data: older, Offset: staleSize})
		expectEnd := func(what string, want error) {
			s.t.Helper()
			if is := <-all; is.what != what || !errors.Is(is.err, want) || want == nil && is.err != nil {
				s.t.Errorf("%s has ended with %v, want %s with %v", is.what, is.err, what, want)
			}
		}
		expectEnd("elsewhere", nil)
		expectEnd("impatient read", context.DeadlineExceeded)
		submit(context.Background(), "read", impatient)
		end(s)
		expectEnd("write", nil)
		expectEnd("next write", nil)
		expectEnd("read", nil)
		s.heal()
		expect(s.t.(*testing.T), s.device, 0, newer)
	})
}

// TestServerReadsWaitForWrites reads blocks that the server's disk is just writing, for a client that does not wait for its own
// write: what a read shows stays, so it waits.
func TestServerReadsWaitForWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		disk := &held{Backend: l.memory(deviceSize, 512), begun: make(chan struct{}), release: make(chan struct{})}
		cfg := l.serverConfig()
		cfg.Exports = []ibnbd.Export{{Path: "slow", Backend: backend.Backend(disk)}}
		l.listen(cfg)
		ccfg := l.clientConfig("blya", 0)
		ccfg.Rules.NoOrder = true
		d := l.mapDevice(l.connect(ccfg), "slow", ibnbd.ReadWrite)
		if _, err := d.WriteAtContext(soon(t), older, 0, 0); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("write to a slow disk: %v", err)
		}
		got, read := make([]byte, staleSize), make(chan error, 1)
		go func() {
			_, err := d.ReadAt(got, 0)
			read <- err
		}()
		expect(t, d, staleSize, zero) // other blocks
		select {
		case err := <-read:
			t.Errorf("a read has overtaken a write: %v", err)
		default:
		}
		close(disk.release)
		if err := <-read; err != nil || string(got) != string(older) {
			t.Errorf("the read behind a write gives other bytes, and %v", err)
		}
	})
}
