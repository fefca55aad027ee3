// SPDX-License-Identifier: Apache-2.0

package cmd_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ibnbd/ibnbd/reference/cmd/internal/control"
)

// line is what the tests read of a line that a client writes about its state.
type line struct {
	Change  int
	Session string
	Policy  string
	Devices []struct{ Path, State string }
	Paths   []struct{ Name, State string }
}

// paths are the states of a line's paths, in order.
func (l line) paths() string {
	var states []string
	for _, p := range l.Paths {
		states = append(states, p.State)
	}
	return strings.Join(states, " ")
}

// follower reads the lines that a client writes about its state.
type follower struct {
	t     *testing.T
	lines chan line
}

// await waits for a line of which so holds.
func (f *follower) await(what string, so func(line) bool) {
	f.t.Helper()
	timeout := time.After(20 * time.Second)
	for {
		select {
		case l, ok := <-f.lines:
			if !ok {
				f.t.Fatalf("the client ended before %s", what)
			}
			if so(l) {
				return
			}
		case <-timeout:
			f.t.Fatalf("no line that tells: %s", what)
		}
	}
}

// mapAndFollow maps a device and follows the client.
func (b *bench) mapAndFollow(args ...string) (*follower, *exec.Cmd) {
	b.t.Helper()
	c := b.command("ibnbd-client", append([]string{"map", "--json"}, args...)...)
	out, err := c.StdoutPipe()
	if err != nil {
		b.t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { c.Process.Kill() })
	f := &follower{b.t, make(chan line, 100)}
	go f.read(out)
	return f, c
}

func (f *follower) read(r io.Reader) {
	defer close(f.lines)
	in := bufio.NewScanner(r)
	for in.Scan() {
		var l line
		if err := json.Unmarshal(in.Bytes(), &l); err != nil {
			f.t.Errorf("%q: %v", in.Text(), err)
		}
		f.lines <- l
	}
}

func TestARunningClientIsSteered(t *testing.T) {
	b := newBench(t)
	stopServer := b.start("listening", "ibnbd-server", "--listen", "127.72.0.2", "--listen", "127.72.0.4",
		"--export", "ram0=mem:1M", "--export", "ram1=mem:1M")
	f, client := b.mapAndFollow("--session", "one", "--path", "127.72.0.1@127.72.0.2", "ram0")
	f.await("ram0 is open", func(l line) bool {
		return l.Change == 1 && l.Session == "one" && len(l.Devices) == 1 && l.Devices[0].State == "open"
	})

	b.run("ibnbd-client", "map", "--session", "one", "ram1")
	f.await("ram1 is open, too", func(l line) bool { return len(l.Devices) == 2 && l.Devices[1].State == "open" })
	b.run("ibnbd-client", "policy", "rr")
	f.await("the policy", func(l line) bool { return l.Policy == "round-robin" })

	b.run("ibnbd-client", "path", "add", "127.72.0.3@127.72.0.4")
	f.await("two paths", func(l line) bool { return l.paths() == "connected connected" })
	b.run("ibnbd-client", "path", "disconnect", "127.72.0.1@127.72.0.2")
	f.await("a closed path", func(l line) bool { return l.paths() == "closed connected" })
	b.awaitNoPath("ip:127.72.0.1@ip:127.72.0.2")
	b.run("ibnbd-client", "path", "reconnect", "--session", "one", "127.72.0.1@127.72.0.2")
	f.await("both again", func(l line) bool { return l.paths() == "connected connected" })
	b.run("ibnbd-client", "path", "remove", "127.72.0.3@127.72.0.4")
	f.await("one path", func(l line) bool { return l.paths() == "connected" })

	b.run("ibnbd-server", "disconnect", "one", "127.72.0.1@127.72.0.2")
	f.await("the device is closed", func(l line) bool { return l.Devices[0].State == "closed" && l.paths() == "reconnecting" })

	b.run("ibnbd-client", "unmap", "--session", "one", "ram0")
	f.await("one device", func(l line) bool { return len(l.Devices) == 1 })
	b.run("ibnbd-client", "unmap", "ram1")
	f.await("no device", func(l line) bool { return len(l.Devices) == 0 })
	if err := client.Wait(); err != nil {
		t.Errorf("the client ended: %v", err)
	}
	stopServer(syscall.SIGTERM)
}

func TestErrorsKeepTheirNumber(t *testing.T) {
	b := newBench(t)
	stopServer := b.start("listening", "ibnbd-server", "--listen", "127.73.0.2", "--export", "ram0=mem:1M")
	f, _ := b.mapAndFollow("--session", "one", "--path", "127.73.0.1@127.73.0.2", "ram0")
	f.await("ram0", func(l line) bool { return len(l.Devices) == 1 })
	for _, tc := range []struct{ args, want string }{
		{"ibnbd-client map --session one ram0", "EEXIST"},
		{"ibnbd-client map --session one ram7", "ENOENT"},
		{"ibnbd-client map --session two --path 127.73.0.3@127.73.0.2 ram0", "EPERM"},
		{"ibnbd-client path add 127.73.0.1@127.73.0.2", "EEXIST"},
		{"ibnbd-client path remove 127.73.0.9@127.73.0.2", "ENOENT"},
		{"ibnbd-client path remove --session two 127.73.0.1@127.73.0.2", "ENOENT"},
		{"ibnbd-client unmap ram7", "ENODEV"},
		{"ibnbd-server disconnect two 127.73.0.1@127.73.0.2", "ENOENT"},
	} {
		t.Run(tc.args, func(t *testing.T) {
			words := strings.Fields(tc.args)
			text, err := b.command(words[0], append(words[1:], "--json-errors")...).CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 1 {
				t.Fatalf("ended with %v, want exit code 1", err)
			}
			lines := strings.Split(strings.TrimSpace(string(text)), "\n")
			var failure struct {
				Error string
				Name  string `json:"errno_name"`
			}
			if err := json.Unmarshal([]byte(lines[len(lines)-1]), &failure); err != nil || failure.Error == "" || failure.Name != tc.want {
				t.Errorf("said %q, want an object with %s", text, tc.want)
			}
		})
	}
	stopServer(syscall.SIGTERM)
}

// TestTextThatIsNoValueChangesNothing tells programs that run whatever is no value, through their sockets, so that no command
// stands before them, and looks whether anything has changed.
func TestTextThatIsNoValueChangesNothing(t *testing.T) {
	const page = 4096
	b := newBench(t)
	stopServer := b.start("listening", "ibnbd-server", "--listen", "127.74.0.2", "--export", "ram0=mem:1M")
	f, _ := b.mapAndFollow("--session", "one", "--path", "127.74.0.1@127.74.0.2", "ram0")
	f.await("ram0", func(l line) bool { return len(l.Devices) == 1 })
	client, server := filepath.Join(b.dir, "run", "client", "one.sock"), filepath.Join(b.dir, "run", "server.sock")
	before := b.states(client, server)
	for what, text := range map[string]string{
		"nothing": "", "a newline": "\n", "a zero byte and a newline": "\x00\n",
		"a page": strings.Repeat("x", page), "more than a page": strings.Repeat("y", 2*page+1),
	} {
		for _, told := range []struct {
			socket, what string
			query        url.Values
		}{
			{client, "map", url.Values{"device": {text}, "access": {"rw"}, "io-mode": {"blockio"}}},
			{client, "map", url.Values{"device": {"ram0"}, "access": {text}, "io-mode": {"blockio"}}},
			{client, "map", url.Values{"device": {"ram0"}, "access": {"rw"}, "io-mode": {text}}},
			{client, "unmap", url.Values{"device": {text}}},
			{client, "unmap", url.Values{"device": {text}, "force": {"true"}}},
			{client, "policy", url.Values{"policy": {text}}},
			{client, "path", url.Values{"do": {text}, "path": {"127.74.0.1@127.74.0.2"}}},
			{client, "path", url.Values{"do": {"add"}, "path": {text}}},
			{client, "path", url.Values{"do": {"remove"}, "path": {text}}},
			{client, "path", url.Values{"do": {"disconnect"}, "path": {text}}},
			{client, "path", url.Values{"do": {"reconnect"}, "path": {text}}},
			{server, "disconnect", url.Values{"session": {text}, "path": {"127.74.0.1@127.74.0.2"}}},
			{server, "disconnect", url.Values{"session": {"one"}, "path": {text}}},
		} {
			err := control.Ask(t.Context(), told.socket, http.MethodPost, "/"+told.what+"?"+told.query.Encode(), nil)
			if err == nil {
				t.Errorf("%s, told %s in %.60q, does it", told.what, what, told.query)
			}
			if after := b.states(client, server); after != before {
				t.Fatalf("%s, told %s, has changed %s to %s", told.what, what, before, after)
			}
		}
	}
	b.run("ibnbd-client", "unmap", "ram0")
	stopServer(syscall.SIGTERM)
}

// states are what programs tell of themselves, but for what a heartbeat changes.
func (b *bench) states(sockets ...string) string {
	b.t.Helper()
	var all []string
	for _, socket := range sockets {
		var st struct {
			Policy   string
			Paths    []struct{ Name, State string }
			Devices  []struct{ Path, State, Access string }
			Sessions []struct {
				Name    string
				Paths   []struct{ Name, State string }
				Devices []struct{ Path, Device, Access string }
			}
		}
		if err := control.Ask(b.t.Context(), socket, http.MethodGet, "/status", &st); err != nil {
			b.t.Fatal(err)
		}
		text, err := json.Marshal(st)
		if err != nil {
			b.t.Fatal(err)
		}
		all = append(all, string(text))
	}
	return strings.Join(all, " ")
}
