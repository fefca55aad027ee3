// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/conformance/audit/audittest"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/judge/match"
	"github.com/ibnbd/ibnbd/reference/roce"
)

// longCapture makes a long capture out of a short one: the session of the mainline capture is set up, and then reads of
// 4 KiB follow each other, each with its own sequence numbers and keys as they would have been.
func longCapture(tb testing.TB, reads int) capture {
	tb.Helper()
	e := search(tb, rnbdCapture[0])
	first := e.Find(0, match.Request(4, anyRead))
	ask, _ := e.Packet(first)
	next := e.Find(1, match.Request(4, anyRead))
	exchange := e.Frames[first:next]
	made := append(capture(nil), e.Frames[:next]...)

	// The key that the second request uses is the one that the first response brought; so on from here.
	q, _ := e.Packet(next)
	chunkKey, readKey := q.RETH.RKey, ask.Payload[len(ask.Payload)-8:]
	key := binary.LittleEndian.Uint32(readKey)
	answers := 0
	for i := range exchange {
		if p, ok := e.Packet(first + i); ok && p.Src.String() == server && p.BTH.OpCode.IsRequest() {
			answers++
		}
	}
	at := made[len(made)-1].At
	for n := 1; n <= reads; n++ {
		key = key&^0xFF | (key+1)&0xFF
		for i, f := range exchange {
			p, ok := e.Packet(first + i)
			if !ok || p.IsMAD() {
				continue
			}
			p.Payload = bytes.Clone(p.Payload)
			step := n
			if (p.Src.String() == server) == p.BTH.OpCode.IsRequest() {
				step = n * answers
			}
			p.BTH.PSN = p.BTH.PSN.Add(step)
			switch {
			case p.Src.String() == client && p.BTH.OpCode.IsRequest():
				p.RETH.RKey = chunkKey
				binary.LittleEndian.PutUint32(p.Payload[len(p.Payload)-8:], key)
			case p.BTH.OpCode == roce.RCWriteOnly || p.BTH.OpCode == roce.RCWriteFirst:
				p.RETH.RKey = key
			case p.BTH.OpCode == roce.RCSendOnlyInvalidate:
				p.IETH.RKey = key
			case match.Response(p):
				chunkKey = chunkKey&^0xFF | (chunkKey+1)&0xFF
				binary.LittleEndian.PutUint32(p.Payload[4:], chunkKey)
			}
			data, err := p.AppendFrame(nil)
			if err != nil {
				tb.Fatal(err)
			}
			at = at.Add(10 * time.Microsecond)
			f.Data, f.OrigLen, f.At = data, len(data), at
			f.Number = uint64(len(made) + 1)
			made = append(made, f)
		}
	}
	return made
}

// TestLongCapture shows that the capture of the benchmarks is a good one: every read is there, and nothing is wrong.
func TestLongCapture(t *testing.T) {
	report := tests.Judged(t, longCapture(t, 500))
	if broken := audittest.Failures(report); len(broken) > 0 {
		t.Errorf("broken: %v", broken)
	}
	reads := uint64(0)
	for _, p := range report.Statistics {
		for _, op := range p.Operations {
			if op.Operation == "read" {
				reads += op.Count - op.Errors
			}
		}
	}
	if c := report.Counters; reads != 501 || c.Missing+c.Retransmitted+c.Late > 0 {
		t.Errorf("%d reads, counters %+v", reads, c)
	}
}

// TestTrackerDoesNotAllocate: in steady state frames cost no memory, with judge and statistics beside the tracker.
func TestTrackerDoesNotAllocate(t *testing.T) {
	if audittest.RaceDetector {
		t.Skip("the race detector allocates on its own account")
	}
	c := longCapture(t, 3000)
	judge, err := audit.NewJudge(protocols, audit.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	statistics := audit.NewStatistics()
	tracker := audit.NewTracker(audit.Options{Protocols: protocols})
	tracker.Observe(judge.Observe)
	tracker.Observe(statistics.Observe)
	half := len(c) / 2
	for _, f := range c[:half] {
		tracker.Add(f)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, f := range c[half:] {
		tracker.Add(f)
	}
	runtime.ReadMemStats(&after)
	if n := float64(after.Mallocs-before.Mallocs) / float64(len(c)-half); n > 0.01 {
		t.Errorf("%.3f allocations a frame", n)
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 64<<10 {
		t.Errorf("%d bytes were allocated over %d frames", grown, len(c)-half)
	}
}

// overCapture runs a benchmark whose unit is one frame, going round a capture with a new tracker each time.
func overCapture(b *testing.B, observe func(*audit.Tracker)) {
	c := longCapture(b, 5000)
	b.ReportAllocs()
	size, i := 0, len(c)
	var tracker *audit.Tracker
	for b.Loop() {
		if i == len(c) {
			i = 0
			tracker = audit.NewTracker(audit.Options{Protocols: protocols})
			observe(tracker)
		}
		tracker.Add(c[i])
		size += len(c[i].Data)
		i++
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "frames/s")
	b.ReportMetric(float64(size)/b.Elapsed().Seconds()/1e6, "MB/s")
}

func BenchmarkTracker(b *testing.B) {
	overCapture(b, func(t *audit.Tracker) { t.Observe(func(*audit.Event) {}) })
}

func BenchmarkTrackerAndJudge(b *testing.B) {
	overCapture(b, func(t *audit.Tracker) {
		judge, err := audit.NewJudge(protocols, audit.Configuration{})
		if err != nil {
			b.Fatal(err)
		}
		t.Observe(judge.Observe)
		t.Observe(audit.NewStatistics().Observe)
	})
}

// BenchmarkFile reads one file, tracks and judges it, and then lets tshark read the same file in the same run. The metric
// times-tshark is the ratio of the rates.
func BenchmarkFile(b *testing.B) {
	path := filepath.Join(b.TempDir(), "long.pcap")
	c := longCapture(b, 20000)
	writePcap(b, path, c)
	var own time.Duration
	for b.Loop() {
		source, err := audit.OpenFile(b.Context(), path)
		if err != nil {
			b.Fatal(err)
		}
		start := time.Now()
		report, err := audit.Audit{Tracker: audit.Options{Protocols: protocols}}.Run(b.Context(), audit.Merge(source))
		if err != nil {
			b.Fatal(err)
		}
		own = time.Since(start)
		source.Close()
		if int(report.Counters.Frames) != len(c) {
			b.Fatalf("%d frames of %d", report.Counters.Frames, len(c))
		}
	}
	b.ReportMetric(float64(len(c))/own.Seconds(), "frames/s")
	tshark, err := exec.LookPath("tshark")
	if err != nil {
		b.Log("tshark is not installed: no comparison")
		return
	}
	start := time.Now()
	cmd := exec.CommandContext(b.Context(), tshark, "-r", path, "-T", "fields", "-e", "infiniband.bth.psn")
	if err := cmd.Run(); err != nil {
		b.Fatal(err)
	}
	took := time.Since(start)
	b.ReportMetric(float64(len(c))/took.Seconds(), "tshark-frames/s")
	b.ReportMetric(took.Seconds()/own.Seconds(), "times-tshark")
}

func writePcap(tb testing.TB, path string, c capture) {
	tb.Helper()
	file, err := os.Create(path)
	if err != nil {
		tb.Fatal(err)
	}
	defer file.Close()
	w := pcapgo.NewWriter(file)
	if err := w.WriteFileHeader(65536, layers.LinkTypeEthernet); err != nil {
		tb.Fatal(err)
	}
	for _, f := range c {
		if err := w.WritePacket(gopacket.CaptureInfo{Timestamp: f.At, CaptureLength: len(f.Data), Length: f.OrigLen}, f.Data); err != nil {
			tb.Fatal(err)
		}
	}
}
