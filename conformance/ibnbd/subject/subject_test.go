// SPDX-License-Identifier: Apache-2.0

package subject

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

func TestMapRequestLine(t *testing.T) {
	rail0 := PathAddr{Source: netip.MustParseAddr("10.0.0.2"), Destination: netip.MustParseAddr("10.0.0.1")}
	v6 := PathAddr{Destination: netip.MustParseAddr("fd00::1")}
	for _, c := range []struct {
		name string
		req  MapRequest
		want string
	}{
		{"defaults are left out", MapRequest{Session: "blya", Paths: []PathAddr{rail0}, Device: "dev/ram0"},
			"sessname=blya path=ip:10.0.0.2,ip:10.0.0.1 device_path=dev/ram0"},
		{"destination alone", MapRequest{Session: "s", Paths: []PathAddr{v6}, Device: "d"},
			"sessname=s path=ip:fd00::1 device_path=d"},
		{"every option", MapRequest{Session: "s", Paths: []PathAddr{rail0, v6}, Device: "d", Access: ibnbd.ReadOnly.String(), IOMode: "fileio"},
			"sessname=s path=ip:10.0.0.2,ip:10.0.0.1 path=ip:fd00::1 device_path=d access_mode=ro io_mode=fileio"},
		{"no path", MapRequest{Session: "s", Device: "d"}, "sessname=s device_path=d"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.req.Line(); got != c.want {
				t.Errorf("Line() = %q, want %q", got, c.want)
			}
		})
	}
}

func TestNamesInSysfs(t *testing.T) {
	p := PathAddr{Source: netip.MustParseAddr("10.0.0.2"), Destination: netip.MustParseAddr("10.0.0.1")}
	for _, c := range []struct{ got, want string }{
		{RNBD.MapDevice(), "/sys/devices/virtual/rnbd-client/ctl/map_device"},
		{RNBD.ClientLink("dev/ram0", "blya"), "/sys/devices/virtual/rnbd-client/ctl/devices/dev!ram0@blya"},
		{IBNBD.ClientLink("dev/ram0", "blya"), "/sys/devices/virtual/ibnbd-client/ctl/devices/dev!ram0"},
		{IBNBD.DiskFile("ibnbd3", "state"), "/sys/block/ibnbd3/ibnbd_client/state"},
		{RNBD.DiskFile("rnbd0", "unmap_device"), "/sys/block/rnbd0/rnbd/unmap_device"},
		{RNBD.ServerSession("ram0", "blya"), "/sys/devices/virtual/rnbd-server/ctl/devices/ram0/sessions/blya"},
		{RNBD.ClientPath("blya", p), "/sys/devices/virtual/rtrs-client/blya/paths/ip:10.0.0.2@ip:10.0.0.1"},
		{IBNBD.ServerPath("blya", p), "/sys/devices/virtual/ibtrs-server/blya/paths/ip:10.0.0.2@ip:10.0.0.1"},
	} {
		if c.got != c.want {
			t.Errorf("got %s, want %s", c.got, c.want)
		}
	}
}

func TestBoundsFollowFromTimers(t *testing.T) {
	if got, want := DefaultTimers.Detection().Limit, 39550*time.Millisecond; got != want {
		t.Errorf("Detection() = %s, want %s", got, want)
	}
	if got, want := DefaultTimers.StillHearing().Detection().Limit, 45200*time.Millisecond; got != want {
		t.Errorf("StillHearing().Detection() = %s, want %s", got, want)
	}
	quick := Timers{Resolve: 5 * time.Second, Timers: ibtrs.Timers{HeartbeatInterval: time.Second, HeartbeatMisses: 1, Connect: 7 * time.Second,
		Teardown: 2 * time.Second, ReconnectDelay: 3 * time.Second, ReconnectSettle: 1 * time.Second}}
	if got, want := DefaultTimers.Patience().AtLeast, 30*time.Second; got != want {
		t.Errorf("Patience().AtLeast = %s, want %s", got, want)
	}
	// detection 3, two pauses of 6, failing attempt 17, connect 7
	if got, want := quick.Reconnect().Limit, 39*time.Second; got != want {
		t.Errorf("Reconnect() = %s, want %s", got, want)
	}
}

// What the reference promises is what it is judged by: no promise is longer than what follows from the same timers here, and none is
// shorter but for the lateness of timers.
func TestPromisesAreOfTheSameFormula(t *testing.T) {
	for _, timers := range []ibtrs.Timers{
		ibtrs.DefaultTimers,
		{HeartbeatInterval: time.Second, HeartbeatMisses: 1, Connect: 7 * time.Second, Teardown: 2 * time.Second, ReconnectDelay: 3 * time.Second},
		{HeartbeatInterval: 250 * time.Millisecond, HeartbeatMisses: 3, Connect: 2 * time.Second, PacketLifetime: time.Second, ReconnectSpread: time.Second},
	} {
		judged := Timers{Timers: timers}
		for _, c := range []struct {
			what    string
			promise ibtrs.Bound
			judged  time.Duration
		}{
			{"detection", timers.Detection(), judged.Detection().Limit},
			{"stall with another path", timers.StallWithPath(), judged.StallWithPath().Limit},
			{"error without a path", timers.ErrorWithoutPath(), judged.ErrorWithoutPath().Limit},
			{"heal to reconnected", timers.Reconnect(1), judged.Reconnect().Limit},
		} {
			if c.promise.Limit != c.judged {
				t.Errorf("%s: %s is promised, and judged by %s", c.what, c.promise, c.judged)
			}
		}
	}
	if late := (Timers{Timers: ibtrs.DefaultTimers, Lateness: 10}).Reconnect().Limit; late <= ibtrs.DefaultTimers.Reconnect(1).Limit {
		t.Errorf("timers that are late by 10 %% are judged by %s", late)
	}
}

// A promise that is looser than the timers is named, and one that is tighter is what an initiator is judged by.
func TestPromises(t *testing.T) {
	const paths = 2
	timers := ReferenceTimers
	kept := Promises{timers.Timers.StallWithPath().Limit, timers.Timers.ErrorWithoutPath().Limit, timers.Timers.Reconnect(paths).Limit}
	if loose := timers.Loose(kept, paths); len(loose) > 0 {
		t.Errorf("what follows from the timers is looser than that: %q", loose)
	}
	if got, want := timers.Promised(kept).StallWithPath(), timers.StallWithPath(); got != want {
		t.Errorf("judged by %s, want %s", got, want)
	}
	for i, c := range []struct {
		change func(p *Promises, d time.Duration)
		bound  func(Timers) time.Duration
		named  string
		heard  time.Duration // more for a peer that is heard for one interval yet
	}{
		{func(p *Promises, d time.Duration) { p.StallWithPath = d }, func(t Timers) time.Duration { return t.StallWithPath().Limit }, "stalls", 5 * time.Second},
		{func(p *Promises, d time.Duration) { p.ErrorWithoutPath = d }, func(t Timers) time.Duration { return t.ErrorWithoutPath().Limit }, "fails", 5 * time.Second},
		{func(p *Promises, d time.Duration) { p.Reconnect = d }, func(t Timers) time.Duration { return t.Reconnect().Limit }, "connected after heal", 0},
	} {
		loose, tight := kept, kept
		c.change(&loose, time.Hour)
		c.change(&tight, 10*time.Second)
		if got := timers.Loose(loose, paths); len(got) != 1 || !strings.Contains(got[0], c.named) {
			t.Errorf("promise %d of an hour is loose: %q", i, got)
		}
		if got, want := c.bound(timers.Promised(tight)), timers.late(10*time.Second); got != want {
			t.Errorf("promise %d of 10 s is judged by %s, want %s", i, got, want)
		}
		if got, want := c.bound(timers.Promised(tight).StillHearing()), timers.late(10*time.Second+c.heard); got != want {
			t.Errorf("promise %d of 10 s is judged by %s after a one-way loss, want %s", i, got, want)
		}
		if got, want := c.bound(timers.Promised(loose)), c.bound(timers); got != want {
			t.Errorf("promise %d of an hour is judged by %s, want %s", i, got, want)
		}
	}
	if loose := timers.Loose(kept, 1); len(loose) != 1 {
		t.Errorf("the promise for two paths is one for one path: %q", loose)
	}
}

func TestParsePathDir(t *testing.T) {
	got, err := parsePathDir("ip:fd00::2@ip:fd00::1")
	if err != nil {
		t.Fatal(err)
	}
	want := PathAddr{Source: netip.MustParseAddr("fd00::2"), Destination: netip.MustParseAddr("fd00::1")}
	if got != want {
		t.Errorf("parsePathDir() = %v, want %v", got, want)
	}
	for _, bad := range []string{"", "ip:10.0.0.1", "ip:x@ip:10.0.0.1", "ip:10.0.0.1@ip:"} {
		if _, err := parsePathDir(bad); err == nil {
			t.Errorf("parsePathDir(%q) succeeded", bad)
		}
	}
}

var (
	_ Target    = (*MainlineTarget)(nil)
	_ Target    = (*ReferenceTarget)(nil)
	_ Initiator = (*MainlineInitiator)(nil)
	_ Initiator = (*ReferenceInitiator)(nil)
)
