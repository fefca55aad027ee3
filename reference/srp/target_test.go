// SPDX-License-Identifier: Apache-2.0

package srp_test

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/scsi"
	"github.com/ibnbd/ibnbd/reference/srp"
)

func TestTargetLogin(t *testing.T) {
	type request = srp.LoginReqCM
	for _, tc := range []struct {
		name   string
		change func(*request)
		config func(*srp.TargetConfig)
		want   srp.RejectReason // 0: accepted
	}{
		{name: "SRP-LOGIN-028 first", change: func(*request) {}},
		{name: "SRP-LOGIN-005 reserved bytes", change: func(r *request) { r.Reserved50 = [6]byte{1, 2, 3, 4, 5, 6} }},
		{name: "SRP-LOGIN-015 length 63", change: func(r *request) { r.RequestedIULength = 63 }, want: srp.RejectIULength},
		{name: "SRP-LOGIN-015 length 64", change: func(r *request) { r.RequestedIULength = 64 }},
		{name: "SRP-LOGIN-015 longest", change: func(r *request) { r.RequestedIULength = srp.DefaultMaxIULength }},
		{name: "SRP-LOGIN-015 too long", change: func(r *request) { r.RequestedIULength = srp.DefaultMaxIULength + 1 }, want: srp.RejectIULength},
		{name: "SRP-LOGIN-015 longest number", change: func(r *request) { r.RequestedIULength = 1<<32 - 1 }, want: srp.RejectIULength},
		{name: "SRP-LOGIN-017 other target port", change: func(r *request) { r.TargetPort[15]++ }, want: srp.RejectNexus},
		{name: "SRP-LOGIN-018 no format", change: func(r *request) { r.RequiredFormats = 0 }, want: srp.RejectFormat},
		{name: "SRP-LOGIN-018 unknown format", change: func(r *request) { r.RequiredFormats = 0x000a }, want: srp.RejectFormat},
		{name: "SRP-LOGIN-018 direct alone", change: func(r *request) { r.RequiredFormats = srp.FormatsDirect }},
		{
			name: "SRP-LOGIN-019 no access", change: func(*request) {}, want: srp.RejectChannelsExhausted,
			config: func(c *srp.TargetConfig) { c.Everybody = nil },
		},
		{
			name: "SRP-TGT-007 access by port", change: func(*request) {},
			config: func(c *srp.TargetConfig) {
				c.Access, c.Everybody = map[srp.PortID]*scsi.LUNs{initiatorPort(1): c.Everybody}, nil
			},
		},
		{name: "reserved multi-channel action", change: func(r *request) { r.Flags |= 2 }, want: srp.RejectNoDetail},
		{
			name: "one channel alone", change: func(r *request) { r.Flags |= srp.ChannelMultiple }, want: srp.RejectMultiChannel,
			config: func(c *srp.TargetConfig) { c.MaxChannels = 1 },
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				cfg := l.targetConfig()
				if tc.config != nil {
					tc.config(&cfg)
				}
				l.listen(cfg)
				login := loginReq(1)
				tc.change(&login)
				p, err := l.dial(login)
				expectLogin(t, p, err, tc.want, srp.ChannelsNone)
			})
		})
	}
}

// expectLogin wants a login to be accepted with a multi-channel result, or rejected.
func expectLogin(t *testing.T, p *peer, err error, want srp.RejectReason, result uint8) {
	t.Helper()
	if want == 0 {
		if err != nil {
			t.Fatal(err)
		}
		if r := p.login; r.Flags != srp.LoginImmediate|result || r.RequestLimitDelta != 8 || r.Tag != srp.TagOf(77) || r.SupportedFormats != 6 {
			t.Errorf("login response %+v", r)
		}
		return
	}
	var reject *rdma.RejectError
	if !errors.As(err, &reject) || reject.Reason != rdma.ReasonConsumer {
		t.Fatalf("login: %v, want a reject with %s", err, want)
	}
	rej, err := srp.ParseLoginRej(reject.PrivateData)
	if err != nil || rej.Reason != want || rej.Tag != srp.TagOf(77) || rej.SupportedFormats != 6 { // Clauses SRP-LOGIN-013, SRP-LOGIN-020
		t.Errorf("reject %+v, %v, want %s", rej, err, want)
	}
}

// TestTargetGrantsImmediateData: Clause SRP-LOGIN-031.
func TestTargetGrantsImmediateData(t *testing.T) {
	for _, tc := range []struct {
		flags  uint8
		offset uint16
		refuse bool
		want   bool
	}{
		{srp.LoginImmediate, 68, false, true}, {srp.LoginImmediate, 52, false, true}, {srp.LoginImmediate, 51, false, false},
		{srp.LoginImmediate, 0, false, false}, {srp.LoginImmediate, 8300, false, false}, {0, 68, false, false}, {srp.LoginImmediate, 68, true, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			l := newLab(t)
			cfg := l.targetConfig()
			cfg.NoImmediate = tc.refuse
			l.listen(cfg)
			login := loginReq(1)
			login.Flags, login.ImmediateOffset = tc.flags, tc.offset
			p, err := l.dial(login)
			if err != nil {
				t.Fatal(err)
			}
			if got := p.login.Flags&srp.LoginImmediate != 0; got != tc.want {
				t.Errorf("%+v: granted %v", tc, got)
			}
			if p.offset < srp.MinImmediateOffset || p.offset > 1000 {
				p.offset = 68 // what was not granted still has to be a unit
			}
			out := srp.ImmediateBuffer(make([]byte, 512))
			rsp := p.write(0, 1, out)
			if code, refused := rsp.ResponseCode(); refused == tc.want || refused && code != srp.ResponseInvalidFields {
				t.Errorf("%+v: %+v", tc, rsp)
			}
		})
	}
}

// TestTargetChannels: what logins do to channels that are there.
func TestTargetChannels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		cfg := l.targetConfig()
		cfg.MaxChannels = 2
		target := l.listen(cfg)
		first, other := l.connect(1), l.connect(2)
		more := loginReq(1)
		more.Flags |= srp.ChannelMultiple
		second, err := l.dial(more)
		expectLogin(t, second, err, 0, srp.ChannelsKept) // Clause SRP-LOGIN-027
		third, err := l.dial(more)
		expectLogin(t, third, err, srp.RejectChannelsExhausted, 0)
		good(t, first.write(0, 1, srp.DirectBuffer(first.piece(0, 512))))
		good(t, second.read(0, 1, srp.DirectBuffer(second.piece(0, 512))))
		if n := len(target.Nexuses()[0].Channels()); n != 2 {
			t.Errorf("%d channels", n)
		}
		again, err := l.dial(loginReq(1))
		expectLogin(t, again, err, 0, srp.ChannelsTerminated) // Clause SRP-LOGIN-026
		for _, p := range []*peer{first, second} {
			if _, err := p.unit(); !errors.Is(err, rdma.ErrDisconnected) {
				t.Errorf("a channel that was superseded: %v", err)
			}
		}
		lost := again.do(again.command(srp.NewCmd(again.tag(), srp.LUN{}), scsi.TestUnitReady.New(), srp.Buffer{}, srp.Buffer{}))
		if s := senseOf(t, lost); s.Code != scsi.NexusLoss {
			t.Errorf("after a new login: %v", s)
		}
		good(t, other.read(0, 1, srp.DirectBuffer(other.piece(0, 512)))) // Clause SRP-CH-007
	})
}

func TestTargetEnable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		target := l.listen(l.targetConfig())
		p := l.connect(1)
		target.Enable(false)
		if _, err := p.unit(); !errors.Is(err, rdma.ErrDisconnected) {
			t.Errorf("a channel of a disabled port: %v", err)
		}
		p, err := l.dial(loginReq(1))
		expectLogin(t, p, err, srp.RejectNoResources, 0) // Clause SRP-LOGIN-016
		target.Enable(true)
		p = l.connect(1)
		good(t, p.read(0, 1, srp.DirectBuffer(p.piece(0, 512))))
	})
}
