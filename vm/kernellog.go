// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/ibnbd/ibnbd/vm/agent"
)

// LogRecord is one record of a host's kernel log.
type LogRecord struct {
	agent.LogRecord
	Boot int       // which boot of the host, from 1; sequence numbers begin anew with each
	At   time.Time // host clock; the zero time until the clocks were compared
}

// KernelLog is the kernel log of one host, over all its boots. Records come by themselves, from boot on.
type KernelLog struct {
	mu       sync.Mutex // guards the fields below
	records  []LogRecord
	written  int // how many of them are in the file: those whose time is known
	boot     int
	clock    *agent.Clock // of the present boot; nil until compared
	marks    int
	news     chan struct{} // closed and replaced with each record
	file     *os.File
	client   *agent.Client // whose log is followed
	followed chan struct{} // closed when the present following has ended
	err      error         // of writing the file, or of following, where the machine lived on
}

// Mark is a place in a kernel log.
type Mark int

func newKernelLog(path string) (*KernelLog, error) {
	file, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("vm: keep a kernel log: %w", err)
	}
	ended := make(chan struct{})
	close(ended)
	return &KernelLog{file: file, news: make(chan struct{}), followed: ended}, nil
}

// Path is the file that gets every record, one a line: boot, host time, and the record.
func (k *KernelLog) Path() string { return k.file.Name() }

// follow begins with the log of a new boot.
func (k *KernelLog) follow(client *agent.Client) error {
	log, err := client.KernelLog(context.Background(), 0) // it ends with the client
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.write(len(k.records)) // those of a boot that ended before its clock was known
	k.boot++
	k.clock, k.client = nil, client
	k.followed = make(chan struct{})
	go k.read(log, k.followed)
	return nil
}

func (k *KernelLog) read(log *agent.KernelLog, done chan struct{}) {
	defer close(done)
	defer log.Close()
	for {
		record, err := log.Next()
		if err != nil {
			k.fail(err)
			return
		}
		k.add(record)
	}
}

func (k *KernelLog) add(record agent.LogRecord) {
	k.mu.Lock()
	defer k.mu.Unlock()
	r := LogRecord{LogRecord: record, Boot: k.boot}
	if k.clock != nil {
		r.At = k.clock.FromLog(record.Time)
	}
	k.records = append(k.records, r)
	if k.clock != nil {
		k.write(len(k.records))
	}
	close(k.news)
	k.news = make(chan struct{})
}

// setClock gives the present boot's records their times; those that came before get them now.
func (k *KernelLog) setClock(clock agent.Clock) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.clock = &clock
	for i := k.written; i < len(k.records); i++ {
		k.records[i].At = clock.FromLog(k.records[i].Time)
	}
	k.write(len(k.records))
}

// write puts the records up to one into the file; k.mu is held.
func (k *KernelLog) write(end int) {
	for ; k.written < end; k.written++ {
		r := k.records[k.written]
		_, err := fmt.Fprintf(k.file, "%d %s %v\n", r.Boot, r.At.Format(time.RFC3339Nano), r)
		if err != nil && k.err == nil {
			k.err = fmt.Errorf("vm: write the kernel log to %s: %w", k.file.Name(), err)
		}
	}
}

// fail keeps the reason for the end of following, unless that is the end of the session: somebody else tells of that.
func (k *KernelLog) fail(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !errors.Is(err, agent.ErrLost) && k.err == nil {
		k.err = fmt.Errorf("vm: follow a kernel log: %w", err)
	}
}

// kmsg is the kernel's log as a file: a record for each write, a record for each read.
const kmsg = "/dev/kmsg"

// Mark writes a line of the caller's into the guest's log, waits until it comes back, and returns its place: all that the
// kernel said before is before it. Where the guest is gone nothing comes any more, and Mark returns the end.
func (k *KernelLog) Mark(ctx context.Context, what string) (Mark, error) {
	k.mu.Lock()
	k.marks++
	line := fmt.Sprintf("lab: mark %d: %s", k.marks, what)
	client, from := k.client, len(k.records)
	k.mu.Unlock()
	if client == nil {
		return Mark(from), nil
	}
	const level = 6 // informational
	err := client.WriteFile(ctx, kmsg, fmt.Appendf(nil, "<%d>%s\n", level, line))
	if errors.Is(err, agent.ErrLost) {
		return k.end(), nil
	}
	if err != nil {
		return 0, fmt.Errorf("vm: mark a kernel log: %w", err)
	}
	return k.find(ctx, from, line)
}

// find waits for a record with that text, from a place on.
func (k *KernelLog) find(ctx context.Context, from int, text string) (Mark, error) {
	for {
		k.mu.Lock()
		for ; from < len(k.records); from++ {
			if k.records[from].Text == text {
				k.mu.Unlock()
				return Mark(from), nil
			}
		}
		news, followed := k.news, k.followed
		k.mu.Unlock()
		select {
		case <-news:
		case <-followed:
			return k.end(), nil
		case <-ctx.Done():
			return 0, fmt.Errorf("vm: wait for a mark in a kernel log: %w", ctx.Err())
		}
	}
}

func (k *KernelLog) end() Mark {
	k.mu.Lock()
	defer k.mu.Unlock()
	return Mark(len(k.records))
}

// Since returns the records from a mark on, the mark's own line included. Mark the end first, to have all that belongs
// before it. The error says that the log is not whole: it could not be followed, or not be written.
func (k *KernelLog) Since(mark Mark) ([]LogRecord, error) {
	return k.Between(mark, k.end())
}

// Between returns the records from one mark to another, that one excluded.
func (k *KernelLog) Between(from, to Mark) ([]LogRecord, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if from < 0 || to < from || int(to) > len(k.records) {
		return nil, fmt.Errorf("vm: records %d to %d of a kernel log of %d", from, to, len(k.records))
	}
	return append([]LogRecord(nil), k.records[from:to]...), k.err
}

// rest waits until the following of a session that was closed has ended.
func (k *KernelLog) rest() {
	k.mu.Lock()
	followed := k.followed
	k.mu.Unlock()
	<-followed
}

// close makes the file whole.
func (k *KernelLog) close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.write(len(k.records))
	return k.file.Close()
}
