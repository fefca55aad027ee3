// SPDX-License-Identifier: Apache-2.0

package burst_test

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ibnbd/ibnbd/reference/burst"
)

// lines is a log, as text without times.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) log() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}

// expect takes what was written since.
func (l *lines) expect(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	got := strings.TrimSpace(l.text.String())
	l.text.Reset()
	if got != strings.Join(want, "\n") {
		t.Errorf("the log has\n%s\nmust have\n%s", got, strings.Join(want, "\n"))
	}
}

func TestFirstIsToldAtOnceAndTheRestTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l lines
		b := burst.New(l.log(), slog.LevelWarn, "read failed")
		b.Note("block", 0)
		l.expect(t, `level=WARN msg="read failed" block=0`)
		for i := range 5000 {
			b.Note("block", i)
		}
		l.expect(t)
		time.Sleep(burst.Interval)
		l.expect(t, `level=WARN msg="read failed, and more" more=5000 block=4999`)
		b.Note("block", 7) // the burst goes on
		l.expect(t)
		time.Sleep(burst.Interval)
		l.expect(t, `level=WARN msg="read failed, and more" more=1 block=7`)
		time.Sleep(burst.Interval) // in which nothing comes
		l.expect(t)
		b.Note("block", 8)
		l.expect(t, `level=WARN msg="read failed" block=8`)
		b.Close()
		l.expect(t)
	})
}

func TestCloseTellsTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l lines
		b := burst.New(l.log(), slog.LevelInfo, "refused")
		for i := range 3 {
			b.Note("from", i)
		}
		b.Close()
		b.Close()
		l.expect(t, `level=INFO msg=refused from=0`, `level=INFO msg="refused, and more" more=2 from=2`)
		b.Note("from", 9)
		time.Sleep(2 * burst.Interval)
		l.expect(t)
	})
}
