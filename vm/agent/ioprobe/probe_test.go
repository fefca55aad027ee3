// SPDX-License-Identifier: Apache-2.0

package ioprobe

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// testFile makes a file to probe on a file system that has direct I/O: the working directory's, as /tmp may be in memory.
func testFile(t *testing.T, size int64) string {
	t.Helper()
	dir, err := os.MkdirTemp(".", ".probe-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	name := filepath.Join(dir, "device")
	if err := os.WriteFile(name, make([]byte, size), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

// stopAfter ends a run when it has printed so many records.
type stopAfter struct {
	bytes.Buffer
	count  int
	cancel context.CancelFunc
}

func (s *stopAfter) Write(p []byte) (int, error) {
	if s.count--; s.count == 0 {
		s.cancel()
	}
	return s.Buffer.Write(p)
}

// probe runs the prober until it has printed count records, and returns all of them.
func probe(t *testing.T, o Options, count int) []Record {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	out := &stopAfter{count: count, cancel: cancel}
	if err := Main(ctx, o.Args()[1:], out); err != nil {
		t.Fatal(err)
	}
	var records []Record
	decoder := json.NewDecoder(&out.Buffer)
	for {
		var r Record
		err := decoder.Decode(&r)
		if errors.Is(err, io.EOF) {
			return records
		}
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, r)
	}
}

func TestReaderFindsWhatTheWriterStamped(t *testing.T) {
	o := Options{Device: testFile(t, 1<<20), Write: true, Interval: time.Millisecond, Offset: 4096, Span: 5 * 4096}
	written := map[uint64]Record{}
	for _, r := range probe(t, o, 20) {
		if r.Event == IO {
			if r.Errno != 0 || r.Complete < r.Submit || r.Size != 4096 || r.Offset != 4096+int64(r.Seq%5)*4096 {
				t.Errorf("write %+v", r)
			}
			written[r.Seq] = r
		}
	}
	if len(written) < 15 {
		t.Fatalf("only %d writes completed", len(written))
	}
	o.Write = false
	found := 0
	for _, r := range probe(t, o, 8) {
		if r.Stamp == nil {
			continue
		}
		found++
		w, ok := written[r.Stamp.Seq]
		if ok && (r.Stamp.Offset != r.Offset || r.Stamp.Realtime != w.Realtime) {
			t.Errorf("read %+v of what was written as %+v", *r.Stamp, w)
		}
	}
	if found < 5 {
		t.Errorf("only %d stamps were found", found)
	}
}

func TestRunBeginsEndsAndMissesNoTick(t *testing.T) {
	records := probe(t, Options{Device: testFile(t, 1<<16), Interval: time.Millisecond}, 12)
	first, last := records[0], records[len(records)-1]
	if first.Event != Begin || first.Size != 1<<16 {
		t.Errorf("first %+v", first)
	}
	if last.Event != End {
		t.Errorf("last %+v", last)
	}
	ticks := map[uint64]bool{}
	for _, r := range records[1 : len(records)-1] {
		ticks[r.Seq] = true
	}
	if len(ticks) != int(last.Seq) {
		t.Errorf("%d ticks are told of, %d were counted", len(ticks), last.Seq)
	}
}

func TestHungIODoesNotHoldUpTheTicker(t *testing.T) {
	done := make(chan struct{})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	out := &stopAfter{count: 40, cancel: cancel}
	p := &prober{options: Options{Write: true, Size: 4096, Interval: time.Millisecond, Limit: 3},
		device: device{span: 1 << 20}, printer: newPrinter(out), outstanding: map[uint64]Record{},
		transfer: func(int, Record, []byte) (int, error) { <-done; return 0, syscall.EIO }}
	err := p.run(ctx)
	close(done)
	if err != nil {
		t.Fatal(err)
	}
	events := map[Event]int{}
	for line := range strings.Lines(out.String()) {
		var r Record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		events[r.Event]++
	}
	skipped := events[Skipped]
	delete(events, Skipped)
	if diff := cmp.Diff(map[Event]int{Begin: 1, Outstanding: 3, End: 1}, events); diff != "" || skipped < 39 {
		t.Errorf("%d skipped; others (-want +got):\n%s", skipped, diff)
	}
}

func TestOptionsComeThroughTheirArguments(t *testing.T) {
	want := Options{Device: "/dev/x", Write: true, Interval: 3 * time.Millisecond, Size: 512, Offset: 1024, Span: 2048, Limit: 7,
		Duration: time.Second}
	got, err := parse(want.Args()[1:])
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestBadOptionsAreRefused(t *testing.T) {
	for args, says := range map[string]string{
		"":                              "0 devices",
		"a b":                           "2 devices",
		"-size 100 x":                   "size 100",
		"-size 16777216 x":              "size 16777216",
		"-interval 0s x":                "interval 0s",
		"-offset 3 x":                   "offset 3",
		"-span 512 x":                   "span 512",
		"-limit 0 x":                    "limit 0",
		"-duration -1s x":               "duration -1s",
		"-what x":                       "what",
		"/no/such/device":               "/no/such/device",
		"-offset 1048576 probe_test.go": "no room",
	} {
		err := Main(t.Context(), strings.Fields(args), io.Discard)
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: error %v, want one that says %q", args, err, says)
		}
	}
}
