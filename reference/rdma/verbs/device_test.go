// SPDX-License-Identifier: Apache-2.0

//go:build verbs && cgo && linux

package verbs_test

import (
	"context"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/rdma/rdmatest"
	"github.com/ibnbd/ibnbd/reference/rdma/verbs"
)

func TestOpenRefusesAddresses(t *testing.T) {
	for _, addr := range []netip.Addr{{}, netip.IPv4Unspecified(), netip.IPv6Unspecified(), netip.MustParseAddr("ff02::1")} {
		d, err := verbs.Open(addr, verbs.Config{})
		if err == nil || !strings.Contains(err.Error(), "must be one address") {
			t.Errorf("open %s: %v, %v", addr, d, err)
		}
	}
}

func TestOpenRefusesConfig(t *testing.T) {
	for name, cfg := range map[string]verbs.Config{"backlog": {Backlog: -1}, "RNR timer code": {MinRNRTimer: 32}} {
		_, err := verbs.Open(netip.MustParseAddr("127.0.0.1"), cfg)
		var limit *rdma.LimitError
		if !errors.As(err, &limit) || limit.Field != name {
			t.Errorf("%+v: %v, must be a LimitError of the %s", cfg, err, name)
		}
	}
}

// TestOpenWithoutDevice runs where there is no RDMA, and where there is: an address of documentation is nobody's.
func TestOpenWithoutDevice(t *testing.T) {
	_, err := verbs.Open(netip.MustParseAddr("192.0.2.77"), verbs.Config{})
	if !errors.Is(err, rdma.ErrUnavailable) {
		t.Errorf("%v must wrap ErrUnavailable", err)
	}
	_, statErr := os.Stat("/dev/infiniband/rdma_cm")
	if errors.Is(statErr, fs.ErrNotExist) && (err == nil || !strings.Contains(err.Error(), "rdma_ucm")) {
		t.Errorf("%v does not say which module is missing", err)
	}
}

// TestSharedWindow uses the key of a shared window on two connections, after the one that it was bound on is closed, and
// after it was taken back on the other.
func TestSharedWindow(t *testing.T) {
	client, server := openClosed(t), openClosed(t)
	one, two := rdmatest.Connect(t, client, server, rdmatest.Config()), rdmatest.Connect(t, client, server, rdmatest.Config())
	w, err := server.NewSharedWindow()
	rdmatest.Must(t, err)
	defer rdmatest.Close(t, w)
	key := w.NextKey()
	rdmatest.Must(t, one.Server.PostSend(rdma.SendWR{
		ID: 1, Op: rdma.OpBind, Window: w, Signaled: true,
		Bind: rdma.Bind{Region: two.ServerMem, Offset: 4096, Length: 4096, Access: rdma.RemoteWrite},
	}))
	wantCompletion(t, one.Server, rdma.Completion{ID: 1, Op: rdma.OpBind})
	if w.Key() != key {
		t.Errorf("the key is %#x, was told to be %#x", w.Key(), key)
	}
	if err := two.ServerMem.Close(); !errors.Is(err, rdma.ErrBusy) {
		t.Errorf("closing the region under the window: %v, must wrap ErrBusy", err)
	}
	write := func(mem rdma.Region) rdma.SendWR {
		return rdma.SendWR{
			ID: 2, Op: rdma.OpWrite, Local: rdmatest.SGE(mem, 0, 4096), RemoteAddr: two.ServerMem.Addr() + 4096, RemoteKey: key, Signaled: true,
		}
	}
	rdmatest.Must(t, one.Client.PostSend(write(one.ClientMem)))
	wantCompletion(t, one.Client, rdma.Completion{ID: 2, Op: rdma.OpWrite})
	rdmatest.Close(t, one.Server)
	rdmatest.Must(t, two.Client.PostSend(write(two.ClientMem)))
	wantCompletion(t, two.Client, rdma.Completion{ID: 2, Op: rdma.OpWrite})

	rdmatest.Must(t, two.Server.PostSend(rdma.SendWR{ID: 3, Op: rdma.OpInvalidate, Window: w, Signaled: true}))
	wantCompletion(t, two.Server, rdma.Completion{ID: 3, Op: rdma.OpInvalidate})
	rdmatest.Must(t, two.Client.PostSend(write(two.ClientMem)))
	if done := rdmatest.Poll(t, two.Client); done.Status != rdma.StatusRemoteAccess {
		t.Errorf("completion with a key that was taken back: %+v, must be a remote access error", done)
	}
}

// TestWindowOutlivesConnection binds a window anew after the connection that it was bound on is closed.
func TestWindowOutlivesConnection(t *testing.T) {
	client, server := openClosed(t), openClosed(t)
	w, err := server.NewWindow()
	rdmatest.Must(t, err)
	defer rdmatest.Close(t, w)
	for range 3 {
		p := rdmatest.Connect(t, client, server, rdmatest.Config())
		rdmatest.Must(t, p.Server.PostSend(rdma.SendWR{
			ID: 1, Op: rdma.OpBind, Window: w, Signaled: true,
			Bind: rdma.Bind{Region: p.ServerMem, Offset: 0, Length: 4096, Access: rdma.RemoteWrite},
		}))
		wantCompletion(t, p.Server, rdma.Completion{ID: 1, Op: rdma.OpBind})
		rdmatest.Must(t, p.Client.PostSend(rdma.SendWR{
			ID: 2, Op: rdma.OpWrite, Local: rdmatest.SGE(p.ClientMem, 0, 64), RemoteAddr: p.ServerMem.Addr(), RemoteKey: w.Key(), Signaled: true,
		}))
		wantCompletion(t, p.Client, rdma.Completion{ID: 2, Op: rdma.OpWrite})
		rdmatest.Close(t, p.Server)
		rdmatest.Close(t, p.ServerMem) // nothing is bound to it any more
	}
}

// TestBindTwiceInOneChain posts bind, invalidate, bind as one chain: the second bind needs the key that the first gives.
func TestBindTwiceInOneChain(t *testing.T) {
	client, server := openClosed(t), openClosed(t)
	p := rdmatest.Connect(t, client, server, rdmatest.Config())
	w, err := server.NewWindow()
	rdmatest.Must(t, err)
	defer rdmatest.Close(t, w)
	bind := rdma.SendWR{
		Op: rdma.OpBind, Window: w, Bind: rdma.Bind{Region: p.ServerMem, Offset: 0, Length: 4096, Access: rdma.RemoteWrite},
	}
	last := bind
	last.ID, last.Signaled = 3, true
	rdmatest.Must(t, p.Server.PostSend(bind, rdma.SendWR{Op: rdma.OpInvalidate, Window: w}, last))
	wantCompletion(t, p.Server, rdma.Completion{ID: 3, Op: rdma.OpBind})
	if err := p.ServerMem.Close(); !errors.Is(err, rdma.ErrBusy) {
		t.Errorf("closing the region under the window: %v, must wrap ErrBusy", err)
	}
	rdmatest.Must(t, p.Client.PostSend(rdma.SendWR{
		ID: 4, Op: rdma.OpWrite, Local: rdmatest.SGE(p.ClientMem, 0, 64), RemoteAddr: p.ServerMem.Addr(), RemoteKey: w.Key(), Signaled: true,
	}))
	wantCompletion(t, p.Client, rdma.Completion{ID: 4, Op: rdma.OpWrite})
}

// TestUnsignalledBeforeLoss ends a connection whose last requests were unsignalled and have succeeded: nothing is left to
// be flushed, and Poll must see that.
func TestUnsignalledBeforeLoss(t *testing.T) {
	client, server := openClosed(t), openClosed(t)
	p := rdmatest.Connect(t, client, server, rdmatest.Config())
	rdmatest.Must(t, p.Server.PostRecv(rdma.RecvWR{ID: 9}))
	write := rdma.SendWR{Op: rdma.OpWrite, Local: rdmatest.SGE(p.ClientMem, 0, 64), RemoteAddr: p.ServerMem.Addr(), RemoteKey: p.ServerMem.Key()}
	notice := write
	notice.Op = rdma.OpWriteImm
	rdmatest.Must(t, p.Client.PostSend(write, notice))
	wantCompletion(t, p.Server, rdma.Completion{ID: 9, Recv: true, Op: rdma.OpWriteImm, Length: 64})
	rdmatest.Close(t, p.Server)
	rdmatest.Wait(t, p.Client.Lost(), "the client to notice")
	ctx, cancel := context.WithTimeout(context.Background(), rdmatest.Patience)
	defer cancel()
	for {
		var done [4]rdma.Completion
		n, err := p.Client.Poll(ctx, done[:])
		if err == nil && n > 0 && done[0].Status == rdma.StatusFlushed {
			continue // the last acknowledgement was not faster than the end
		}
		if !errors.Is(err, rdma.ErrDisconnected) {
			t.Errorf("Poll of a lost connection: %d, %v, must wrap ErrDisconnected", n, err)
		}
		return
	}
}

// TestSpin polls a connection of a device that spins: it finds what comes, and ends with its context.
func TestSpin(t *testing.T) {
	server := openClosed(t)
	client, err := verbs.Open(server.Addr(), verbs.Config{Spin: 2 * time.Millisecond})
	rdmatest.Must(t, err)
	t.Cleanup(func() { rdmatest.Close(t, client) })
	p := rdmatest.Connect(t, client, server, rdmatest.Config())
	rdmatest.Must(t, p.Client.PostSend(rdma.SendWR{
		ID: 1, Op: rdma.OpWrite, Local: rdmatest.SGE(p.ClientMem, 0, 64), RemoteAddr: p.ServerMem.Addr(), RemoteKey: p.ServerMem.Key(), Signaled: true,
	}))
	wantCompletion(t, p.Client, rdma.Completion{ID: 1, Op: rdma.OpWrite})
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := p.Client.Poll(ctx, make([]rdma.Completion, 1)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Poll whose context ended: %v", err)
	}
}

// TestIdle waits on both sides of a connection without work: whoever looped would use all the time that passes.
func TestIdle(t *testing.T) {
	p := rdmatest.Connect(t, openClosed(t), openClosed(t), rdmatest.Config())
	const wait = time.Second
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	before := processorTime(t)
	var both sync.WaitGroup
	for _, c := range []rdma.Conn{p.Client, p.Server} {
		both.Go(func() {
			if n, err := c.Poll(ctx, make([]rdma.Completion, 1)); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Poll without work: %d, %v", n, err)
			}
		})
	}
	both.Wait()
	if used := processorTime(t) - before; used > wait/2 {
		t.Errorf("waiting for %v has used %v of processor time", wait, used)
	}
}

// processorTime is what the process has used.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var usage unix.Rusage
	rdmatest.Must(t, unix.Getrusage(unix.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func wantCompletion(t testing.TB, c rdma.Conn, want rdma.Completion) {
	t.Helper()
	if diff := cmp.Diff(want, rdmatest.Poll(t, c)); diff != "" {
		t.Errorf("completion (- wanted, + got):\n%s", diff)
	}
}
