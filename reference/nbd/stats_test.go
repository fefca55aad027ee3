// SPDX-License-Identifier: Apache-2.0

package nbd_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ibnbd/ibnbd/reference/nbd"
)

// text is where a log goes.
type text struct {
	mu sync.Mutex
	bytes.Buffer
}

func (l *text) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.Write(p)
}

// TestAbortedConnectionsAreCounted aborts hundreds of connections in all phases. The log has a line for the first, and one for
// all the others.
func TestAbortedConnectionsAreCounted(t *testing.T) {
	l, err := net.Listen("unix", t.TempDir()+"/s")
	if err != nil {
		t.Fatal(err)
	}
	var log text
	s := &nbd.Server{Log: slog.New(slog.NewTextHandler(&log, nil))}
	s.Add("a", sparse())
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()

	const times = 100
	for range times {
		for _, abort := range []func(r *raw){
			func(r *raw) { r.say([]byte("IHAVE")) },                                          // within an option
			func(r *raw) { r.say(bytes.Repeat([]byte{1}, 16)) },                              // which is none
			func(r *raw) { r.reach("a"); r.say(make([]byte, 13)) },                           // within a command
			func(r *raw) { r.reach("a"); r.command(0, write, 1, 0, 4096, make([]byte, 99)) }, // within data
		} {
			r := greet(t, l.Addr())
			abort(r)
			r.conn.Close()
		}
	}
	for range times { // leave in peace, without waiting for the answer
		r := greet(t, l.Addr())
		r.say(be.AppendUint64(be.AppendUint64(nil, 0x49484156454f5054), optAbort<<32))
		r.conn.Close()
	}
	r := greet(t, l.Addr()) // served like ever, and leaves in peace
	r.reach("a")
	for range 3 {
		r.expectErrno(false, 0, read, size, 512, nil, eInval)
	}
	r.expectErrno(false, 0, read, 0, 512, nil, 0)
	r.command(0, disconnect, 0, 0, 0, nil)
	r.gone()
	for start := time.Now(); s.Stats().Aborted < 4*times; runtime.Gosched() { // the last of them may just be ending
		if time.Since(start) > 20*time.Second {
			t.Fatalf("%d of %d aborted connections have ended", s.Stats().Aborted, 4*times)
		}
	}
	if got, want := s.Stats(), (nbd.Stats{Connections: 5*times + 1, Aborted: 4 * times, Refused: 3}); got != want {
		t.Errorf("counters are %+v, must be %+v", got, want)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], "NBD connection aborted") || !strings.Contains(lines[1], "more=399") {
		t.Errorf("the log has\n%s", log.String())
	}
}
