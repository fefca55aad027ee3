// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// progress shows a person how a run goes: on a terminal a line for each spec that ended, with the specs that are running
// below; in a log the lines alone. It may be used by several goroutines.
type progress struct {
	out     io.Writer
	term    terminal // nil in a log
	total   int
	now     func() time.Time
	started time.Time
	stopped chan struct{} // closed by stop

	mu       sync.Mutex
	finished int
	skipped  string          // why the spec that ended last was skipped; "" if it was not
	running  map[int]running // by worker
	drawn    []int           // widths of the lines of the live part on the screen
}

// running is a spec that has begun and not ended.
type running struct {
	spec  string
	since time.Time
}

// newProgress shows a run of total specs on out, until it is stopped.
func newProgress(out io.Writer, total int) *progress {
	p := &progress{
		out: out, term: terminalOf(out), total: total,
		now: time.Now, started: time.Now(), stopped: make(chan struct{}), running: make(map[int]running),
	}
	if p.term != nil {
		go p.tick()
	}
	return p
}

// tick keeps the clocks of the running specs going.
func (p *progress) tick() {
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for {
		select {
		case <-second.C:
			p.print()
		case <-p.stopped:
			return
		}
	}
}

// say prints a line with the time since the start of the run.
func (p *progress) say(format string, args ...any) {
	p.print(p.clock() + " " + fmt.Sprintf(format, args...))
}

// more tells of n specs that nobody expected.
func (p *progress) more(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.total += n
}

func (p *progress) begun(worker int, spec string) {
	p.mu.Lock()
	p.running[worker] = running{spec, p.now()}
	p.mu.Unlock()
	p.print()
}

// ended prints the line of a spec, and what went wrong below it.
func (p *progress) ended(worker int, spec string, v verdict.Verdict, first verdict.Result) {
	p.mu.Lock()
	delete(p.running, worker)
	p.finished++
	finished, total := p.finished, p.total
	again := v == verdict.Skip && first.Message == p.skipped // for the same reason as the spec before
	p.skipped = ""
	if v == verdict.Skip {
		p.skipped = first.Message
	}
	p.mu.Unlock()
	lines := []string{fmt.Sprintf("%s %*d/%d %s %s (%.1fs)",
		p.clock(), len(fmt.Sprint(total)), finished, total, p.paint(v), spec, first.Duration.Seconds())}
	if v != verdict.Pass && first.Message != "" && !again {
		lines = append(lines, "      "+brief(first.Message))
	}
	p.print(lines...)
}

// brief makes a text one line that is not too long to be read in passing.
func brief(message string) string {
	const longest = 240
	return text.Snip(strings.Join(strings.Fields(message), " "), longest, "...")
}

// stop removes the live part for good. It may be called twice.
func (p *progress) stop() {
	p.mu.Lock()
	clear(p.running)
	select {
	case <-p.stopped:
	default:
		close(p.stopped)
	}
	p.mu.Unlock()
	p.print()
}

// clock is the time since the start of the run.
func (p *progress) clock() string { return minutes(p.now().Sub(p.started)) }

func minutes(d time.Duration) string {
	seconds := int(d.Round(time.Second).Seconds())
	return fmt.Sprintf("%02d:%02d", seconds/60, seconds%60)
}

func (p *progress) paint(v verdict.Verdict) string {
	padded := fmt.Sprintf("%-14s", v)
	switch {
	case p.term == nil:
		return padded
	case v == verdict.Pass:
		return text.FgGreen.Sprint(padded)
	case v == verdict.Fail, v == verdict.SuiteError:
		return text.FgRed.Sprint(padded)
	default:
		return text.FgYellow.Sprint(padded)
	}
}

// print puts lines above the live part and draws that anew. All of it is one write, so that nothing flickers and no other
// program's output comes between.
func (p *progress) print(lines ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all strings.Builder
	if p.term != nil {
		all.WriteString(p.erase())
	}
	for _, line := range lines {
		all.WriteString(line + "\n")
	}
	if p.term != nil {
		all.WriteString(p.draw())
	}
	if all.Len() > 0 {
		_, _ = io.WriteString(p.out, all.String()) // nobody is there to be told
	}
}

// draw gives the live part, a line for each running spec as far as the screen has room for it.
func (p *progress) draw() string {
	columns, rows := p.term.size()
	var live strings.Builder
	for i, worker := range slices.Sorted(maps.Keys(p.running)) {
		if i >= rows-2 { // the cursor's row, and one to see what ended
			break
		}
		r := p.running[worker]
		// One column stays free: a cursor behind the last one is wherever the terminal wants it.
		line := text.Snip(fmt.Sprintf("  running %s %s", minutes(p.now().Sub(r.since)), r.spec), max(1, columns-1), "~")
		live.WriteString(line + "\n")
		p.drawn = append(p.drawn, text.StringWidth(line))
	}
	return live.String()
}

// erase takes the live part back. A window that has become narrower has wrapped its lines.
func (p *progress) erase() string {
	columns, _ := p.term.size()
	rows := 0
	for _, width := range p.drawn {
		rows += max(1, (width+columns-1)/columns)
	}
	p.drawn = nil
	if rows == 0 {
		return ""
	}
	return fmt.Sprintf("\x1b[%dA\r\x1b[J", rows) // up, to the first column, and erase to the end of the screen
}
