// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jedib0t/go-pretty/v6/text"
	"golang.org/x/sys/unix"

	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// screen is a terminal that shows what is written to it, as far as the progress display makes use of one: lines wrap at its
// width, colours do not matter, and it never scrolls.
type screen struct {
	columns, rows int
	lines         []string
	row           int
}

func newScreen(columns, rows int) *screen {
	return &screen{columns: columns, rows: rows, lines: []string{""}}
}

func (s *screen) size() (columns, rows int) { return s.columns, s.rows }

var control = regexp.MustCompile(`^\x1b\[(\d*)([AJm])`)

func (s *screen) Write(p []byte) (int, error) {
	for rest := string(p); rest != ""; {
		if match := control.FindStringSubmatch(rest); match != nil {
			s.control(match[1], match[2])
			rest = rest[len(match[0]):]
			continue
		}
		s.put(rest[0])
		rest = rest[1:]
	}
	return len(p), nil
}

func (s *screen) control(number, what string) {
	switch what {
	case "A":
		n, _ := strconv.Atoi(number)
		s.row = max(0, s.row-n)
	case "J": // from the first column on, where the display has gone before
		s.lines = append(s.lines[:s.row], "")
	}
}

func (s *screen) put(c byte) {
	switch {
	case c == '\r':
	case c == '\n', len(s.lines[s.row]) == s.columns:
		s.row++
		if s.row == len(s.lines) {
			s.lines = append(s.lines, "")
		}
		if c != '\n' {
			s.put(c)
		}
	default:
		s.lines[s.row] += string(c)
	}
}

// resize makes the window narrower, and wraps what is on it.
func (s *screen) resize(columns int) {
	text := strings.Join(s.lines, "\n")
	*s = *newScreen(columns, s.rows)
	fmt.Fprint(s, text)
}

func (s *screen) String() string { return strings.Join(s.lines, "\n") }

// clocked is a display whose time a test sets.
func clocked(p *progress) (*progress, func(seconds int)) {
	start := time.Unix(1000, 0)
	now := start
	p.started = start
	p.now = func() time.Time { return now }
	return p, func(seconds int) { now = start.Add(time.Duration(seconds) * time.Second) }
}

func onScreen(s *screen, total int) (*progress, func(int)) {
	p := newProgress(s, total)
	p.term = s
	return clocked(p)
}

func result(v verdict.Verdict, message string) verdict.Result {
	return verdict.Result{Verdict: v, Message: message, Duration: 1500 * time.Millisecond}
}

// act shows a short run.
func act(p *progress, at func(int)) {
	p.say("packing the initramfs")
	at(9)
	p.say("worker 0: lab is up")
	p.begun(0, "a disk can be read")
	p.begun(1, "carrier loss stalls I/O for less than its bound")
	at(11)
	p.ended(0, "a disk can be read", verdict.Pass, result(verdict.Pass, ""))
	p.begun(0, "a disk can be written")
	at(70)
	p.ended(1, "carrier loss stalls I/O for less than its bound", verdict.Fail, result(verdict.Fail, "took 45 s,\n\tat most 30 s is allowed"))
}

const said = `00:00 packing the initramfs
00:09 worker 0: lab is up
00:11  1/12 PASS           a disk can be read (1.5s)
01:10  2/12 FAIL           carrier loss stalls I/O for less than its bound (1.5s)
      took 45 s, at most 30 s is allowed
`

func TestProgressInALog(t *testing.T) {
	var log bytes.Buffer
	p, at := clocked(newProgress(&log, 12))
	act(p, at)
	p.stop()
	if diff := cmp.Diff(said, log.String()); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
}

func TestProgressOnATerminal(t *testing.T) {
	text.EnableColors()
	s := newScreen(100, 24)
	p, at := onScreen(s, 12)
	act(p, at)
	if diff := cmp.Diff(said+"  running 00:59 a disk can be written\n", s.String()); diff != "" {
		t.Errorf("screen while it runs (-want +got):\n%s", diff)
	}
	p.stop()
	p.stop()
	if diff := cmp.Diff(said, s.String()); diff != "" {
		t.Errorf("screen after the run (-want +got):\n%s", diff)
	}
}

func TestProgressOnANarrowTerminal(t *testing.T) {
	s := newScreen(40, 24)
	p, at := onScreen(s, 3)
	p.begun(0, "carrier loss stalls I/O for less than its bound")
	p.begun(1, "short")
	want := "  running 00:00 carrier loss stalls I/~\n  running 00:00 short\n"
	if diff := cmp.Diff(want, s.String()); diff != "" {
		t.Errorf("screen (-want +got):\n%s", diff)
	}
	at(1)
	s.resize(17)
	p.print() // as each second
	want = "  running 00:01 ~\n  running 00:01 ~\n"
	if diff := cmp.Diff(strings.ReplaceAll(want, " ~", "~"), s.String()); diff != "" {
		t.Errorf("screen after it became narrower (-want +got):\n%s", diff)
	}
}

func TestProgressOnALowTerminal(t *testing.T) {
	s := newScreen(80, 5)
	p, _ := onScreen(s, 64)
	for worker := range 10 {
		p.begun(worker, fmt.Sprint("spec ", worker))
	}
	want := "  running 00:00 spec 0\n  running 00:00 spec 1\n  running 00:00 spec 2\n"
	if diff := cmp.Diff(want, s.String()); diff != "" {
		t.Errorf("screen (-want +got):\n%s", diff)
	}
}

// TestOneWrite sees that no half-drawn screen can be seen.
func TestOneWrite(t *testing.T) {
	writes := 0
	p := newProgress(writer(func([]byte) { writes++ }), 1)
	p.term = newScreen(80, 24)
	p.begun(0, "a")
	p.ended(0, "a", verdict.Fail, result(verdict.Fail, "why"))
	if writes != 2 {
		t.Errorf("%d writes for 2 changes", writes)
	}
}

// openPTY opens a pseudo-terminal of the given size: the end of the user, and that of the program.
func openPTY(t *testing.T, columns, rows uint16) (user, program *os.File) {
	t.Helper()
	user, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("there are no pseudo-terminals here: ", err)
	}
	t.Cleanup(func() { user.Close() })
	number, err := unix.IoctlGetInt(int(user.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(user.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(int(user.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: columns, Row: rows})
	}
	if err == nil {
		program, err = os.OpenFile(fmt.Sprint("/dev/pts/", number), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { program.Close() })
	return user, program
}

func TestTerminalOf(t *testing.T) {
	t.Setenv("TERM", "xterm")
	_, program := openPTY(t, 61, 17)
	term := terminalOf(program)
	if term == nil {
		t.Fatal("a pseudo-terminal is not taken for a terminal")
	}
	if columns, rows := term.size(); columns != 61 || rows != 17 {
		t.Errorf("size %d x %d, want 61 x 17", columns, rows)
	}
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if terminalOf(null) != nil || terminalOf(&bytes.Buffer{}) != nil {
		t.Error("/dev/null or a buffer is taken for a terminal")
	}
	t.Setenv("TERM", "dumb")
	if terminalOf(program) != nil {
		t.Error("lines are taken back on a terminal that cannot do that")
	}
}

// TestTicks runs the display on a pseudo-terminal until the clock of a running spec has moved without being told.
func TestTicks(t *testing.T) {
	t.Setenv("TERM", "xterm")
	user, program := openPTY(t, 80, 24)
	p := newProgress(program, 1)
	p.begun(0, "a spec")
	var seen bytes.Buffer
	for buf := make([]byte, 1024); !strings.Contains(seen.String(), "running 00:01 a spec"); {
		n, err := user.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		seen.Write(buf[:n])
	}
	p.stop()
}
