// SPDX-License-Identifier: Apache-2.0

//go:build lab

package judge

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/conformance/audit/audittest"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/reference/roce"
	"github.com/ibnbd/ibnbd/vm"
	"github.com/ibnbd/ibnbd/vm/agent"
)

// BenchmarkFio measures everything on traffic of mainline RNBD under fio, recorded in the lab: mixed reads and writes of 4 and
// 64 KiB, eight at a time, over half a million frames. Run it with
//
//	go test -tags lab ./conformance/ibnbd/judge -run '^$' -bench Fio -benchtime 1x
//
// FIO_CAPTURE names a file that an earlier run has kept, or that this one shall keep.
func BenchmarkFio(b *testing.B) {
	path := os.Getenv("FIO_CAPTURE")
	if path == "" {
		path = filepath.Join(b.TempDir(), "fio.pcapng")
	}
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		recordFio(b, path)
	}
	frames := countFrames(b, path)
	if frames < 500_000 {
		b.Fatalf("the recording has %d frames, too few", frames)
	}
	b.Run("layers", func(b *testing.B) { fromMemory(b, path, decodeOnly) })
	b.Run("tracker", func(b *testing.B) { fromMemory(b, path, trackOnly) })
	b.Run("judge", func(b *testing.B) { fromMemory(b, path, trackAndJudge) })
	b.Run("file", func(b *testing.B) { againstTshark(b, path, frames) })
	b.Run("memory", func(b *testing.B) { growth(b, path, frames) })
}

// recordFio records one rail while fio uses a mapped device. Keys are kept: with key refresh, soft-RoCE of Linux 6.12 does
// not survive a packet that is sent again, which a busy machine brings about.
func recordFio(b *testing.B, path string) {
	r := newRig(b, vm.DefaultMTU)
	end := r.serve(subject.KeysKept, subject.ExportSpec{})
	r.must(r.lab.Hosts()[1].Unpack(b.Context(), "fio"))
	recording, err := r.lab.Rails()[0].Record(path, b.Name())
	r.must(err)
	r.mapOver("fio", r.path(0))
	for round := 0; ; round++ {
		r.fio(round)
		if forwarded, _ := recording.Count(); forwarded > 500_000 {
			break
		}
	}
	r.unmap()
	r.must(recording.Close())
	end()
}

// fio reads and writes 64 MiB.
func (r *rig) fio(seed int) {
	result, err := r.lab.Hosts()[1].Agent().Run(r.Context(), agent.Command{Path: "fio", Args: []string{
		"--name=audit", "--filename=" + r.device.Node, "--direct=1", "--ioengine=libaio", "--thread", "--rw=randrw",
		"--bssplit=4k/60:64k/40", "--iodepth=8", "--io_size=64m", fmt.Sprintf("--randseed=%d", seed),
	}})
	r.must(err)
	r.must(result.Err())
}

// each hands every frame of a file on.
func each(tb testing.TB, path string, take func(audit.Frame) bool) {
	source, err := audit.OpenFile(tb.Context(), path)
	if err != nil {
		tb.Fatal(err)
	}
	defer source.Close()
	for {
		frame, err := source.Next()
		if err == io.EOF {
			return
		}
		if err != nil {
			tb.Fatal(err)
		}
		if !take(frame) {
			return
		}
	}
}

func countFrames(tb testing.TB, path string) (n int) {
	each(tb, path, func(audit.Frame) bool { n++; return true })
	return n
}

// fromMemory measures frames that lie in memory, so that reading the file does not count.
func fromMemory(b *testing.B, path string, begin func(testing.TB) func(audit.Frame)) {
	frames := tests.Load(b, path)
	runtime.GC()
	var took time.Duration
	var before, half, after runtime.MemStats
	rounds := 0
	for b.Loop() {
		take := begin(b)
		runtime.ReadMemStats(&before)
		start := time.Now()
		for _, f := range frames[:len(frames)/2] {
			take(f)
		}
		took += time.Since(start)
		runtime.ReadMemStats(&half)
		start = time.Now()
		for _, f := range frames[len(frames)/2:] {
			take(f)
		}
		took += time.Since(start)
		runtime.ReadMemStats(&after)
		rounds++
	}
	b.ReportMetric(float64(rounds*len(frames))/took.Seconds(), "frames/s")
	steady := len(frames) - len(frames)/2
	b.ReportMetric(float64(after.Mallocs-half.Mallocs)/float64(steady), "allocs/frame")
	b.ReportMetric(float64(after.TotalAlloc-half.TotalAlloc)/float64(steady), "B/frame")
}

func decodeOnly(testing.TB) func(audit.Frame) {
	var p roce.Packet
	return func(f audit.Frame) { _ = p.Decode(f.Data) } // what is no RoCEv2 costs time as well
}

func trackOnly(testing.TB) func(audit.Frame) {
	t := audit.NewTracker(audit.Options{Protocols: protocols})
	t.Observe(func(*audit.Event) {})
	return t.Add
}

func trackAndJudge(tb testing.TB) func(audit.Frame) {
	judge, err := audit.NewJudge(protocols, audit.Configuration{})
	if err != nil {
		tb.Fatal(err)
	}
	t := audit.NewTracker(audit.Options{Protocols: protocols})
	t.Observe(judge.Observe)
	t.Observe(audit.NewStatistics().Observe)
	return t.Add
}

// againstTshark reads the file from the disk, tracks and judges it, and then lets tshark read the same file.
func againstTshark(b *testing.B, path string, frames int) {
	var own time.Duration
	for b.Loop() {
		start := time.Now()
		source, err := audit.Files{Names: []string{path}, Protocols: protocols}.Open(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		report, err := audit.Audit{Tracker: audit.Options{Protocols: protocols}}.Run(b.Context(), source)
		if err != nil {
			b.Fatal(err)
		}
		own = time.Since(start)
		source.Close()
		if broken := audittest.Failures(report); len(broken) > 0 || report.Counters.Missing+report.Counters.Corrupted > 0 {
			b.Fatalf("broken %v, counters %+v", broken, report.Counters)
		}
	}
	b.ReportMetric(float64(frames)/own.Seconds(), "frames/s")
	tshark, err := exec.LookPath("tshark")
	if err != nil {
		b.Log("tshark is not installed: no comparison")
		return
	}
	start := time.Now()
	if err := exec.CommandContext(b.Context(), tshark, "-r", path, "-T", "fields", "-e", "infiniband.bth.psn").Run(); err != nil {
		b.Fatal(err)
	}
	took := time.Since(start)
	b.ReportMetric(float64(frames)/took.Seconds(), "tshark-frames/s")
	b.ReportMetric(took.Seconds()/own.Seconds(), "times-tshark")
}

// growth measures the live heap of tracker, judge and statistics after a tenth of the recording and after all of it.
func growth(b *testing.B, path string, frames int) {
	for b.Loop() {
		take := trackAndJudge(b)
		var tenth, whole uint64
		n := 0
		each(b, path, func(f audit.Frame) bool {
			take(f)
			if n++; n == frames/10 {
				tenth = liveHeap()
			}
			return true
		})
		whole = liveHeap()
		runtime.KeepAlive(take)
		b.ReportMetric(float64(tenth)/1024, "KiB-at-10%")
		b.ReportMetric(float64(whole)/1024, "KiB-at-100%")
	}
}

func liveHeap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
