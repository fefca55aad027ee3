// SPDX-License-Identifier: Apache-2.0

package ibnbd_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

func waitDevice(t *testing.T, d *ibnbd.Device, want ibnbd.DeviceState, within time.Duration) {
	t.Helper()
	for start := time.Now(); d.State() != want; time.Sleep(10 * time.Millisecond) {
		if time.Since(start) > within {
			t.Fatalf("device %q is %s after %s, want %s", d.Path(), d.State(), within, want)
		}
	}
}

// TestDevicesReturnAfterAServerRestart replaces the server by one that has the devices in another order, one of them
// larger and one not at all (Clauses IBNBD-FAIL-001 to IBNBD-FAIL-004).
func TestDevicesReturnAfterAServerRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		cfg := l.serverConfig()
		cfg.Exports = []ibnbd.Export{
			{Path: "a", Backend: l.memory(deviceSize, 512)}, {Path: "b", Backend: l.memory(deviceSize, 512)},
			{Path: "c", Backend: l.memory(deviceSize, 512)},
		}
		first, err := ibnbd.Listen(cfg)
		if err != nil {
			t.Fatal(err)
		}
		ccfg := l.clientConfig("blya", 0, 1)
		c := l.connect(ccfg)
		a, b, gone := l.mapDevice(c, "a", ibnbd.ReadWrite), l.mapDevice(c, "b", ibnbd.ReadWrite), l.mapDevice(c, "c", ibnbd.ReadWrite)
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
		waitDevice(t, a, ibnbd.DeviceClosed, time.Second)
		if _, err := a.WriteAt(make([]byte, 512), 0); !errors.Is(err, ibtrs.EIO) {
			t.Errorf("write to a closed device: %v, want EIO", err)
		}
		if err := c.Devices()[0].Remap(context.Background()); !errors.Is(err, ibtrs.ECONNABORTED) {
			t.Errorf("remap without a session: %v, want ECONNABORTED", err)
		}

		cfg.Exports = []ibnbd.Export{{Path: "b", Backend: l.memory(2*deviceSize, 512)}, {Path: "a", Backend: l.memory(deviceSize, 512)}}
		l.listen(cfg)
		limit := ccfg.Transport.Timers.Reconnect(2).Limit
		waitDevice(t, a, ibnbd.DeviceOpen, limit)
		waitDevice(t, b, ibnbd.DeviceOpen, time.Second)
		if b.Size() != 2*deviceSize {
			t.Errorf("size of b is %d after the restart, want %d", b.Size(), 2*deviceSize)
		}
		for i, d := range []*ibnbd.Device{a, b} {
			want := pattern(i, 512)
			if _, err := d.WriteAt(want, 0); err != nil {
				t.Fatal(err)
			}
			expect(t, d, 0, want)
		}
		if gone.State() != ibnbd.DeviceClosed {
			t.Errorf("a device that the server does not have is %s, want closed", gone.State())
		}
		if err := gone.Remap(context.Background()); !errors.Is(err, ibtrs.ENOENT) {
			t.Errorf("remap of a device that the server does not have: %v, want ENOENT", err)
		}
		if err := a.Remap(context.Background()); !errors.Is(err, ibtrs.EALREADY) {
			t.Errorf("remap of an open device: %v, want EALREADY", err)
		}
		if err := gone.Unmap(context.Background(), false); err != nil {
			t.Errorf("unmap of a closed device: %v", err)
		}
	})
}

// forgetSession has the server lose both paths of a client, which notices the loss of the first one alone: the other one is
// silent, and its end is not told.
func (l *lab) forgetSession(s *ibnbd.Server) {
	l.hub.SetDown(clientAddr(1), true)
	l.t.Cleanup(func() { l.hub.SetDown(clientAddr(1), false) })
	for _, p := range s.Transport().Sessions()[0].Paths() {
		p.Disconnect()
	}
}

// quickReconnect makes attempts quick enough to come before a silent path is noticed.
func quickReconnect(cfg *ibnbd.ClientConfig) {
	timers := &cfg.Transport.Timers
	timers.ReconnectDelay, timers.ReconnectSettle, timers.ReconnectSpread = time.Second, 0, 0
}

// TestNoPathReturnsToAForgottenSession: beside a path that is silent, and connected as far as the client knows, the server must
// refuse the other one, since the ids that the client has mean nothing to it any more. Both return when the silent one is lost.
func TestNoPathReturnsToAForgottenSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		s := l.listen(l.serverConfig())
		ccfg := l.clientConfig("blya", 0, 1)
		quickReconnect(&ccfg)
		c := l.connect(ccfg)
		d := l.mapDevice(c, "ram0", ibnbd.ReadWrite)
		l.forgetSession(s)
		first, silent := c.Session().Paths()[0], c.Session().Paths()[1]
		for silent.State() == ibtrs.StateConnected {
			if first.Stats().Reconnected > 0 {
				t.Fatal("a path has returned while the other one was silent")
			}
			time.Sleep(10 * time.Millisecond)
		}
		if first.Stats().ReconnectsFailed == 0 {
			t.Fatal("no attempt was made while the other path was silent")
		}
		waitDevice(t, d, ibnbd.DeviceClosed, time.Second)
		waitDevice(t, d, ibnbd.DeviceOpen, ccfg.Transport.Timers.Reconnect(2).Limit)
		want := pattern(1, 512)
		if _, err := d.WriteAt(want, 0); err != nil {
			t.Fatal(err)
		}
		expect(t, d, 0, want)
	})
}

// TestDevicesReturnAfterAnOriginalServerForgetsTheSession: such a server does not know the first-connection flag, and makes a new
// session for the path that returns. That it does not know the device tells the client.
func TestDevicesReturnAfterAnOriginalServerForgetsTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		scfg := l.serverConfig()
		scfg.Transport.LegacyClients = true
		s := l.listen(scfg)
		ccfg := l.clientConfig("blya", 0, 1)
		ccfg.Rules.NoSessInfo = true // so that the server is not taken for one that knows the flag
		quickReconnect(&ccfg)
		c := l.connect(ccfg)
		d := l.mapDevice(c, "ram0", ibnbd.ReadWrite)
		epoch := c.Session().Epoch()
		l.forgetSession(s)
		first, silent := c.Session().Paths()[0], c.Session().Paths()[1]
		for first.State() != ibtrs.StateConnected || first.Stats().Reconnected == 0 {
			if silent.State() != ibtrs.StateConnected || c.Session().Epoch() != epoch {
				t.Fatal("the client has noticed the loss of the silent path too early for this test")
			}
			time.Sleep(10 * time.Millisecond)
		}
		for i, want := range []error{ibtrs.ENOTCONN, nil} {
			data := pattern(i, 512)
			for start := time.Now(); ; time.Sleep(10 * time.Millisecond) {
				_, err := d.WriteAt(data, 0)
				if errors.Is(err, want) || want == nil && err == nil {
					break
				}
				if time.Since(start) > ccfg.Transport.Timers.Reconnect(2).Limit {
					t.Fatalf("write: %v, want %v", err, want)
				}
			}
		}
		expect(t, d, 0, pattern(1, 512))
	})
}

// TestForceCloseAfterAReconnect: a device that the server took away costs no path, and no other device anything.
func TestForceCloseAfterAReconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		scfg := l.serverConfig()
		scfg.Exports = append(scfg.Exports, ibnbd.Export{Path: "ram1", Backend: l.memory(deviceSize, 512)})
		s := l.listen(scfg)
		ccfg := l.clientConfig("blya", 0, 1)
		c := l.connect(ccfg)
		taken, other := l.mapDevice(c, "ram0", ibnbd.ReadWrite), l.mapDevice(c, "ram1", ibnbd.ReadWrite)
		path := c.Session().Paths()[0]
		if err := path.Disconnect(context.Background()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second) // the server has let it go
		if err := path.Reconnect(context.Background()); err != nil {
			t.Fatal(err)
		}
		epoch, connects := c.Session().Epoch(), c.Session().Connects()
		if err := s.ForceClose("blya", taken.ID()); err != nil {
			t.Fatal(err)
		}
		if _, err := taken.WriteAt(make([]byte, 512), 0); !errors.Is(err, ibtrs.ENOTCONN) {
			t.Errorf("write after a forced close: %v, want ENOTCONN", err)
		}
		time.Sleep(ccfg.Transport.Timers.Reconnect(2).Limit)
		if c.Session().Epoch() != epoch || c.Session().Connects() != connects {
			t.Error("a path was given up, although the session is known to the server")
		}
		want := pattern(1, 512)
		if _, err := other.WriteAt(want, 0); err != nil {
			t.Fatal(err)
		}
		expect(t, other, 0, want)
	})
}

// TestForceClose takes a device away on the server (Clause IBNBD-SYSFS-034).
func TestForceClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		s := l.listen(l.serverConfig())
		c := l.connect(l.clientConfig("blya", 0))
		d := l.mapDevice(c, "ram0", ibnbd.ReadWrite)
		if err := s.ForceClose("blya", d.ID()); err != nil {
			t.Fatal(err)
		}
		if _, err := d.WriteAt(make([]byte, 512), 0); !errors.Is(err, ibtrs.EIO) || !errors.Is(err, ibtrs.ENOTCONN) {
			t.Errorf("write after a forced close: %v, want EIO because of ENOTCONN", err)
		}
		if d.State() != ibnbd.DeviceOpen {
			t.Errorf("the client's device is %s, want open", d.State())
		}
		other := l.connect(l.clientConfig("other", 1))
		l.mapDevice(other, "ram0", ibnbd.ReadWrite) // the writer's place is free again
		if n := len(s.Devices()); n != 1 {
			t.Errorf("%d devices are open, want 1", n)
		}
	})
}

// TestCrashedClientReleasesItsDevice lets a client vanish (Clauses IBNBD-FAIL-007, IBNBD-FAIL-008).
func TestCrashedClientReleasesItsDevice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		cfg := l.serverConfig()
		s := l.listen(cfg)
		l.mapDevice(l.connect(l.clientConfig("blya", 0)), "ram0", ibnbd.ReadWrite)
		l.hub.SetDown(clientAddr(0), true)
		defer l.hub.SetDown(clientAddr(0), false)
		same := l.clientConfig("blya", 1)
		if _, err := ibnbd.Connect(context.Background(), same); !errors.Is(err, ibtrs.ECONNRESET) {
			t.Errorf("session of the same name: %v, want ECONNRESET while the server has not noticed", err)
		}
		time.Sleep(cfg.Transport.Timers.Detection().Limit + time.Second)
		if n := len(s.Transport().Sessions()); n != 0 {
			t.Fatalf("%d sessions are left after the client was found dead", n)
		}
		l.mapDevice(l.connect(same), "ram0", ibnbd.ReadWrite)
	})
}
