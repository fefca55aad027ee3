// SPDX-License-Identifier: Apache-2.0

package cmd_test

import (
	"context"
	"errors"
	"net/netip"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/rdma/soft"
	"github.com/ibnbd/ibnbd/reference/srp"
)

// login logs in to a target program over loopback addresses and leaves the connection open. The error is that of the dial.
func login(t *testing.T, initiator srp.PortID) error {
	t.Helper()
	link, err := soft.OpenUDP(netip.MustParseAddr("127.76.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	dev, err := soft.Open(link, soft.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dev.Close() })
	request := srp.LoginReqCM{
		RequiredFormats: srp.FormatsDirect, RequestedIULength: 64, InitiatorPort: initiator, TargetPort: srp.NewPortID(0x11, 0x22, srp.IOClassRev16a),
	}
	data, _ := request.AppendBinary(nil)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := dev.Dial(ctx, netip.MustParseAddrPort("127.76.0.2:5555"), rdma.ConnConfig{SendQueue: 1, RecvQueue: 1, RetryCount: 7, RNRRetryCount: 7}, data)
	if err == nil {
		t.Cleanup(func() { conn.Close() })
	}
	return err
}

// TestSRPTarget starts the program, logs in to it, and reads what it tells.
func TestSRPTarget(t *testing.T) {
	b := newBench(t)
	allowed := srp.NewPortID(0, 7, srp.IOClassRev16a)
	stop := b.start("listening", "srp-target", "--listen", "127.76.0.2", "--id-ext", "11", "--ioc-guid", "0x22", "--allow", allowed.String(),
		"--lun", "disk0=mem:16M", "--lun", "disk1=file:"+filepath.Join(b.dir, "image")+",1M", "--metrics", "unix:"+filepath.Join(b.dir, "metrics"))
	if err := login(t, allowed); err != nil {
		t.Fatal(err)
	}
	if status := b.run("srp-target", "--status"); !strings.Contains(status, allowed.String()) || !strings.Contains(status, "disk1") || !strings.Contains(status, "127.76.0.1") {
		t.Errorf("status:\n%s", status)
	}
	if status := b.run("srp-target", "--status", "--json"); !strings.Contains(status, `"size_bytes": 16777216`) {
		t.Errorf("status:\n%s", status)
	}
	stop(syscall.SIGTERM)
}

func TestSRPTargetRejectsStrangers(t *testing.T) {
	b := newBench(t)
	stop := b.start("listening", "srp-target", "--listen", "127.76.0.2", "--id-ext", "11", "--ioc-guid", "22", "--allow", strings.Repeat("ab", 16), "--lun", "disk0=mem:1M")
	var reject *rdma.RejectError
	if err := login(t, srp.PortID{1}); !errors.As(err, &reject) {
		t.Errorf("a stranger logs in: %v", err)
	}
	stop(syscall.SIGTERM)
}

// TestSRPTargetUsage: mistakes are told in one line, with option and value, before anything is opened.
func TestSRPTargetUsage(t *testing.T) {
	b := newBench(t)
	good := []string{"--listen", "127.76.0.2", "--lun", "disk0=mem:1M"}
	for _, tc := range []struct {
		args []string
		want string
	}{
		{nil, "--listen is missing"},
		{[]string{"--listen", "127.76.0.2"}, "--lun is given 0 times"},
		{[]string{"--listen", "nonsense", "--lun", "a=mem:1M"}, "nonsense"},
		{append(good, "--lun", "disk0=mem:1M"), "disk0 is given twice"},
		{append(good, "--lun", "disk1"), `"disk1" is not of the form`},
		{append(good, "--lun", "disk1=mem:x"), "disk1"},
		{append(good, "--id-ext", "xyz"), "--id-ext"},
		{append(good, "--ioc-guid", "11112222333344445"), "--ioc-guid"},
		{append(good, "--allow", "abcd"), "--allow"},
		{append(good, "--request-limit", "1"), "request limit is 1, must be 2 to 4096"},
		{append(good, "--channel-memory", "4K"), "channel memory"},
		{append(good, "--metrics", "10.0.0.1:80"), "--metrics"},
		{append(good, "--provider", "iwarp"), "--provider"},
		{append(good, "--json"), "--json"},
	} {
		out, err := b.command("srp-target", tc.args...).CombinedOutput()
		var exit interface{ ExitCode() int }
		if !errors.As(err, &exit) || exit.ExitCode() != 2 || strings.Count(string(out), "\n") != 1 || !strings.Contains(string(out), tc.want) {
			t.Errorf("%v: %v, %q, want one line with %q", tc.args, err, out, tc.want)
		}
	}
}
