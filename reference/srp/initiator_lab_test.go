// SPDX-License-Identifier: Apache-2.0

package srp_test

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/ibnbd/ibnbd/reference/srp"
)

// portConfig is for the target of a lab. Retries of queue pairs are quick.
func (l *lab) portConfig() srp.PortConfig {
	cfg := srp.DefaultPortConfig()
	cfg.Device = l.initiator
	ext, guid := targetPort.Split(srp.IOClassRev16a)
	cfg.Login = srp.LoginString{
		IDExt: ext, IOCGUID: guid, IOClass: srp.IOClassRev16a, Dest: netip.AddrPortFrom(targetAddr, srp.DefaultTargetPort),
		QueueSize: srp.DefaultQueueSize, CmdSGEntries: srp.DefaultCmdSGEntries, SGTableSize: srp.DefaultCmdSGEntries, TLRetryCount: 2,
	}
	cfg.AckTimeout = 14
	return cfg
}

// system makes an initiator that is closed at the end.
func (l *lab) system(cfg srp.InitiatorConfig) *srp.Initiator {
	l.t.Helper()
	cfg.Log = testLog()
	i := srp.NewInitiator(cfg)
	l.t.Cleanup(func() {
		if err := i.Close(); err != nil {
			l.t.Error(err)
		}
	})
	return i
}

// login logs in to the target of the lab.
func (l *lab) login(cfg srp.PortConfig) *srp.RemotePort {
	l.t.Helper()
	p, err := l.system(srp.DefaultInitiatorConfig()).Add(context.Background(), cfg)
	if err != nil {
		l.t.Fatal(err)
	}
	return p
}

// disk0 is the disk of the lab.
func disk0(t testing.TB, p *srp.RemotePort) *srp.Disk {
	t.Helper()
	disks := p.Disks()
	if len(disks) == 0 {
		t.Fatal("no disk was found")
	}
	return disks[0]
}

func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// held adds a disk under number 1 whose calls wait.
func (l *lab) held() *gated {
	l.t.Helper()
	g := newGated(l.t)
	g.hold = make(chan struct{})
	l.add(1, "held", g)
	return g
}
