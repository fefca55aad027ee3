// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ibnbd/ibnbd/vm/agent/internal/wire"
)

// maxRecord is the size of the largest record that /dev/kmsg gives, in bytes; a smaller buffer would get EINVAL.
const maxRecord = 8192

// kernelLog sends the records of the kernel's log from a sequence number on, those that are there and those that come,
// until the host lets go.
func kernelLog(ctx context.Context, _ *session, st *stream, raw json.RawMessage) (any, error) {
	args, err := arguments[wire.KernelLog](raw)
	if err != nil {
		return nil, err
	}
	log, err := os.OpenFile("/dev/kmsg", os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	defer context.AfterFunc(st.untilLetGo(ctx), func() { log.Close() })()
	return nil, follow(log.Read, args.From, func(entry wire.LogEntry) error {
		return wire.WriteJSON(st, wire.Item, entry)
	})
}

// follow reads records, each with one call of read, and sends those from sequence number next on. EPIPE says that records
// were overwritten before they were read; how many, the next record tells.
func follow(read func([]byte) (int, error), next uint64, send func(wire.LogEntry) error) error {
	buf := make([]byte, maxRecord)
	for {
		n, err := read(buf)
		if errors.Is(err, unix.EPIPE) {
			continue
		}
		if errors.Is(err, os.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		entry, err := parseRecord(string(buf[:n]))
		if err != nil {
			return err
		}
		if entry.Seq < next {
			continue
		}
		if lost := entry.Seq - next; lost > 0 {
			if err := send(wire.LogEntry{Seq: entry.Seq, Lost: lost}); err != nil {
				return err
			}
		}
		if err := send(entry); err != nil {
			return err
		}
		next = entry.Seq + 1
	}
}

// parseRecord reads one record of /dev/kmsg: "priority,sequence,microseconds,flags[,...];text", then lines that begin
// with a space: " KEY=value".
func parseRecord(record string) (wire.LogEntry, error) {
	prefix, rest, ok := strings.Cut(record, ";")
	fields := strings.Split(prefix, ",")
	if !ok || len(fields) < 4 {
		return wire.LogEntry{}, fmt.Errorf("kernel log record not understood: %q", record)
	}
	priority, err1 := strconv.Atoi(fields[0])
	seq, err2 := strconv.ParseUint(fields[1], 10, 64)
	usec, err3 := strconv.ParseInt(fields[2], 10, 64)
	if err := errors.Join(err1, err2, err3); err != nil {
		return wire.LogEntry{}, fmt.Errorf("kernel log record %q: %w", record, err)
	}
	text, dictionary, _ := strings.Cut(strings.TrimSuffix(rest, "\n"), "\n")
	return wire.LogEntry{Seq: seq, Priority: priority, Monotonic: usec, Text: unescape(text), Dictionary: dictionary}, nil
}

// unescape undoes the \xNN that the kernel writes for bytes that are not printable.
func unescape(text string) string {
	if !strings.Contains(text, `\x`) {
		return text
	}
	var plain strings.Builder
	for len(text) > 0 {
		if len(text) >= 4 && text[0] == '\\' && text[1] == 'x' {
			if b, err := strconv.ParseUint(text[2:4], 16, 8); err == nil {
				plain.WriteByte(byte(b))
				text = text[4:]
				continue
			}
		}
		plain.WriteByte(text[0])
		text = text[1:]
	}
	return plain.String()
}
