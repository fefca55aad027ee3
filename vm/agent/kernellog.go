// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"fmt"
	"time"

	"github.com/ibnbd/ibnbd/vm/agent/internal/wire"
)

// A LogRecord is one record of the guest's kernel log, or the word that records are missing.
type LogRecord struct {
	// Seq numbers the records of a boot from 0 on, without gaps.
	Seq uint64
	// Level is the severity, 0 (emergency) to 7 (debug).
	Level int
	// Facility is 0 for the kernel's own records.
	Facility int
	// Time since boot, by the clock of the log.
	Time time.Duration
	// Text of the record; it may have several lines.
	Text string
	// Dictionary has the structured part, lines of " KEY=value", if any.
	Dictionary string
	// Lost is 0, or the number of records before Seq that were overwritten before they were read; then nothing else is
	// set but Seq.
	Lost uint64
}

func (r LogRecord) String() string {
	if r.Lost > 0 {
		return fmt.Sprintf("[%d records lost before %d]", r.Lost, r.Seq)
	}
	return fmt.Sprintf("[%12.6f] <%d> %s", r.Time.Seconds(), r.Level, r.Text)
}

// A KernelLog follows the kernel log of a guest. It belongs to one goroutine.
type KernelLog struct{ st *stream }

// KernelLog follows the guest's kernel log from sequence number from on: first what is there, then what comes, until the
// log is closed or ctx ends. A record of Lost > 0 stands where records are missing, also at the beginning.
func (c *Client) KernelLog(ctx context.Context, from uint64) (*KernelLog, error) {
	st, err := c.begin(ctx, wire.OpKernelLog, wire.KernelLog{From: from})
	if err != nil {
		return nil, err
	}
	return &KernelLog{st}, nil
}

// Next waits for the next record.
func (l *KernelLog) Next() (LogRecord, error) {
	kind, body, err := l.st.receive()
	if err != nil {
		return LogRecord{}, err
	}
	if kind != wire.Item {
		return LogRecord{}, l.st.unexpected(kind)
	}
	var entry wire.LogEntry
	if err := l.st.decode(body, &entry); err != nil {
		return LogRecord{}, err
	}
	return LogRecord{Seq: entry.Seq, Level: entry.Priority & 7, Facility: entry.Priority >> 3,
		Time: time.Duration(entry.Monotonic) * time.Microsecond, Text: entry.Text, Dictionary: entry.Dictionary,
		Lost: entry.Lost}, nil
}

// Close ends the following.
func (l *KernelLog) Close() error {
	l.st.finish()
	return nil
}
