// SPDX-License-Identifier: Apache-2.0

package ibnbd

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"

	"github.com/ibnbd/ibnbd/reference/burst"
)

// IOFailures counts requests that failed. An I/O that is too long for one request is as many as were sent for it.
type IOFailures struct {
	Reads, Writes uint64
	Others        uint64 // flushes, discards, write zeroes, secure erases, and what is no operation
	GivenUp       uint64 // whose callers did not wait for the end; they are in none of the others
}

// failures counts requests that fail, and tells of them in the log, but not of each.
type failures struct {
	reads, writes, others, givenUp atomic.Uint64
	log                            *burst.Log
}

func (f *failures) note(op Op, err error) {
	switch {
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		f.givenUp.Add(1)
	case op == OpRead:
		f.reads.Add(1)
	case op == OpWrite:
		f.writes.Add(1)
	default:
		f.others.Add(1)
	}
	if f.log != nil {
		f.log.Note("error", err)
	}
}

func (f *failures) counts() IOFailures {
	return IOFailures{Reads: f.reads.Load(), Writes: f.writes.Load(), Others: f.others.Load(), GivenUp: f.givenUp.Load()}
}

func newFailureLog(to *slog.Logger, message string) *burst.Log {
	return burst.New(to, slog.LevelWarn, message)
}
