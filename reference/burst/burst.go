// SPDX-License-Identifier: Apache-2.0

// Package burst bounds the lines that a log gets of events which may come in thousands, such as connections that are aborted
// and I/Os that fail: one line for the first, and then one for all that follow within a time.
package burst

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Interval is the time between two lines about events of one kind.
const Interval = 10 * time.Second

// Log writes about events of one kind. Its methods may be called from many goroutines at once. Close it when no more events
// should come, or the last of them are not told.
type Log struct {
	to      *slog.Logger
	level   slog.Level
	message string

	mu     sync.Mutex  // guards the rest
	timer  *time.Timer // runs while events are held back; nil: the next is told at once
	more   int         // events that are held back
	last   []any       // attributes of the last of them
	closed bool
}

// New makes a log of events.
func New(to *slog.Logger, level slog.Level, message string) *Log {
	return &Log{to: to, level: level, message: message}
}

// Note takes note of an event. The attributes are as for slog.Logger.Log.
func (l *Log) Note(attributes ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return
	case l.timer != nil:
		l.more++
		l.last = attributes
		return
	}
	l.timer = time.AfterFunc(Interval, l.over)
	l.to.Log(context.Background(), l.level, l.message, attributes...)
}

// over tells of what was held back for an interval. While there is something, the next interval begins.
func (l *Log) over() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	if l.more == 0 {
		l.timer = nil
		return
	}
	l.tell()
	l.timer.Reset(Interval)
}

// tell writes a line about the events that were held back.
func (l *Log) tell() {
	l.to.Log(context.Background(), l.level, l.message+", and more", append([]any{"more", l.more}, l.last...)...)
	l.more, l.last = 0, nil
}

// Close tells of what is held back. What comes later is not told any more.
func (l *Log) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.timer != nil {
		l.timer.Stop()
	}
	if l.more > 0 {
		l.tell()
	}
	l.closed = true
}
