// SPDX-License-Identifier: Apache-2.0

package ibnbd_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ibnbd/ibnbd/reference/backend"
	"github.com/ibnbd/ibnbd/reference/burst"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// badDisk fails reads and writes of its second half.
type badDisk struct{ backend.Backend }

func (d badDisk) ReadAt(p []byte, offset int64) error {
	if offset >= deviceSize/2 {
		return syscall.EIO
	}
	return d.Backend.ReadAt(p, offset)
}

func (d badDisk) Properties() backend.Properties {
	p := d.Backend.Properties()
	p.SecureErase = false
	return p
}

func (d badDisk) WriteAt(p []byte, offset int64, fua bool) error {
	if offset >= deviceSize/2 {
		return syscall.EIO
	}
	return d.Backend.WriteAt(p, offset, fua)
}

// logText is a log that is read.
type logText struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// with takes the lines that have a word.
func (l *logText) with(word string) (lines []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range strings.Split(l.text.String(), "\n") {
		if strings.Contains(line, word) {
			lines = append(lines, line)
		}
	}
	return lines
}

// TestFailedIOIsCountedAndTold fails thousands of requests on one of two devices, then all that come while the session is
// lost. Both sides count each, and write two lines about them.
func TestFailedIOIsCountedAndTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		var clientLog, serverLog logText
		cfg := l.serverConfig()
		cfg.Log = slog.New(slog.NewTextHandler(&serverLog, nil))
		cfg.Exports = []ibnbd.Export{{Path: "bad", Backend: badDisk{l.memory(deviceSize, 512)}}, {Path: "good", Backend: l.memory(deviceSize, 512)}}
		s, err := ibnbd.Listen(cfg)
		if err != nil {
			t.Fatal(err)
		}
		ccfg := l.clientConfig("blya", 0)
		ccfg.Log = slog.New(slog.NewTextHandler(&clientLog, nil))
		c := l.connect(ccfg)
		bad, good := l.mapDevice(c, "bad", ibnbd.ReadWrite), l.mapDevice(c, "good", ibnbd.ReadWrite)
		const times = 1000
		p := make([]byte, 512)
		for range times {
			for _, io := range []func() (int, error){
				func() (int, error) { return bad.ReadAt(p, deviceSize/2) },
				func() (int, error) { return bad.WriteAt(p, deviceSize-512) },
				func() (int, error) { return 0, bad.SecureErase(context.Background(), 0, 512) }, // which it cannot
			} {
				if _, err := io(); err == nil {
					t.Fatal("an I/O that must fail does not")
				}
			}
			for _, d := range []*ibnbd.Device{bad, good} {
				if _, err := d.WriteAt(p, 0); err != nil {
					t.Fatal(err)
				}
			}
		}
		want := ibnbd.IOFailures{Reads: times, Writes: times, Others: times}
		expectFailures(t, "bad", bad.Failures(), want)
		expectFailures(t, "good", good.Failures(), ibnbd.IOFailures{})
		expectFailures(t, "the session", c.Failures(), want)
		want.Others = 0 // which the client has not asked for
		expectFailures(t, "the server's session", s.Failures("blya"), want)
		expectFailures(t, "no session", s.Failures("other"), ibnbd.IOFailures{})

		time.Sleep(burst.Interval)
		synctest.Wait()
		for side, log := range map[string]*logText{"client": &clientLog, "server": &serverLog} {
			lines := log.with("I/O failed")
			if len(lines) != 2 || !strings.Contains(lines[0], `read of 512 bytes at`) || !strings.Contains(lines[1], "and more") {
				t.Errorf("the log of the %s has\n%s", side, strings.Join(lines, "\n"))
			}
		}

		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		waitDevice(t, good, ibnbd.DeviceClosed, time.Second)
		for range times {
			if _, err := good.WriteAt(p, 0); !errors.Is(err, ibtrs.EIO) {
				t.Fatalf("write to a closed device: %v, want EIO", err)
			}
		}
		expectFailures(t, "good, closed", good.Failures(), ibnbd.IOFailures{Writes: times})
		time.Sleep(burst.Interval)
		synctest.Wait()
		if lines := clientLog.with("device is closed"); len(lines) != 2 {
			t.Errorf("the log of the client has\n%s", strings.Join(lines, "\n"))
		}
	})
}

func expectFailures(t *testing.T, what string, got, want ibnbd.IOFailures) {
	t.Helper()
	if got != want {
		t.Errorf("failures of %s: %+v, must be %+v", what, got, want)
	}
}

// TestGivenUpIsNoFailure has a caller that does not wait.
func TestGivenUpIsNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.listen(l.serverConfig())
		d := l.mapDevice(l.connect(l.clientConfig("blya", 0)), "ram0", ibnbd.ReadWrite)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if _, err := d.WriteAtContext(ctx, make([]byte, 512), 0, 0); !errors.Is(err, context.Canceled) {
			t.Fatalf("write: %v, want %v", err, context.Canceled)
		}
		expectFailures(t, "the device", d.Failures(), ibnbd.IOFailures{GivenUp: 1})
	})
}
