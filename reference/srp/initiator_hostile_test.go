// SPDX-License-Identifier: Apache-2.0

package srp_test

import (
	"bytes"
	"context"
	"errors"
	"math"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ibnbd/ibnbd/reference/rdma/soft"
	"github.com/ibnbd/ibnbd/reference/roce"
	"github.com/ibnbd/ibnbd/reference/scsi"
	"github.com/ibnbd/ibnbd/reference/srp"
)

// TestResponsesOfAnyKind lets a target answer one read in many ways. Whatever it is, the next read after it, perhaps after a reconnect,
// succeeds.
func TestResponsesOfAnyKind(t *testing.T) {
	twice := func(c *puppetChannel, m *srp.Rsp) {
		c.rsp(m)
		c.rsp(m)
	}
	for _, tc := range []struct {
		name   string
		answer func(c *puppetChannel, m *srp.Rsp)
		is     error  // of the read; nil: it succeeds
		says   string // its error
		lost   bool   // the port
		cause  string // of the loss
		limit  int32  // afterwards, of 8; 0: not looked at
	}{
		{name: "twice", answer: twice, limit: 9}, // Clause SRP-RSP-012
		{name: "foreign tag before", answer: func(c *puppetChannel, m *srp.Rsp) { // Clause SRP-RSP-011
			c.rsp(&srp.Rsp{Type: srp.TypeRsp, Tag: srp.TagOf(77), RequestLimitDelta: 5})
			c.rsp(m)
		}, limit: 13},
		{name: "tag of a slot that does not exist", answer: func(c *puppetChannel, m *srp.Rsp) {
			c.rsp(&srp.Rsp{Type: srp.TypeRsp, Tag: srp.TagOf(1<<16 | 60000)})
			c.rsp(m)
		}},
		{name: "no credit", answer: func(c *puppetChannel, m *srp.Rsp) { m.RequestLimitDelta = 0; c.rsp(m) }, limit: 7},      // Clause SRP-CRED-005
		{name: "three credits", answer: func(c *puppetChannel, m *srp.Rsp) { m.RequestLimitDelta = 3; c.rsp(m) }, limit: 10}, //
		{name: "credit taken", answer: func(c *puppetChannel, m *srp.Rsp) { m.RequestLimitDelta = -1; c.rsp(m) }, limit: 6},  //
		{name: "credits wrap", answer: func(c *puppetChannel, m *srp.Rsp) { m.RequestLimitDelta = math.MaxInt32; c.rsp(m) }}, // Clause SRP-CRED-014
		{name: "response code 2", is: syscall.EREMOTEIO, says: "response code 2", answer: func(c *puppetChannel, m *srp.Rsp) { // Clause SRP-RSP-010
			m.SetResponseCode(srp.ResponseInvalidFields)
			c.rsp(m)
		}},
		{name: "response data that is cut off", is: syscall.EREMOTEIO, says: "response code 5", answer: func(c *puppetChannel, m *srp.Rsp) {
			m.Flags, m.ResponseLength = srp.RspValid, 4
			c.rsp(m)
		}},
		{name: "sense that is too long", is: syscall.EIO, says: "CHECK CONDITION", answer: func(c *puppetChannel, m *srp.Rsp) { // Clause SRP-RSP-004
			m.SetSense(uint8(scsi.CheckCondition), nil)
			m.SenseLength = math.MaxUint32
			c.rsp(m)
		}},
		{name: "lengths that wrap", answer: func(c *puppetChannel, m *srp.Rsp) {
			m.Flags, m.ResponseLength, m.SenseLength, m.Body = srp.RspValid|srp.SenseValid, math.MaxUint32, 5, make([]byte, 4)
			c.rsp(m)
		}},
		{name: "sense behind response data", is: syscall.EROFS, says: "write protected", answer: func(c *puppetChannel, m *srp.Rsp) { // Clause SRP-RSP-003
			sense := scsi.Sense{Key: scsi.DataProtect, Code: scsi.WriteProtected}.AppendFixed(nil)
			m.SetSense(uint8(scsi.CheckCondition), append(make([]byte, 4), sense...))
			m.Flags, m.ResponseLength, m.SenseLength = m.Flags|srp.RspValid, 4, uint32(len(sense))
			c.rsp(m)
		}},
		{name: "residual larger than the buffer", is: syscall.EIO, says: "512 bytes were not moved", answer: func(c *puppetChannel, m *srp.Rsp) { // Clause SRP-RSP-009
			m.Flags, m.DataInResidual = srp.DataInUnder, math.MaxUint32
			c.rsp(m)
		}},
		{name: "over and under", is: syscall.EIO, says: "were not moved", answer: func(c *puppetChannel, m *srp.Rsp) {
			m.Flags, m.DataInResidual = srp.DataInUnder|srp.DataInOver, 1
			c.rsp(m)
		}},
		{name: "overflow is no error", answer: func(c *puppetChannel, m *srp.Rsp) { m.Flags, m.DataInResidual = srp.DataInOver, 512; c.rsp(m) }},
		{name: "unit attention", answer: func(c *puppetChannel, m *srp.Rsp) { // is sent again
			m.SetSense(uint8(scsi.CheckCondition), scsi.Sense{Key: scsi.UnitAttention, Code: scsi.NexusLoss}.AppendFixed(nil))
			c.rsp(m)
		}},
		{name: "busy", answer: func(c *puppetChannel, m *srp.Rsp) { m.Status = uint8(scsi.Busy); c.rsp(m) }},
		{name: "task set full", answer: func(c *puppetChannel, m *srp.Rsp) { m.Status = uint8(scsi.TaskSetFull); c.rsp(m) }},
		{name: "reservation conflict", is: syscall.EBADE, answer: func(c *puppetChannel, m *srp.Rsp) { m.Status = uint8(scsi.ReservationConflict); c.rsp(m) }},
		{name: "too short", lost: true, answer: func(c *puppetChannel, m *srp.Rsp) { c.send([]byte{srp.TypeRsp, 15: 0, 34: 0}) }}, // Clause SRP-RSP-013
		{name: "nothing", lost: true, answer: func(c *puppetChannel, m *srp.Rsp) {}},
		{name: "no bytes", answer: func(c *puppetChannel, m *srp.Rsp) { c.send(nil); c.rsp(m) }},
		{name: "unknown type", answer: func(c *puppetChannel, m *srp.Rsp) { c.send(bytes.Repeat([]byte{0x7f}, 64)); c.rsp(m) }},
		{name: "a command", answer: func(c *puppetChannel, m *srp.Rsp) { c.send(make([]byte, 48)); c.rsp(m) }},
		{name: "logout", lost: true, cause: "the target has logged out", answer: func(c *puppetChannel, m *srp.Rsp) {
			b, _ := srp.TLogout{Type: srp.TypeTLogout, Reason: 99}.AppendBinary(nil)
			c.send(b)
		}},
		{name: "short requests", answer: func(c *puppetChannel, m *srp.Rsp) { // Clause SRP-CRED-010
			c.send(append([]byte{srp.TypeAERReq}, make([]byte, 34)...))
			b, _ := srp.AERReq{Type: srp.TypeAERReq, RequestLimitDelta: 7, SenseLength: 100, Body: make([]byte, 4)}.AppendBinary(nil)
			c.send(b)
			c.rsp(m)
		}, limit: 8},
		{name: "many requests", answer: func(c *puppetChannel, m *srp.Rsp) { // Clause SRP-ROB-003: more than there are receives
			for i := range 200 {
				b, _ := srp.CredReq{Type: srp.TypeCredReq, Tag: srp.TagOf(uint64(i))}.AppendBinary(nil)
				c.send(b)
			}
			c.rsp(m)
		}, limit: 8},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				p := l.perform()
				cfg := l.portConfig()
				cfg.Timers.ReconnectDelay = time.Second
				port, _ := l.watched(cfg)
				once := true
				p.script(func() {
					p.respond = func(c *puppetChannel, cmd *srp.Cmd, m *srp.Rsp) bool {
						if !once || cmd.CDB[0] != scsi.OpRead10 {
							return false
						}
						once = false
						tc.answer(c, m)
						return true
					}
				})
				got := <-reader(disk0(t, port))
				if !errors.Is(got.err, tc.is) || tc.is == nil && got.err != nil || tc.says != "" && !strings.Contains(got.err.Error(), tc.says) {
					t.Errorf("%v, want %v with %q", got.err, tc.is, tc.says)
				}
				synctest.Wait()
				if info := port.Info(); (info.Stats.Losses > 0) != tc.lost || tc.limit != 0 && info.RequestLimit != tc.limit {
					t.Errorf("limit %d, want %d: %+v, %v", info.RequestLimit, tc.limit, info.Stats, info.Cause)
				}
				if cause := port.Info().Cause; tc.cause != "" && (cause == nil || !strings.Contains(cause.Error(), tc.cause)) {
					t.Errorf("cause of the loss: %v, want %q", cause, tc.cause) // Clause SRP-LOGOUT-003
				}
				if again := <-reader(disk0(t, port)); again.err != nil {
					t.Errorf("afterwards: %v", again.err)
				}
				if tc.name == "many requests" && len(p.units()) != 200 {
					t.Errorf("%d answers to 200 requests", len(p.units()))
				}
			})
		})
	}
}

// TestLoginsOfAnyKind lets a target answer a login wrongly: each is an error, and leaves nothing behind.
func TestLoginsOfAnyKind(t *testing.T) {
	rej := func(m srp.LoginRej) []byte {
		b, _ := m.AppendBinary(nil)
		return b
	}
	for _, tc := range []struct {
		name  string
		login func(m *srp.LoginRsp) []byte
		says  string
	}{
		{"another type", func(m *srp.LoginRsp) []byte { m.Type = srp.TypeRsp; return nil }, "type"}, // Clause SRP-LOGIN-024
		{"another tag", func(m *srp.LoginRsp) []byte { m.Tag[0]++; return nil }, "tag"},
		{"one credit", func(m *srp.LoginRsp) []byte { m.RequestLimitDelta = 1; return nil }, "request_limit_delta"}, // Clause SRP-LOGIN-025
		{"negative credits", func(m *srp.LoginRsp) []byte { m.RequestLimitDelta = -8; return nil }, "request_limit_delta"},
		{"tiny units", func(m *srp.LoginRsp) []byte { m.MaxInitiatorIULength = 63; return nil }, "max_initiator_iu_length"},
		{"huge units", func(m *srp.LoginRsp) []byte { m.MaxTargetIULength = math.MaxUint32; return nil }, "max_target_iu_length"}, // Clause SRP-LOGIN-011
		{"no direct buffers", func(m *srp.LoginRsp) []byte { m.SupportedFormats = srp.FormatsIndirect; return nil }, "supported_formats"},
		{"reject that is none", func(*srp.LoginRsp) []byte { return bytes.Repeat([]byte{0x55}, 32) }, "malformed reject"}, // Clause SRP-LOGIN-022
		{"unknown reason", func(*srp.LoginRsp) []byte { return rej(srp.LoginRej{Type: srp.TypeLoginRej, Reason: 7}) }, "reason 0x7"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				p := l.perform()
				p.script(func() { p.login = func(_ int, _ *srp.LoginReqCM, m *srp.LoginRsp) []byte { return tc.login(m) } })
				i := l.system(srp.DefaultInitiatorConfig())
				if _, err := i.Add(context.Background(), l.portConfig()); err == nil || !strings.Contains(err.Error(), tc.says) || len(i.Ports()) != 0 {
					t.Errorf("%v, want one with %q", err, tc.says)
				}
			})
		})
	}
}

// TestSmallUnits has a target that takes no longer unit than a command with one descriptor (Clause SRP-LOGIN-010).
func TestSmallUnits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		p := l.perform()
		p.script(func() {
			p.login = func(_ int, _ *srp.LoginReqCM, m *srp.LoginRsp) []byte { m.MaxInitiatorIULength = 64; return nil }
			p.respond = func(_ *puppetChannel, cmd *srp.Cmd, _ *srp.Rsp) bool {
				if cmd.Size() > 64 {
					t.Errorf("a command of %d bytes", cmd.Size())
				}
				return false
			}
		})
		cfg := l.portConfig()
		port := l.login(cfg)
		if got := <-reader(disk0(t, port)); got.err != nil {
			t.Error(got.err)
		}
		long := srp.Command{CDB: make([]byte, 32), In: make([]byte, 512)}
		if err := port.Execute(context.Background(), &long); !errors.Is(err, syscall.EMSGSIZE) {
			t.Errorf("a longer command: %v", err)
		}
	})
}

// TestFewerChannels refuses further channels: at the first login, and at a later one (Clauses SRP-CH-005, SRP-CH-006).
func TestFewerChannels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		p := l.perform()
		room := 3
		var actions []uint8
		p.script(func() {
			p.login = func(_ int, req *srp.LoginReqCM, m *srp.LoginRsp) []byte {
				if req.Flags&3 == srp.ChannelSingle {
					actions = nil
				}
				actions = append(actions, req.Flags&3)
				if len(actions) <= room {
					return nil
				}
				b, _ := srp.LoginRej{Type: srp.TypeLoginRej, Reason: srp.RejectNoResources}.AppendBinary(nil)
				return b
			}
		})
		cfg := l.portConfig()
		cfg.Login.ChannelCount, cfg.Timers.ReconnectDelay = 4, time.Second
		port, _ := l.watched(cfg)
		if n := port.Info().Channels; n != 3 {
			t.Errorf("%d channels", n)
		}
		p.script(func() { room = 2 })
		for _, c := range p.all() {
			_ = c.conn.Disconnect(within(t, time.Second))
		}
		await(t, port, srp.PortBlocked, time.Second)
		await(t, port, srp.PortRunning, 2*time.Second)
		if n := port.Info().Channels; n != 2 {
			t.Errorf("%d channels after the reconnect", n)
		}
		p.script(func() {
			if !bytes.Equal(actions, []byte{srp.ChannelSingle, srp.ChannelMultiple, srp.ChannelMultiple}) { // Clause SRP-CH-001
				t.Errorf("multi-channel actions %v", actions)
			}
		})
	})
}

// TestTargetWithoutCredits takes all credits away for ever: the port is lost in time, instead of waiting without an end.
func TestTargetWithoutCredits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		p := l.perform()
		port, _ := l.watched(l.portConfig())
		b, _ := srp.CredReq{Type: srp.TypeCredReq, RequestLimitDelta: -8, Tag: srp.TagOf(5)}.AppendBinary(nil)
		p.last().send(b)
		synctest.Wait()
		if units := p.units(); len(units) != 1 || units[0][0] != srp.TypeCredRsp || srp.Tag(units[0][8:16]) != srp.TagOf(5) { // Clause SRP-CRED-006
			t.Errorf("answers %x", units)
		}
		got := <-reader(disk0(t, port))
		if got.err != nil || port.Info().Stats.Losses != 1 || !strings.Contains(port.Info().Cause.Error(), "gives no credit") {
			t.Errorf("%v after %s, %+v, %v", got.err, got.took, port.Info().Stats, port.Info().Cause)
		}
	})
}

// TestAbortThatFails: a target that cannot abort, or does not answer, loses the port, after which the command cannot take effect any more
// (Clauses SRP-TM-001, SRP-TM-007).
func TestAbortThatFails(t *testing.T) {
	for name, answer := range map[string]func(c *puppetChannel, m *srp.TskMgmt){
		"unsupported": func(c *puppetChannel, m *srp.TskMgmt) {
			rsp := srp.Rsp{Type: srp.TypeRsp, RequestLimitDelta: 1, Tag: m.Tag}
			rsp.SetResponseCode(srp.ResponseTMUnsupported)
			c.rsp(&rsp)
		},
		"no answer": func(*puppetChannel, *srp.TskMgmt) {},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				p := l.perform()
				cfg := l.portConfig()
				cfg.Timers.ProbeDeadline = time.Minute
				port, _ := l.watched(cfg)
				var tag srp.Tag
				p.script(func() {
					p.respond = func(_ *puppetChannel, cmd *srp.Cmd, _ *srp.Rsp) bool {
						tag = cmd.Tag
						return cmd.CDB[0] == scsi.OpRead10
					}
					p.manage = func(c *puppetChannel, m *srp.TskMgmt) bool {
						if m.ManagedTag != tag || m.Function != srp.AbortTask {
							t.Errorf("task management %+v", m)
						}
						answer(c, m)
						return true
					}
				})
				start := time.Now()
				_, err := disk0(t, port).ReadAtContext(within(t, time.Second), make([]byte, 512), 0)
				if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took > time.Second+cfg.TaskTimeout+100*time.Millisecond {
					t.Errorf("%v after %s", err, took)
				}
				if port.State() != srp.PortBlocked {
					t.Errorf("the port is %s", port.State())
				}
			})
		})
	}
}

// TestLogout sends SRP_I_LOGOUT on each channel at the end (Clause SRP-LOGOUT-001).
func TestLogout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		p := l.perform()
		cfg := l.portConfig()
		cfg.Login.ChannelCount = 2
		port := l.login(cfg)
		if err := port.Delete(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		units := p.units()
		if len(units) != 2 || units[0][0] != srp.TypeILogout || units[1][0] != srp.TypeILogout || len(units[0]) != srp.ILogoutSize {
			t.Errorf("%x", units)
		}
	})
}

// TestKeysEndWithTheResponse lets a target write to the memory of a command after its response: with a key for each command that breaks the
// connection, and reaches nothing (Clause SRP-DATA-004).
func TestKeysEndWithTheResponse(t *testing.T) {
	for _, keys := range []srp.Keys{srp.KeyPerCommand, srp.GlobalKey} {
		t.Run(keys.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				p := l.perform()
				cfg := l.portConfig()
				cfg.Keys = keys
				port, _ := l.watched(cfg)
				var memory srp.MemoryDescriptor
				p.script(func() {
					p.respond = func(_ *puppetChannel, cmd *srp.Cmd, _ *srp.Rsp) bool {
						if in, err := cmd.DataIn(); err == nil {
							memory = in.Memory
						}
						return false
					}
				})
				if got := <-reader(disk0(t, port)); got.err != nil {
					t.Fatal(got.err)
				}
				synctest.Wait()
				p.last().place(memory, make([]byte, 512))
				synctest.Wait()
				if lost := port.Info().Stats.Losses > 0; lost != (keys == srp.KeyPerCommand) {
					t.Errorf("the port is %s: %v", port.State(), port.Info().Cause)
				}
			})
		})
	}
}

// TestStaleConnection lets the target take the first two connections for old ones (Clause SRP-LOGIN-034).
func TestStaleConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rejected := 0
		l := newLabOf(t, asIs, func(c *soft.Config) {
			c.EditCM = func(m roce.CMMessage) {
				if rej, ok := m.(*roce.CMRej); ok {
					rej.Reason = roce.RejStaleConnection
					rejected++
				}
			}
		})
		p := l.perform()
		p.script(func() {
			p.login = func(n int, _ *srp.LoginReqCM, _ *srp.LoginRsp) []byte {
				if n < 2 {
					return []byte{}
				}
				return nil
			}
		})
		if port := l.login(l.portConfig()); port.State() != srp.PortRunning || rejected != 2 {
			t.Errorf("the port is %s after %d rejects", port.State(), rejected)
		}
	})
}

// FuzzInitiator: whatever a target answers to a login, and sends afterwards, the initiator does not panic or hang, and works with a polite
// target later (Clauses SRP-ROB-001, SRP-ROB-003).
func FuzzInitiator(f *testing.F) {
	rsp, _ := srp.LoginRsp{
		Type: srp.TypeLoginRsp, RequestLimitDelta: 8, MaxInitiatorIULength: puppetUnit, MaxTargetIULength: 256, SupportedFormats: 6, Flags: srp.LoginImmediate,
	}.AppendBinary(nil)
	sense, _ := srp.Rsp{Type: srp.TypeRsp, Tag: srp.TagOf(9 << 16), Flags: srp.SenseValid, SenseLength: 18, Body: make([]byte, 18)}.AppendBinary(nil)
	event, _ := srp.AERReq{Type: srp.TypeAERReq, SenseLength: 4, Body: make([]byte, 4)}.AppendBinary(nil)
	credits, _ := srp.CredReq{Type: srp.TypeCredReq, RequestLimitDelta: -20}.AppendBinary(nil)
	logout, _ := srp.TLogout{Type: srp.TypeTLogout}.AppendBinary(nil)
	for _, unit := range [][]byte{sense, event, credits, logout} {
		f.Add(rsp, unit, sense)
	}
	f.Fuzz(func(t *testing.T, login, first, second []byte) {
		synctest.Test(t, func(t *testing.T) {
			l := newLab(t)
			p := l.perform()
			rsp, _ := srp.ParseLoginRsp(append(login, make([]byte, srp.LoginRspSize)...)[:srp.LoginRspSize])
			p.script(func() {
				p.login = func(n int, _ *srp.LoginReqCM, m *srp.LoginRsp) []byte {
					if n == 0 {
						*m = rsp
					}
					return nil
				}
			})
			cfg := l.portConfig()
			cfg.Timers.ReconnectDelay, cfg.MaxTransfer = time.Second, 64<<10
			i := l.system(srp.DefaultInitiatorConfig())
			port, err := i.Add(within(t, time.Minute), cfg)
			if err != nil {
				if port, err = i.Add(within(t, time.Minute), cfg); err != nil {
					t.Fatalf("a conforming target after another one: %v", err)
				}
			}
			c := p.last()
			p.script(func() {
				p.respond = func(_ *puppetChannel, _ *srp.Cmd, _ *srp.Rsp) bool { return false }
			})
			read := reader(disk0(t, port))
			for _, unit := range [][]byte{first, second} {
				c.send(unit[:min(len(unit), 8000)])
			}
			<-read // may fail
			if got := <-reader(disk0(t, port)); got.err != nil && !errors.Is(got.err, syscall.EIO) {
				t.Errorf("afterwards: %v", got.err)
			}
			await(t, port, srp.PortRunning, time.Minute)
			if got := <-reader(disk0(t, port)); got.err != nil {
				t.Errorf("at the end: %v", got.err)
			}
		})
	})
}
