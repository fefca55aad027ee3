// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// progress shows a person how a run goes: on a terminal a line for each spec that ended, with the specs that are running
// below; in a log the lines alone. It may be used by several goroutines.
type progress struct {
	mu       sync.Mutex
	out      io.Writer
	live     bool
	total    int
	finished int
	started  time.Time
	running  map[int]string
	drawn    int // lines of the live part on the screen
	problems int
}

// newProgress shows a run of total specs on out. The live part is drawn only on a terminal.
func newProgress(out io.Writer, total int) *progress {
	return &progress{out: out, live: isTerminal(out), total: total, started: time.Now(), running: make(map[int]string)}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
}

// say prints a line.
func (p *progress) say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.print(fmt.Sprintf(format, args...))
}

func (p *progress) ready(worker int) {
	p.say("%s worker %d: lab is up", p.clock(), worker)
}

func (p *progress) begun(worker int, spec string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running[worker] = spec
	p.print("")
}

func (p *progress) ended(worker int, spec string, v verdict.Verdict, results []verdict.Result) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.running, worker)
	p.finished++
	first := results[0]
	p.print(fmt.Sprintf("%s %*d/%d %-14s %s (%.1fs)", p.clock(), len(fmt.Sprint(p.total)), p.finished, p.total, p.paint(v), spec, first.Duration.Seconds()))
	if v != verdict.Pass && first.Message != "" {
		p.print("      " + text.Snip(strings.Join(strings.Fields(first.Message), " "), 240, "..."))
	}
}

// stop removes the live part.
func (p *progress) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.running)
	p.erase()
}

func (p *progress) clock() string {
	d := time.Since(p.started).Round(time.Second)
	return fmt.Sprintf("%02d:%02d", int(d.Minutes()), int(d.Seconds())%60)
}

func (p *progress) paint(v verdict.Verdict) string {
	if !p.live {
		return string(v)
	}
	switch v {
	case verdict.Pass:
		return text.FgGreen.Sprintf("%-14s", v)
	case verdict.Fail, verdict.SuiteError:
		return text.FgRed.Sprintf("%-14s", v)
	default:
		return text.FgYellow.Sprintf("%-14s", v)
	}
}

// print puts a line above the live part; an empty one only draws the live part anew.
func (p *progress) print(line string) {
	p.erase()
	if line != "" {
		fmt.Fprintln(p.out, line)
	}
	if !p.live {
		return
	}
	for worker := range 64 {
		if spec, ok := p.running[worker]; ok {
			fmt.Fprintf(p.out, "  running: %s\n", text.Snip(spec, 110, "..."))
			p.drawn++
		}
	}
}

func (p *progress) erase() {
	for ; p.drawn > 0; p.drawn-- {
		fmt.Fprint(p.out, text.CursorUp.Sprint(), text.EraseLine.Sprint())
	}
}
