// SPDX-License-Identifier: Apache-2.0

package srp_test

import (
	"context"
	"errors"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/rdma/soft"
	"github.com/ibnbd/ibnbd/reference/scsi"
	"github.com/ibnbd/ibnbd/reference/srp"
)

// holdDisk makes a lab whose disk waits for a token of the returned channel with each call.
func holdDisk(t *testing.T) (*lab, chan struct{}) {
	l := newLab(t)
	l.disk = newGated(t)
	l.disk.hold = make(chan struct{})
	l.luns = scsi.NewLUNs()
	l.add(0, "held", l.disk)
	return l, l.disk.hold
}

// startRead sends a READ of one block and waits until the disk has it.
func (l *lab) startRead(p *peer) srp.Tag {
	l.t.Helper()
	tag := p.tag()
	p.send(p.command(srp.NewCmd(tag, srp.LUN{}), must(scsi.Read10.AppendIO(nil, 0, 1, false)), srp.Buffer{}, srp.DirectBuffer(p.piece(0, 512))))
	<-l.disk.busy
	return tag
}

// TestTargetAborts: an abort is answered when its command has ended, nothing of the command follows, and its credit comes with
// the answer (Clauses SRP-TM-002, SRP-CRED-009, SRP-DATA-006).
func TestTargetAborts(t *testing.T) {
	for _, f := range []srp.TaskFunction{srp.AbortTask, srp.AbortTaskSet, srp.ClearTaskSet, srp.LogicalUnitReset} {
		t.Run(f.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, hold := holdDisk(t)
				l.listen(l.targetConfig())
				p := l.connect(1)
				tag := l.startRead(p)
				m := srp.TskMgmt{Type: srp.TypeTskMgmt, Tag: p.tag(), Function: f, ManagedTag: tag}
				b, _ := m.AppendBinary(nil)
				p.send(b)
				synctest.Wait()
				p.memory.Bytes()[0] = 0xee
				hold <- struct{}{}
				rsp := p.rsp()
				if code, _ := rsp.ResponseCode(); rsp.Tag != m.Tag || code != srp.ResponseOK || rsp.RequestLimitDelta != 2 {
					t.Errorf("answer %+v", rsp)
				}
				if p.memory.Bytes()[0] != 0xee {
					t.Error("an aborted command has moved data")
				}
				synctest.Wait()
				good(t, p.do(p.command(srp.NewCmd(p.tag(), srp.LUN{}), scsi.TestUnitReady.New(), srp.Buffer{}, srp.Buffer{})))
			})
		})
	}
}

func TestTargetTaskManagement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.listen(l.targetConfig())
		p, other := l.connect(1), l.connect(2)
		for _, tc := range []struct {
			name string
			f    srp.TaskFunction
			lun  srp.LUN
			want srp.ResponseCode
		}{
			{"SRP-TM-003 unknown tag", srp.AbortTask, srp.LUN{}, srp.ResponseOK},
			{"SRP-TM-005 clear ACA", srp.ClearACA, srp.LUN{}, srp.ResponseTMUnsupported},
			{"SRP-TM-005 unknown function", 0x77, srp.LUN{}, srp.ResponseTMUnsupported},
			{"unknown unit", srp.LogicalUnitReset, srp.LUN{0, 9}, srp.ResponseTMFailed},
			{"abort on an unknown unit", srp.AbortTask, srp.LUN{0, 9}, srp.ResponseTMFailed},
			{"SRP-TM-004 reset", srp.LogicalUnitReset, srp.LUN{}, srp.ResponseOK},
		} {
			if code := p.manage(tc.f, tc.lun, srp.TagOf(99)); code != tc.want {
				t.Errorf("%s: code %d, want %d", tc.name, code, tc.want)
			}
		}
		good(t, p.read(0, 1, srp.DirectBuffer(p.piece(0, 512))))
		if s := senseOf(t, other.read(0, 1, srp.DirectBuffer(other.piece(0, 512)))); s.Code != scsi.BusDeviceReset {
			t.Errorf("the other initiator: %v", s)
		}
		short := p.do(append([]byte{srp.TypeTskMgmt}, make([]byte, 30)...))
		if code, _ := short.ResponseCode(); code != srp.ResponseInvalidFields {
			t.Errorf("task management cut short: %+v", short)
		}
	})
}

// TestTargetCredits: requests of the target, one at a time (Clauses SRP-CRED-013, SRP-TGT-005).
func TestTargetCredits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		cfg := l.targetConfig()
		cfg.SpareCredits = 3
		target := l.listen(cfg)
		p := l.connect(1)
		c := target.Nexuses()[0].Channels()[0]
		if err := c.GiveCredits(4); err == nil {
			t.Error("credits are given for which there are no receives")
		}
		if err := c.GiveCredits(3); err != nil {
			t.Fatal(err)
		}
		if err := c.GiveCredits(-1); err == nil {
			t.Error("a second request before the answer to the first")
		}
		u, err := p.unit()
		req, parsed := srp.ParseCredReq(u)
		if err != nil || parsed != nil || req.RequestLimitDelta != 3 {
			t.Fatalf("%+v, %v, %v", req, err, parsed)
		}
		answer, _ := srp.CredRsp{Type: srp.TypeCredRsp, Tag: req.Tag}.AppendBinary(nil)
		wrong, _ := srp.CredRsp{Type: srp.TypeCredRsp, Tag: srp.TagOf(12345)}.AppendBinary(nil)
		p.send(wrong)
		synctest.Wait()
		if err := c.GiveCredits(-1); err == nil {
			t.Error("an answer with another tag counts")
		}
		p.send(answer)
		synctest.Wait()
		sense := scsi.Sense{Key: scsi.UnitAttention, Code: scsi.ReportedLUNsChanged}.AppendFixed(nil)
		if err := c.Report(srp.LUN{0, 1}, sense, -1); err != nil {
			t.Fatal(err)
		}
		u, err = p.unit()
		event, parsed := srp.ParseAERReq(u)
		if err != nil || parsed != nil || event.RequestLimitDelta != -1 || event.LUN != (srp.LUN{0, 1}) || string(event.Sense()) != string(sense) {
			t.Fatalf("%+v, %v, %v", event, err, parsed)
		}
		done, _ := srp.AERRsp{Type: srp.TypeAERRsp, Tag: event.Tag}.AppendBinary(nil)
		p.send(done)
		synctest.Wait()
		if err := c.GiveCredits(1); err != nil {
			t.Error(err)
		}
	})
}

// TestTargetManyOutstanding: as many commands as there are credits, and the answers to requests of the target besides.
func TestTargetManyOutstanding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, hold := holdDisk(t)
		cfg := l.targetConfig()
		cfg.Workers = 3 * cfg.RequestLimit
		l.listen(cfg)
		p := l.connect(1)
		for range 3 {
			for range cfg.RequestLimit {
				l.startRead(p)
			}
			for range cfg.RequestLimit {
				hold <- struct{}{}
			}
			for range cfg.RequestLimit {
				good(t, p.rsp())
			}
		}
	})
}

// TestTargetLogsOut: both logouts (Clauses SRP-LOGOUT-002, SRP-LOGOUT-005).
func TestTargetLogsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		target := l.listen(l.targetConfig())
		p := l.connect(1)
		b, _ := srp.ILogout{Type: srp.TypeILogout}.AppendBinary(nil)
		p.send(b)
		p.send(p.command(srp.NewCmd(p.tag(), srp.LUN{}), scsi.TestUnitReady.New(), srp.Buffer{}, srp.Buffer{}))
		synctest.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := p.conn.Disconnect(ctx); err != nil {
			t.Errorf("disconnect after the logout: %v", err)
		}
		if u, err := p.unit(); err == nil {
			t.Errorf("a unit after the logout: %x", u)
		}
		synctest.Wait()
		if n := len(target.Nexuses()); n != 0 {
			t.Errorf("%d initiators are left", n)
		}

		p = l.connect(1)
		target.Nexuses()[0].Channels()[0].Logout(srp.LogoutInactive)
		u, err := p.unit()
		m, parsed := srp.ParseTLogout(u)
		if err != nil || parsed != nil || m.Reason != srp.LogoutInactive {
			t.Errorf("%+v, %v, %v", m, err, parsed)
		}
		if _, err := p.unit(); !errors.Is(err, rdma.ErrDisconnected) {
			t.Errorf("after the target's logout: %v", err)
		}
	})
}

// TestTargetFreesVanished: an initiator that is gone without a word does not stay (Clause SRP-LOGOUT-007), even if the device repeats
// for ever and never says so.
func TestTargetFreesVanished(t *testing.T) {
	for _, forever := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			l := newLabOf(t, asIs, func(c *soft.Config) { c.Rules.UnlimitedSevenRetries = forever })
			cfg := l.targetConfig()
			target := l.listen(cfg)
			p := l.connect(1)
			time.Sleep(5 * cfg.Probe) // an idle initiator that answers stays
			synctest.Wait()
			good(t, p.read(0, 1, srp.DirectBuffer(p.piece(0, 512))))
			l.hub.SetDown(initiatorAddr, true)
			time.Sleep(2*cfg.Probe + cfg.Vanished + cfg.Drain + time.Second)
			synctest.Wait()
			if n := len(target.Nexuses()); n != 0 {
				t.Errorf("retries for ever %t: %d initiators are left", forever, n)
			}
			l.hub.SetDown(initiatorAddr, false)
			p.close()
			l.connect(1)
		})
	}
}

func TestTargetFreesHalfOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		silent := l.open(netip.MustParseAddr("10.0.0.9"), func(c *soft.Config) { c.Rules = soft.Rules{NoRTU: true, NoDREQ: true, NoDREP: true} })
		cfg := l.targetConfig()
		cfg.MaxHalfOpen = 2
		target := l.listen(cfg)
		conforming := l.initiator
		l.initiator = silent
		for n := range uint64(2) {
			if _, err := l.dial(loginReq(10 + n)); err != nil {
				t.Fatal(err)
			}
		}
		p, err := l.dial(loginReq(20))
		expectLogin(t, p, err, srp.RejectNoResources, 0)
		l.initiator = conforming
		time.Sleep(cfg.HalfOpen + cfg.Drain + time.Second)
		synctest.Wait()
		if n := len(target.Nexuses()); n != 0 {
			t.Errorf("%d initiators are left", n)
		}
		p = l.connect(1)
		good(t, p.read(0, 1, srp.DirectBuffer(p.piece(0, 512))))
	})
}

// TestTargetSupersedes: a login waits until what the earlier channel still does has ended, so that old writes never overtake new
// ones; if that takes too long, it is rejected.
func TestTargetSupersedes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, hold := holdDisk(t)
		l.listen(l.targetConfig())
		p := l.connect(1)
		l.startRead(p)
		again, err := l.dial(loginReq(1))
		expectLogin(t, again, err, srp.RejectNoResources, 0)
		hold <- struct{}{}
		synctest.Wait()
		again, err = l.dial(loginReq(1))
		expectLogin(t, again, err, 0, srp.ChannelsNone)
	})
}

// TestTargetBadKeys: a command whose memory cannot be reached ends its channel and no other (Clauses SRP-DATA-007, SRP-TGT-002).
func TestTargetBadKeys(t *testing.T) {
	for _, write := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			l := newLab(t)
			l.listen(l.targetConfig())
			p, other := l.connect(1), l.connect(2)
			before := pattern(3, 512)
			copy(other.memory.Bytes(), before)
			good(t, other.write(0, 1, srp.DirectBuffer(other.piece(0, 512))))
			bad := srp.DirectBuffer(srp.MemoryDescriptor{Address: p.memory.Addr(), RKey: p.memory.Key() ^ 0x5a5a, Length: 512})
			form, out, in := scsi.Read10, srp.Buffer{}, bad
			if write {
				form, out, in = scsi.Write10, bad, srp.Buffer{}
			}
			p.send(p.command(srp.NewCmd(p.tag(), srp.LUN{}), must(form.AppendIO(nil, 0, 1, false)), out, in))
			if u, err := p.unit(); err == nil {
				t.Errorf("answered: %x", u)
			}
			in = srp.DirectBuffer(other.piece(4096, 512))
			good(t, other.read(0, 1, in))
			if string(other.gather(in)) != string(before) {
				t.Error("a command without its data was executed")
			}
			p.close()
			l.connect(1)
		})
	}
}

// TestTargetDrains: commands that have begun are answered, later ones are not begun, and nobody logs in.
func TestTargetDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, hold := holdDisk(t)
		target := l.listen(l.targetConfig())
		p := l.connect(1)
		l.connect(2)
		l.startRead(p)
		short, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := target.Drain(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("drained with a command in flight: %v", err)
		}
		p.send(p.command(srp.NewCmd(p.tag(), srp.LUN{}), scsi.TestUnitReady.New(), srp.Buffer{}, srp.Buffer{}))
		late, err := l.dial(loginReq(3))
		expectLogin(t, late, err, srp.RejectNoResources, 0)
		drained := make(chan error)
		go func() { drained <- target.Drain(context.Background()) }()
		hold <- struct{}{}
		if err := <-drained; err != nil {
			t.Error(err)
		}
		good(t, p.rsp())
		synctest.Wait()
		stats := target.Nexuses()[0].Channels()[0].Stats()
		if want := (srp.ChannelStats{Commands: 2, DataIn: 512}); stats != want { // with what took the unit attention
			t.Errorf("%+v, want %+v", stats, want)
		}
		if err := target.Close(); err != nil {
			t.Error(err)
		}
		if u, err := p.unit(); err == nil {
			t.Errorf("a command was begun while the target drains: %x", u)
		}
	})
}

func TestTargetConfig(t *testing.T) {
	for field, change := range map[string]func(*srp.TargetConfig){
		"request limit":    func(c *srp.TargetConfig) { c.RequestLimit = 1 },
		"max IU length":    func(c *srp.TargetConfig) { c.MaxIULength = 63 },
		"channel memory":   func(c *srp.TargetConfig) { c.ChannelMemory = 4096 },
		"workers":          func(c *srp.TargetConfig) { c.Workers = 0 },
		"half-open time":   func(c *srp.TargetConfig) { c.HalfOpen = 0 },
		"probe interval":   func(c *srp.TargetConfig) { c.Probe = -1 },
		"max nexuses":      func(c *srp.TargetConfig) { c.MaxNexuses = 0 },
		"drain time":       func(c *srp.TargetConfig) { c.Drain = 0 },
		"no device":        func(c *srp.TargetConfig) { c.Devices = nil },
		"max channels":     func(c *srp.TargetConfig) { c.MaxChannels = 5000 },
		"spare credits":    func(c *srp.TargetConfig) { c.SpareCredits = -1 },
		"half-open logins": func(c *srp.TargetConfig) { c.MaxHalfOpen = 0 },
		"time to answer":   func(c *srp.TargetConfig) { c.Vanished = 0 },
	} {
		cfg := newLab(t).targetConfig()
		change(&cfg)
		if target, err := srp.Listen(cfg); err == nil || !containsText(err, field) {
			t.Errorf("bad %s: %v", field, err)
			if err == nil {
				target.Close()
			}
		}
	}
}

// TestRequestsOnAChannelThatHasEnded are refused: its memory is gone.
func TestRequestsOnAChannelThatHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.listen(l.targetConfig())
		p := l.connect(1)
		c := l.target.Nexuses()[0].Channels()[0]
		p.close()
		synctest.Wait()
		if err := c.GiveCredits(-1); !errors.Is(err, syscall.ENOTCONN) {
			t.Errorf("credits: %v", err)
		}
		if err := c.Report(srp.LUN{}, []byte("sense"), 0); !errors.Is(err, syscall.ENOTCONN) {
			t.Errorf("event: %v", err)
		}
		c.Logout(srp.LogoutNoReason)
	})
}
