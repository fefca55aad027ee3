// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/specreport"
	"github.com/ibnbd/ibnbd/vm/agent"
	"github.com/ibnbd/ibnbd/vm/agent/ioprobe"
)

// probeInterval is how often a probe asks for I/O. What a probe measures is late by at most so much.
const probeInterval = 50 * time.Millisecond

// probeSpan is the part of the device that a probe goes round in, in bytes.
const probeSpan = 4 << 20

// ProbeOptions say what a probe does.
type ProbeOptions struct {
	Write    bool          // stamped writes; otherwise reads
	Interval time.Duration // between two I/Os; 0 is probeInterval
}

// Probe is an application that issues one I/O every probe interval, whatever became of those before. It measures what a user
// of the device feels.
type Probe struct {
	client  *agent.Client
	process *agent.Process
	clock   agent.Clock
	lines   *io.PipeWriter
	read    sync.WaitGroup

	mu      sync.Mutex
	records []ioprobe.Record
	ended   bool
	bad     error
	news    chan struct{} // closed and replaced with each record
}

// Probe starts a probe on a device. It ends with the spec at the latest.
func (t *Testbed) Probe(ctx context.Context, d BlockDevice, o ProbeOptions) *Probe {
	ginkgo.GinkgoHelper()
	client := t.InitiatorHost.Agent()
	clock, err := client.Clock(ctx)
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	options := ioprobe.Options{Device: d.NodePath(), Write: o.Write, Interval: cmp.Or(o.Interval, probeInterval), Span: probeSpan}
	reader, writer := io.Pipe()
	pr := &Probe{client: client, clock: clock, lines: writer, news: make(chan struct{})}
	pr.read.Go(func() { pr.follow(reader) })
	// The prober lives as long as the spec wants, not as long as the call that started it.
	pr.process, err = client.Start(context.WithoutCancel(ctx), agent.Command{Path: agent.GuestProgram, Args: options.Args(), Stdout: writer})
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	t.AtEnd(pr.abandon)
	// A program that has not come so far would die of the signal that is to stop it.
	pr.wait(ctx, "its own beginning", func() bool { return len(pr.records) > 0 })
	return pr
}

func (pr *Probe) follow(r io.Reader) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		var record ioprobe.Record
		err := json.Unmarshal(lines.Bytes(), &record)
		pr.mu.Lock()
		if err != nil && pr.bad == nil {
			pr.bad = fmt.Errorf("probe said %q: %w", lines.Text(), err)
		}
		pr.records = append(pr.records, record)
		pr.ended = pr.ended || record.Event == ioprobe.End
		close(pr.news)
		pr.news = make(chan struct{})
		pr.mu.Unlock()
	}
}

// abandon ends a probe that nobody stopped, without waiting for its I/O.
func (pr *Probe) abandon() {
	_ = pr.process.Kill() // one that has ended cannot be killed
	pr.drain()
}

// wait waits until so holds of the records.
func (pr *Probe) wait(ctx context.Context, what string, so func() bool) {
	ginkgo.GinkgoHelper()
	for {
		pr.mu.Lock()
		bad, done, news := pr.bad, so(), pr.news
		pr.mu.Unlock()
		gomega.Expect(bad).NotTo(gomega.HaveOccurred())
		if done {
			return
		}
		select {
		case <-news:
		case <-pr.process.Done():
			pr.drain()
			if !so() {
				ginkgo.Fail(fmt.Sprintf("the probe ended before it saw %s: %s", what, pr.outcome()))
			}
			return
		case <-ctx.Done():
			ginkgo.Fail(fmt.Sprintf("the probe did not see %s: %v", what, context.Cause(ctx)))
		}
	}
}

// drain takes in what a probe that has ended said last.
func (pr *Probe) drain() {
	pr.lines.Close()
	pr.read.Wait()
}

// outcome says how a probe that has ended did.
func (pr *Probe) outcome() string {
	result, err := pr.process.Wait()
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%v, %q", result.Err(), result.Stderr)
}

// Await waits until so many more I/Os were done, well or badly.
func (pr *Probe) Await(ctx context.Context, more int) {
	ginkgo.GinkgoHelper()
	pr.awaitCount(ctx, more, "more I/Os", func(ioprobe.Record) bool { return true })
}

// AwaitSuccess waits until so many more I/Os were done well.
func (pr *Probe) AwaitSuccess(ctx context.Context, more int) {
	ginkgo.GinkgoHelper()
	pr.awaitCount(ctx, more, "more I/Os that succeed", func(r ioprobe.Record) bool { return r.Errno == 0 })
}

func (pr *Probe) awaitCount(ctx context.Context, more int, what string, counts func(ioprobe.Record) bool) {
	ginkgo.GinkgoHelper()
	pr.mu.Lock()
	begin := len(pr.records)
	pr.mu.Unlock()
	pr.wait(ctx, fmt.Sprintf("%d %s", more, what), func() bool {
		n := 0
		for _, r := range pr.records[begin:] {
			if r.Event == ioprobe.IO && counts(r) {
				n++
			}
		}
		return n >= more
	})
}

// Stop ends the probe, waits for its report and puts its I/O rate on the record of the spec.
func (pr *Probe) Stop(ctx context.Context) IOs {
	ginkgo.GinkgoHelper()
	gomega.Expect(pr.process.Signal(syscall.SIGTERM)).To(gomega.Succeed())
	pr.wait(ctx, "its own end", func() bool { return pr.ended })
	pr.checkClock(ctx)
	return IOs{records: pr.records, clock: pr.clock}
}

// clockTolerance is how far a guest's clock may have moved against the host's while a probe ran, before the probe's times
// mean nothing: far less than any bound is wide.
const clockTolerance = 250 * time.Millisecond

// checkClock ends the spec as inconclusive when the clock that the probe measured with has run too fast or too slow.
func (pr *Probe) checkClock(ctx context.Context) {
	ginkgo.GinkgoHelper()
	now, err := pr.client.Clock(ctx)
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	if drift := now.Boot.Sub(pr.clock.Boot).Abs(); drift > clockTolerance {
		specreport.Inconclusive(verdict.ClocksApart, "the initiator's clock moved by %s against the host's while the probe ran", drift)
	}
}

// IOs are what a probe has done.
type IOs struct {
	records []ioprobe.Record
	clock   agent.Clock
}

func (o IOs) at(monotonic int64) time.Time { return o.clock.FromMonotonic(time.Duration(monotonic)) }

// since yields the I/Os that were completed at or after a moment, or never.
func (o IOs) since(moment time.Time, do func(submit, complete time.Time, r ioprobe.Record)) {
	for _, r := range o.records {
		switch r.Event {
		case ioprobe.IO:
			if complete := o.at(r.Complete); !complete.Before(moment) {
				do(o.at(r.Submit), complete, r)
			}
		case ioprobe.Outstanding:
			do(o.at(r.Submit), o.at(o.records[len(o.records)-1].Submit), r)
		}
	}
}

// Stall is the longest time that an I/O took which was not done at a moment. One that never ended counts until the end of
// the probe.
func (o IOs) Stall(moment time.Time) time.Duration {
	var longest time.Duration
	o.since(moment, func(submit, complete time.Time, _ ioprobe.Record) { longest = max(longest, complete.Sub(submit)) })
	return longest
}

// FirstError is when the first I/O failed at or after a moment; the zero time if none did.
func (o IOs) FirstError(moment time.Time) time.Time {
	var first time.Time
	o.since(moment, func(_, complete time.Time, r ioprobe.Record) {
		if r.Errno != 0 && (first.IsZero() || complete.Before(first)) {
			first = complete
		}
	})
	return first
}

// Errors lists the I/Os that failed, were short, or hung. An I/O that was issued just before the probe ended and was not done
// by then is none of these.
func (o IOs) Errors() []string {
	var list []string
	for _, r := range o.records {
		switch age := o.age(r); {
		case r.Event == ioprobe.Outstanding && age > AtOnce:
			list = append(list, fmt.Sprintf("I/O %d at %d hung: not done after %s", r.Seq, r.Offset, age))
		case r.Event == ioprobe.IO && r.Errno != 0:
			list = append(list, fmt.Sprintf("I/O %d at %d: %v", r.Seq, r.Offset, syscall.Errno(r.Errno)))
		case r.Event == ioprobe.IO && r.Short != 0:
			list = append(list, fmt.Sprintf("I/O %d at %d: %d of %d bytes", r.Seq, r.Offset, r.Short, r.Size))
		}
	}
	return list
}

// age is the time from an I/O's submission to the end of the probe.
func (o IOs) age(r ioprobe.Record) time.Duration {
	return time.Duration(o.records[len(o.records)-1].Submit - r.Submit)
}

// Plot puts the rates of I/Os and of errors on the record of the spec, second by second.
func (t *Testbed) Plot(o IOs) {
	good, bad := make(map[int]float64), make(map[int]float64)
	last := 0
	for _, r := range o.records {
		if r.Event != ioprobe.IO {
			continue
		}
		second := int(o.at(r.Complete).Sub(t.began) / time.Second)
		last = max(last, second)
		if r.Errno == 0 {
			good[second]++
		} else {
			bad[second]++
		}
	}
	for name, counts := range map[string]map[int]float64{"I/Os done": good, "I/Os failed": bad} {
		series := verdict.Series{Name: name, Unit: "1/s"}
		for second := range last + 1 {
			series.Points = append(series.Points, verdict.Point{At: time.Duration(second) * time.Second, Value: counts[second]})
		}
		specreport.Plotted(series)
	}
}

// VerifyWrites reads what a probe has written, block by block: each must hold the last write that was acknowledged, or a
// later one that was not. An older one was lost, or overtaken by a write that should have been dead.
func (t *Testbed) VerifyWrites(ctx context.Context, o IOs, d BlockDevice) {
	ginkgo.GinkgoHelper()
	gomega.Expect(t.LostWrites(ctx, o, d)).To(gomega.BeEmpty(), "blocks of acknowledged writes")
}

// LostWrites lists the blocks that do not hold the last write to them that was acknowledged, or a later one.
func (t *Testbed) LostWrites(ctx context.Context, o IOs, d BlockDevice) []string {
	ginkgo.GinkgoHelper()
	acknowledged := make(map[int64]ioprobe.Record)
	for _, r := range o.records {
		if r.Event == ioprobe.IO && r.Write && r.Errno == 0 && r.Short == 0 {
			if before, ok := acknowledged[r.Offset]; !ok || r.Seq > before.Seq {
				acknowledged[r.Offset] = r
			}
		}
	}
	gomega.Expect(acknowledged).NotTo(gomega.BeEmpty(), "acknowledged writes of the probe")
	content := make([]byte, probeSpan)
	gomega.Expect(t.ReadAt(ctx, d, content, 0)).To(gomega.Succeed())
	var wrong []string
	for _, offset := range slices.Sorted(maps.Keys(acknowledged)) {
		r := acknowledged[offset]
		if err := checkBlock(content[offset:offset+r.Size], offset, r.Seq); err != nil {
			wrong = append(wrong, err.Error())
		}
	}
	return wrong
}

// checkBlock checks that every sector of a block is at home and was written by write seq, or a later one.
func checkBlock(block []byte, offset int64, seq uint64) error {
	const sector = 512
	for at := 0; at < len(block); at += sector {
		home := offset + int64(at)
		s := ioprobe.ParseStamp(block[at : at+sector])
		switch {
		case s == nil:
			return fmt.Errorf("byte %d: not stamped, write %d was acknowledged", home, seq)
		case s.Offset != home:
			return fmt.Errorf("byte %d: misplaced: holds byte %d of write %d", home, s.Offset, s.Seq)
		case s.Seq < seq:
			return fmt.Errorf("byte %d: holds write %d, although write %d was acknowledged", home, s.Seq, seq)
		}
	}
	return nil
}
