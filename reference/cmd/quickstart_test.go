// SPDX-License-Identifier: Apache-2.0

// Package cmd_test runs the programs as a person would.
package cmd_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// bench is a directory for the sockets and files of programs.
type bench struct {
	t   *testing.T
	dir string
}

// programs is the directory with the programs, which are built once.
var programs string

func TestMain(m *testing.M) {
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	var err error
	if programs, err = os.MkdirTemp("", "ibnbd-programs-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(programs)
	build := exec.Command("go", "build", "-o", programs+"/", "./ibnbd-server", "./ibnbd-client", "./srp-target", "./srp-initiator")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

func newBench(t *testing.T) *bench { return &bench{t, t.TempDir()} }

func (b *bench) command(name string, args ...string) *exec.Cmd {
	c := exec.Command(filepath.Join(programs, name), args...)
	c.Env = append(os.Environ(), "IBNBD_RUN_DIR="+filepath.Join(b.dir, "run"))
	return c
}

// run runs a program to its end.
func (b *bench) run(name string, args ...string) string {
	b.t.Helper()
	out, err := b.command(name, args...).CombinedOutput()
	if err != nil {
		b.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// start starts a program and waits until it says a word. stop waits for its end, after a signal unless that is 0.
func (b *bench) start(word, name string, args ...string) (stop func(signal syscall.Signal)) {
	b.t.Helper()
	return b.startCommand(word, b.command(name, args...))
}

func (b *bench) startCommand(word string, c *exec.Cmd) (stop func(signal syscall.Signal)) {
	b.t.Helper()
	name := filepath.Base(c.Path)
	said := &watcher{word: word, seen: make(chan struct{})}
	c.Stdout, c.Stderr = said, said
	if err := c.Start(); err != nil {
		b.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	b.t.Cleanup(func() { c.Process.Kill() })
	select {
	case <-said.seen:
	case err := <-ended:
		b.t.Fatalf("%s ended: %v\n%s", name, err, said.text.String())
	}
	return func(signal syscall.Signal) {
		b.t.Helper()
		if signal != 0 {
			c.Process.Signal(signal)
		}
		select {
		case err := <-ended:
			if err != nil {
				b.t.Errorf("%s: %v\n%s", name, err, said.text.String())
			}
		case <-time.After(30 * time.Second):
			b.t.Errorf("%s does not end", name)
		}
	}
}

// watcher notes that a word was written.
type watcher struct {
	word string
	text bytes.Buffer
	seen chan struct{}
}

func (w *watcher) Write(p []byte) (int, error) {
	before := strings.Contains(w.text.String(), w.word)
	w.text.Write(p)
	if !before && strings.Contains(w.text.String(), w.word) {
		close(w.seen)
	}
	return len(p), nil
}

var _ io.Writer = (*watcher)(nil)

func TestQuickStart(t *testing.T) {
	if _, err := exec.LookPath("nbdcopy"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	b := newBench(t)
	data := make([]byte, 16<<20)
	if _, err := rand.NewChaCha8([32]byte{1}).Read(data); err != nil {
		t.Fatal(err)
	}
	in, out := filepath.Join(b.dir, "in"), filepath.Join(b.dir, "out")
	if err := os.WriteFile(in, data, 0o600); err != nil {
		t.Fatal(err)
	}

	stopServer := b.start("listening", "ibnbd-server", "--listen", "127.71.0.2", "--export", "ram0=mem:16M")
	stopClient := b.start("nbd+unix", "ibnbd-client", "map", "--path", "127.71.0.1@127.71.0.2", "ram0")
	uri := strings.TrimSpace(b.run("ibnbd-client", "list", "--uri", "ram0"))
	for _, copying := range [][]string{{"nbdcopy", in, uri}, {"nbdcopy", uri, out}} {
		if text, err := exec.Command(copying[0], copying[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", copying, err, text)
		}
	}
	if got, err := os.ReadFile(out); err != nil || !bytes.Equal(got, data) {
		t.Errorf("the copy differs from the original: %v", err)
	}
	for _, show := range [][]string{{"ibnbd-client", "stat"}, {"ibnbd-server", "--status"}} {
		if text := b.run(show[0], show[1:]...); !strings.Contains(text, "ip:127.71.0.1@ip:127.71.0.2") {
			t.Errorf("%s does not show the path:\n%s", show, text)
		}
	}
	b.run("ibnbd-client", "unmap", "ram0")
	stopClient(0)
	stopServer(syscall.SIGTERM)
}

// TestGIDs names server and client by the GIDs of their ports, which are IP addresses.
func TestGIDs(t *testing.T) {
	b := newBench(t)
	stopServer := b.start("listening", "ibnbd-server", "--listen", "gid:::ffff:127.71.0.4", "--export", "ram0=mem:1M")
	stopClient := b.start("nbd+unix", "ibnbd-client", "map", "--path", "gid:::ffff:127.71.0.3,gid:::ffff:127.71.0.4", "ram0")
	const path = "ip:127.71.0.3@ip:127.71.0.4"
	if text := b.run("ibnbd-client", "stat"); !strings.Contains(text, path) {
		t.Errorf("the client does not show path %s:\n%s", path, text)
	}
	const gids = "gid:::ffff:127.71.0.3@gid:::ffff:7f47:4"
	b.run("ibnbd-client", "path", "disconnect", gids)
	b.awaitNoPath(path) // a server that is still letting the old path go refuses a new one
	b.run("ibnbd-client", "path", "reconnect", gids)
	b.run("ibnbd-client", "unmap", "ram0")
	stopClient(0)
	stopServer(syscall.SIGTERM)
}

// awaitNoPath waits until the server has nothing left of a path.
func (b *bench) awaitNoPath(path string) {
	b.t.Helper()
	const patience, between = 10 * time.Second, 20 * time.Millisecond
	for begin := time.Now(); strings.Contains(b.run("ibnbd-server", "--status"), path); time.Sleep(between) {
		if time.Since(begin) > patience {
			b.t.Fatalf("the server still has path %s after %s", path, patience)
		}
	}
}

func TestWrongOptionsAreOneSentence(t *testing.T) {
	b := newBench(t)
	long := strings.Repeat("n", 300)
	shared := filepath.Join(t.TempDir(), "disk")
	for _, tc := range []struct{ args, want string }{
		{"ibnbd-server", "--listen is missing"},
		{"ibnbd-server --listen nowhere", `--listen "nowhere": "nowhere" is not an IP address`},
		{"ibnbd-server --listen 127.71.0.2", "nothing to export"},
		{"ibnbd-server --listen 127.71.0.2 --export ram0", "NAME=BACKEND"},
		{"ibnbd-server --listen 127.71.0.2 --export r=mem:1M --provider tcp", `--provider "tcp" is none of soft, verbs`},
		{"ibnbd-server --listen 127.71.0.2 --export r=mem:1M --queue-depth 70000", "--queue-depth 70000 must be 1 to 65535"},
		{"ibnbd-server --listen 127.71.0.2 --export r=mem:1M --chunk-size 100K", "must be a power of two"},
		{"ibnbd-server --listen 127.71.0.2 --export r=mem:1M --heartbeat-misses 0", "heartbeat misses are 0"},
		{"ibnbd-server --listen 127.71.0.2 --export r=mem:1M --metrics 10.0.0.1:80", `--metrics: address "10.0.0.1:80" must be unix:PATH`},
		{"ibnbd-server --no-such-option", "unknown flag"},
		{"ibnbd-server --listen 127.71.0.2 --export r=mem:1M --json", "--json does nothing without --status"},
		{"ibnbd-server --listen 127.71.0.2 --export r=mem:1000", "--export r: backend \"mem:1000\": size of 1000 bytes, must be a multiple of 512"},
		{"ibnbd-server --listen 127.71.0.2 --export r=mem:1Q", `size "1Q"`},
		{"ibnbd-server --listen 127.71.0.2 --export r=file:", "the path of the file is missing"},
		{"ibnbd-server --listen 127.71.0.2 --export r=x", "must be mem:SIZE"},
		{"ibnbd-server --listen 127.71.0.2 --export r=mem:1M --export r=mem:2M", `export "/r" is given twice`},
		{"ibnbd-server --listen 127.71.0.2 --export a=file:" + shared + ",1M --export b=file:" + shared + " --provider soft", "/a and /b are the same storage, and only one of them may be writable"},
		{"ibnbd-server --listen 127.71.0.2 --export ../up=mem:1M", `export "/../up" can be mapped by no client: device path "../up" has two dots in a row`},
		{"ibnbd-server --listen 127.71.0.2 --export " + long + "=mem:1M", "the device path has 300 bytes, at most 254 are possible"},
		{"ibnbd-server --listen 127.71.0.2 --search-path /srv --export /a=mem:1M", "it is not below the search path /srv"},
		{"ibnbd-server --listen 127.71.0.2 --search-path /dev/%SESSNAME% --export a=mem:1M", "it is not below the search path /dev/%SESSNAME%"},
		{"ibnbd-server --listen 127.71.0.2 --export r=mem:1M --search-path /" + strings.Repeat("s", 5000), "search path has 5001 bytes, at most 4095 are allowed"},
		{"ibnbd-server --listen 127.71.0.2 --export r=mem:1M --workers 0", "workers are 0, must be 1 to 65536"},
		{"ibnbd-server --listen 127.71.0.2 --export r=mem:1M --max-sessions 0", "max sessions are 0, must be 1 to 1048576"},
		{"ibnbd-server --listen 127.71.0.2 --export r=mem:1M --max-half-open -1", "max half-open paths are -1, must be 1 to"},
		{"ibnbd-server --listen 127.71.0.2 --export r=mem:1M --max-connections 1", "max connections are 1, must be 2 to"},
		{"ibnbd-server --listen 127.71.0.2 --export r=mem:1M --max-memory 1M", "max memory is 1048576 bytes, one path alone needs"},
		{"ibnbd-server --listen 127.71.0.2 --export r=mem:1M --max-memory -1", `--max-memory: size "-1"`},
		{"ibnbd-server --listen 127.71.0.2 --export r=mem:1M --heartbeat-interval -1s", "heartbeat interval is -1s, must be 1ms to"},
		{"ibnbd-server --listen 127.71.0.2 --export r=mem:1M --half-open-timeout 0s", "half-open timeout is 0s, must be 1ms to"},
		{"ibnbd-server --listen 127.71.0.2 --listen 127.71.0.2 --export r=mem:1M", "--listen 127.71.0.2 is given twice"},
		{"ibnbd-client bench ram0 --path 127.71.0.2 --op trim", `--op "trim" is none of read, write, randread, randwrite`},
		{"ibnbd-client", "say what to do"},
		{"ibnbd-client map", "requires at least 1 arg"},
		{"ibnbd-client map ram0", "--path is missing"},
		{"ibnbd-client map ram0 --path 127.71.0.2 --ack-timeout 32", "ACK timeout code is 32, must be 0 to 31"},
		{"ibnbd-server --listen gid:10.0.0.1", `"10.0.0.1" is not a GID`},
		{"ibnbd-client map ram0 --path x", `--path "x"`},
		{"ibnbd-client map ram0 --path gid:fd00::1%eth0", "without scope"},
		{"ibnbd-client map ram0 --path gid:::ffff:127.71.0.1,gid:fd00::1", "different IP versions"},
		{"ibnbd-client path add gid:10.0.0.1", `"10.0.0.1" is not a GID`},
		{"ibnbd-client map ram0 --path 127.71.0.2 --access w", `--access "w" is none of ro, rw, migration`},
		{"ibnbd-client map ram0 --path 127.71.0.2 --session a.b", "session name \"a.b\" has a slash, a dot or a NUL"},
		{"ibnbd-client bench ram0 --path 127.71.0.2 --depth 0", "--depth 0 must be"},
		{"ibnbd-client map " + long + " --path 127.71.0.2", "has 300 bytes, at most 254 fit"},
		{"ibnbd-client bench " + long + " --path 127.71.0.2", "has 300 bytes, at most 254 fit"},
		{"ibnbd-client map a b a --path 127.71.0.2", `device "a" is given twice`},
		{"ibnbd-client map r --path 127.71.0.2 --port 0", "--port is 0, must be 1 to 65535"},
		{"ibnbd-client map r --path 127.71.0.2 --max-reconnect-attempts -2", "max reconnect attempts are -2, must be -1 to 9999"},
		{"ibnbd-client map r --path 127.71.0.2 --max-reconnect-attempts 10000", "max reconnect attempts are 10000, must be -1 to 9999"},
		{"ibnbd-client map r --path 127.71.0.2 --connections 1", "connections of each path are 1, must be 2 to"},
		{"ibnbd-client map r --path 127.71.0.2 --reconnect-delay -1s", "reconnect delay is -1s, must be 0s to 24h0m0s"},
		{"ibnbd-client map r --path 127.71.0.2 --reconnect-settle -1s", "reconnect settle time is -1s, must be 0s to"},
		{"ibnbd-client map r --path 127.71.0.2 --reconnect-spread 25h", "reconnect spread is 25h0m0s, must be 0s to"},
		{"ibnbd-client map r --path 127.71.0.2 --connect-timeout 0s", "connect timeout is 0s, must be 1ms to"},
		{"ibnbd-client map r --path 127.71.0.2 --info-timeout -1ms", "INFO timeout is -1ms, must be 1ms to"},
		{"ibnbd-client map r --path 127.71.0.2 --teardown-timeout -1s", "teardown timeout is -1s, must be 0s to"},
		{"ibnbd-client map r --path 127.71.0.2 --packet-lifetime -1s", "packet lifetime is -1s, must be 0s to"},
		{"ibnbd-client map r --path 127.71.0.2 --heartbeat-misses 1001", "heartbeat misses are 1001, must be 1 to 1000"},
		{"ibnbd-client map r --path 127.71.0.2 --heartbeat-interval 5", "time: missing unit"},
		{"ibnbd-client bench r --path 127.71.0.2 --time -1s", "--time -1s must be more than 0"},
		{"ibnbd-client bench r --path 127.71.0.2 --block 0", `--block: size "0"`},
		{"ibnbd-client map r --path 127.71.0.1@127.71.0.2 --path 127.71.0.1,127.71.0.2", `--path "127.71.0.1,127.71.0.2" is given twice`},
		{"ibnbd-client frobnicate", "unknown command"},
	} {
		t.Run(tc.args, func(t *testing.T) {
			words := strings.Fields(tc.args)
			expectUsage(t, b.command(words[0], words[1:]...), tc.want)
		})
	}
}

// expectUsage runs a command that must end with exit code 2 and one line that has all words.
func expectUsage(t *testing.T, c *exec.Cmd, words ...string) {
	t.Helper()
	text, err := c.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 2 {
		t.Errorf("ended with %v, want exit code 2", err)
	}
	for _, want := range words {
		if !strings.Contains(string(text), want) {
			t.Errorf("said %q, want %q", text, want)
		}
	}
	if strings.Count(string(text), "\n") != 1 {
		t.Errorf("said %q, want one line", text)
	}
}

func TestAProviderThatIsMissingSaysSo(t *testing.T) {
	b := newBench(t)
	c := b.command("ibnbd-server", "--listen", "127.71.0.2", "--export", "r=mem:1M", "--provider", "verbs")
	text, err := c.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(string(text), "provider verbs") {
		t.Errorf("ended with %v and said %q", err, text)
	}
}

func TestManualPages(t *testing.T) {
	b := newBench(t)
	for _, name := range []string{"ibnbd-server", "ibnbd-client"} {
		b.run(name, "man", filepath.Join(b.dir, "man"))
	}
	page, err := os.ReadFile(filepath.Join(b.dir, "man", "ibnbd-client-map.8"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), "NBD") {
		t.Error("the page of map does not speak of NBD")
	}
}
