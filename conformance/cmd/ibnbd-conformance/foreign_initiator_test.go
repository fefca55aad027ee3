// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/provocations"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/rdma/soft"
)

// provoke runs the command against an initiator on a machine beside this one, and reads its report.
func provoke(t *testing.T, here machine, hook string, env []string, args ...string) (ended, verdict.Outcome) {
	t.Helper()
	dir := t.TempDir()
	words := append(strings.Fields(here.on()), binary, "run", "--role", "initiator", "--source", ours, "--control", hook,
		"--patience", "20s", "--report", dir)
	cmd := exec.CommandContext(t.Context(), words[0], append(words[1:], args...)...)
	cmd.Env = append(os.Environ(), env...)
	got := run(t, cmd)
	return got, readReport(t, dir, got)
}

func newMachines(t *testing.T) (here, there machine) {
	t.Helper()
	here, there = newMachine(t), newMachine(t)
	cable(t, here, there)
	return here, there
}

func lives(what string) string { return provocations.Group + " " + what }

// expectVerdicts compares the verdicts of specs.
func expectVerdicts(t *testing.T, got ended, o verdict.Outcome, want map[string][]string) {
	t.Helper()
	for spec, verdicts := range want {
		if is := verdictsOf(o, lives(spec)); !slices.Equal(is, verdicts) {
			t.Errorf("%q: %q, want %q\n%s", spec, is, verdicts, got.stdout)
		}
	}
}

const clientHook = "../../../ci/hooks/ibnbd-client"

// TestInitiatorOfSomebody has the client of this project steered by the hook of ci/hooks.
func TestInitiatorOfSomebody(t *testing.T) {
	t.Parallel()
	here, there := newMachines(t)
	program := filepath.Join(filepath.Dir(binary), "ibnbd-client")
	build := exec.Command("go", "build", "-o", program, "../../../reference/cmd/ibnbd-client")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	sources := []string{theirs, "10.0.0.67", "10.0.0.68"}
	there.inside(t, func() error { return addAddresses("peer", sources[1:]...) })
	here.inside(t, func() error { return addAddresses("eth1", "10.0.0.2") })
	dir := filepath.Join(t.TempDir(), "hook")
	env := []string{"CLIENT=" + program, "DIR=" + dir, "SOURCES=" + strings.Join(sources, " ")}
	const fails, grows, forbidden = "a read fails with EIO", "a server returns with a larger disk", "an accept has queue depth 0"
	const added, removed = "a path is added and the other is lost", "a path is removed while writes wait on it"
	const another = "another disk is mapped whose server is gone"
	got, outcome := provoke(t, here, there.on()+" "+absolute(t, clientHook), env, "--name", "acme-client", "--dialect", "ibnbd",
		"--source", "10.0.0.2", "--spec", lives(fails), "--spec", lives(grows), "--spec", lives(forbidden),
		"--spec", lives(added), "--spec", lives(removed), "--spec", lives(another))
	if got.code != int(verdict.ExitHolds) {
		t.Errorf("exit code %d: %s\n%s", got.code, got.stderr, got.stdout)
	}
	expectVerdicts(t, got, outcome, map[string][]string{
		fails:     {"IBNBD-IO-023 PASS", "IBNBD-FAIL-023 PASS"},
		grows:     {"IBNBD-FAIL-003 PASS", "IBNBD-FAIL-023 PASS"},
		added:     {"IBTRS-MP-009 PASS", "IBNBD-FAIL-023 PASS"},
		removed:   {"IBTRS-PATH-019 PASS", "IBNBD-FAIL-023 PASS"},
		another:   {"IBNBD-FAIL-010 PASS", "IBNBD-FAIL-023 PASS"},
		forbidden: {"IBTRS-CONN-038 SKIP no-consent", "IBNBD-FAIL-025 SKIP no-consent"},
	})
	if s := outcome.Header.Subjects[0]; s.Name != "acme-client" || s.Role != "initiator" || s.Versions["kernel"] == "" {
		t.Errorf("the subject is %+v", s)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) > 0 {
		t.Errorf("the run has left sessions: %v, %v", left, err)
	}
}

// addAddresses gives a link of this machine more addresses.
func addAddresses(name string, addresses ...string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	var errs []error
	for _, text := range addresses {
		addr, err := netlink.ParseAddr(text + "/24")
		errs = append(errs, err, netlink.AddrAdd(link, addr))
	}
	return errors.Join(errs...)
}

// acme is an initiator in this process, whose hook is this program run again, see [askAcme].
type acme struct {
	device rdma.Device
	change func(*ibnbd.ClientConfig)

	mu     sync.Mutex
	silent bool // tells no error numbers
	mortal bool // dies of a server that it cannot use
	dead   bool
	disks  map[string]*acmeDisk // that are mapped
}

type acmeDisk struct {
	client *ibnbd.Client
	device *ibnbd.Device
}

// What tells this program that it is a hook: the Unix socket on which its initiator listens. And an action that it does not know.
const acmeSocket, acmeLacks = "IBNBD_TEST_ACME", "IBNBD_TEST_ACME_LACKS"

// newAcme gives an initiator, with the environment in which this program is its hook.
func newAcme(t *testing.T, there machine, change func(*ibnbd.ClientConfig)) (*acme, []string) {
	t.Helper()
	a := &acme{change: change, disks: make(map[string]*acmeDisk)}
	there.inside(t, func() error {
		link, err := soft.OpenUDP(netip.MustParseAddr(theirs))
		if err == nil {
			a.device, err = soft.Open(link, soft.Config{})
		}
		return err
	})
	t.Cleanup(func() {
		if a.mortal {
			a.restart()
		}
		if err := a.device.Close(); err != nil {
			t.Errorf("the run has left something: %v", err)
		}
	})
	return a, serveHook(t, a)
}

// serveHook has a handler do what a control hook is called for, and gives the environment in which this program is that hook. What
// it answers with status 501 the hook does not know, and what it answers with any other but 200 has failed.
func serveHook(t *testing.T, handler http.Handler) []string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "hook")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.Server{Listener: listener, Config: &http.Server{Handler: handler}}
	server.Start()
	t.Cleanup(server.Close)
	// Where the race detector is on, a program would sleep for a second at its end.
	return []string{acmeSocket + "=" + socket, "GORACE=atexit_sleep_ms=0"}
}

// unknownAction is the status of a hook that does not know an action.
const unknownAction = 127

// ServeHTTP does an action.
func (a *acme) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	input, err := io.ReadAll(q.Body)
	words := q.URL.Query()["word"]
	if slices.Contains([]string{"status", "size"}, words[0]) {
		w.WriteHeader(http.StatusNotImplemented)
		return
	}
	var says []byte
	if err == nil {
		says, err = a.do(q.Context(), words, input)
	}
	if err != nil {
		w.WriteHeader(http.StatusConflict)
		says = []byte(ibtrs.ErrnoOf(err).String())
		a.mu.Lock()
		if a.silent {
			says = []byte(err.Error())
		}
		a.mu.Unlock()
	}
	_, _ = w.Write(says) // the hook sees when that fails
}

func (a *acme) do(ctx context.Context, words []string, input []byte) ([]byte, error) {
	a.mu.Lock()
	dead := a.dead
	a.mu.Unlock()
	switch {
	case words[0] == "restart":
		a.restart()
		return nil, nil
	case dead:
		return nil, ibtrs.EIO
	case words[0] == "map":
		says, err := a.mapDisk(ctx, words[1], netip.MustParseAddrPort(words[2]+":"+words[3]), words[4])
		a.mu.Lock()
		defer a.mu.Unlock()
		a.dead = err != nil && a.mortal
		return says, err
	}
	a.mu.Lock()
	d := a.disks[words[1]]
	if words[0] == "unmap" {
		delete(a.disks, words[1])
	}
	a.mu.Unlock()
	var offset int64
	if len(words) > 2 {
		offset, _ = strconv.ParseInt(words[2], 10, 64)
	}
	switch words[0] {
	case "unmap":
		return nil, errors.Join(d.device.Unmap(ctx, true), d.client.Close())
	case "state":
		return []byte(d.device.State().String()), nil
	case "reconnect":
		return nil, d.client.Session().Paths()[0].Reconnect(ctx)
	case "add-path":
		server := netip.MustParseAddrPort(words[2] + ":" + words[3])
		_, err := d.client.Session().AddPath(ctx, ibtrs.PathConfig{Device: a.device, Server: server})
		return nil, err
	case "remove-path":
		return nil, d.removePath(ctx, netip.MustParseAddr(words[2]))
	case "map-another":
		_, err := d.client.Map(ctx, words[2], ibnbd.ReadWrite, ibnbd.BlockIO)
		return []byte("another"), err
	case "write":
		_, err := d.device.WriteAtContext(ctx, input, offset, 0)
		return nil, err
	case "read":
		size, _ := strconv.Atoi(words[3])
		b := make([]byte, size)
		_, err := d.device.ReadAtContext(ctx, b, offset)
		return b, err
	case "flush":
		return nil, d.device.Flush(ctx)
	}
	return nil, fmt.Errorf("%s: %w", words[0], ibtrs.EOPNOTSUPP)
}

func (d *acmeDisk) removePath(ctx context.Context, server netip.Addr) error {
	for _, p := range d.client.Session().Paths() {
		if p.Config().Server.Addr() == server {
			return d.client.Session().RemovePath(ctx, p)
		}
	}
	return ibtrs.ENOENT
}

// restart brings the initiator back to life, with nothing mapped.
func (a *acme) restart() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for session, d := range a.disks {
		_ = d.client.Close() // its server has gone
		delete(a.disks, session)
	}
	a.dead = false
}

func (a *acme) mapDisk(ctx context.Context, session string, server netip.AddrPort, device string) ([]byte, error) {
	cfg := ibnbd.DefaultClientConfig()
	cfg.Transport.Name, cfg.Transport.Connections = session, 3
	cfg.Transport.Paths = []ibtrs.PathConfig{{Device: a.device, Server: server}}
	if a.change != nil {
		a.change(&cfg)
	}
	client, err := ibnbd.Connect(ctx, cfg)
	if err != nil {
		return nil, err
	}
	d, err := client.Map(ctx, device, ibnbd.ReadWrite, ibnbd.BlockIO)
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.disks[session] = &acmeDisk{client, d}
	return []byte(session), nil
}

// beHook has a test that listens on a Unix socket do what the words say, and gives the status of a control hook.
func beHook(socket string, words []string) int {
	if words[0] == os.Getenv(acmeLacks) {
		return unknownAction
	}
	initiator := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	answer, err := initiator.Post("http://acme/?"+url.Values{"word": words}.Encode(), "", os.Stdin)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer answer.Body.Close()
	if answer.StatusCode == http.StatusNotImplemented {
		return unknownAction
	}
	out, status := os.Stdout, 0
	if answer.StatusCode != http.StatusOK {
		out, status = os.Stderr, 1
	}
	if _, err := io.Copy(out, answer.Body); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return status
}

func TestInitiatorThatIsBroken(t *testing.T) {
	for _, c := range []struct {
		name, spec, clause string
		change             func(*ibnbd.ClientConfig)
	}{
		{"takes any accept", "an accept has another magic", "IBTRS-CONN-037", func(c *ibnbd.ClientConfig) { c.Transport.Rules.IgnoreAccept = true }},
		{"acknowledges no heartbeat", "heartbeats come", "IBTRS-HB-002", func(c *ibnbd.ClientConfig) { c.Transport.Rules.NoHeartbeatAck = true }},
		{"keeps device ids", "a server returns with another device id", "IBNBD-FAIL-002", func(c *ibnbd.ClientConfig) { c.Rules.KeepDeviceID = true }},
		{"takes blocks of no size", "a disk has blocks of no size", "IBNBD-OPEN-020", func(c *ibnbd.ClientConfig) { c.Rules.IgnoreZeroBlock = true }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			here, there := newMachines(t)
			_, env := newAcme(t, there, c.change)
			got, outcome := provoke(t, here, os.Args[0], env, "--patience", "6s", "--spec", lives(c.spec))
			if got.code != int(verdict.ExitFails) {
				t.Errorf("exit code %d: %s", got.code, got.stderr)
			}
			expectVerdicts(t, got, outcome, map[string][]string{c.spec: {c.clause + " FAIL protocol-violation", "IBNBD-FAIL-023 SKIP not-reached"}})
			for _, o := range outcome.Clauses() {
				for _, r := range o.Results {
					if r.Verdict == verdict.Fail && (len(r.Evidence) == 0 || !strings.Contains(r.Rerun, "--role initiator --provider soft --source 10.0.0.1")) {
						t.Errorf("a failure has the evidence %v, and is run again by %q", r.Evidence, r.Rerun)
					}
				}
			}
		})
	}
}

// TestInitiatorWhosePacketsAreBroken has an initiator pass every spec, and break a rule that only its packets show.
func TestInitiatorWhosePacketsAreBroken(t *testing.T) {
	t.Parallel()
	const answers, clause = "heartbeats come", "IBTRS-CONN-014"
	here, there := newMachines(t)
	_, env := newAcme(t, there, func(c *ibnbd.ClientConfig) {
		c.Transport.Rules.EditConnRequest = func(_ *ibtrs.Path, _ int, r *ibtrs.ConnRequest) { r.Reserved[3] = 1 }
	})
	got, outcome := provoke(t, here, os.Args[0], env, "--patience", "6s", "--spec", lives(answers))
	if got.code != int(verdict.ExitFails) {
		t.Errorf("exit code %d: %s", got.code, got.stderr)
	}
	expectVerdicts(t, got, outcome, map[string][]string{answers: {"IBTRS-HB-002 PASS", "IBNBD-FAIL-023 PASS"}})
	for _, c := range outcome.Clauses() {
		if (c.Verdict == verdict.Fail) != (c.ID == clause) {
			t.Errorf("%s is %s: %v", c.ID, c.Verdict, c.Results)
		}
	}
}

// TestInitiatorWhoseHookLacksSomething has what needs that be skipped, and nothing else.
func TestInitiatorWhoseHookLacksSomething(t *testing.T) {
	const rejects, returns, reads, grows = "a server rejects with an error number", "a server returns with another device id", "a server answers no marker", "a server returns with a larger disk"
	const both = "one of two paths is lost while writes wait on it"
	for _, c := range []struct {
		name   string
		lacks  string
		silent bool
		code   verdict.ExitCode
		want   map[string][]string
	}{
		{"reconnect", "reconnect", false, verdict.ExitHolds, map[string][]string{
			rejects: {"IBTRS-CONN-047 PASS", "IBNBD-FAIL-023 PASS"},
			returns: {"IBNBD-FAIL-002 SKIP no-hook", "IBNBD-FAIL-023 SKIP no-hook"},
			reads:   {"IBNBD-COMPAT-007 PASS", "IBNBD-FAIL-023 PASS"},
		}},
		{"add-path", "add-path", false, verdict.ExitHolds, map[string][]string{
			both:  {"IBNBD-FAIL-005 SKIP no-hook", "IBNBD-FAIL-023 SKIP no-hook"},
			reads: {"IBNBD-COMPAT-007 PASS", "IBNBD-FAIL-023 PASS"},
		}},
		{"error numbers and size", "", true, verdict.ExitHolds, map[string][]string{
			rejects: {"IBTRS-CONN-047 SKIP no-hook", "IBNBD-FAIL-023 PASS"},
			returns: {"IBNBD-FAIL-002 PASS", "IBNBD-FAIL-023 PASS"},
			grows:   {"IBNBD-FAIL-003 SKIP no-hook", "IBNBD-FAIL-023 SKIP no-hook"},
		}},
		{"map", "map", false, verdict.ExitNothingRan, map[string][]string{
			reads: {"IBNBD-COMPAT-007 SKIP no-hook", "IBNBD-FAIL-023 SKIP no-hook"},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			here, there := newMachines(t)
			a, env := newAcme(t, there, nil)
			a.mu.Lock() // it serves already
			a.silent = c.silent
			a.mu.Unlock()
			args := []string{}
			for spec := range c.want {
				args = append(args, "--spec", lives(spec))
			}
			here.inside(t, func() error { return addAddresses("eth1", "10.0.0.2") })
			args = append(args, "--source", "10.0.0.2")
			got, outcome := provoke(t, here, os.Args[0], append(env, acmeLacks+"="+c.lacks), args...)
			if got.code != int(c.code) {
				t.Errorf("exit code %d: %s\n%s", got.code, got.stderr, got.stdout)
			}
			expectVerdicts(t, got, outcome, c.want)
		})
	}
}

// TestInitiatorThatDies has an initiator die of two servers, and be restarted by its owner's hook, or not.
func TestInitiatorThatDies(t *testing.T) {
	const first, second, third = "an accept has another magic", "an accept has major version 3", "a server answers no marker"
	const dead, skipped = "IBNBD-FAIL-023 FAIL subject-dead", "IBNBD-FAIL-023 SKIP no-hook"
	for _, c := range []struct {
		name, lacks string
		want        map[string][]string
	}{
		{"with restart", "", map[string][]string{
			first: {"IBTRS-CONN-037 SKIP not-reached", dead}, second: {"IBTRS-CONN-037 SKIP not-reached", dead},
			third: {"IBNBD-COMPAT-007 PASS", "IBNBD-FAIL-023 PASS"},
		}},
		{"without restart", "restart", map[string][]string{
			first: {"IBTRS-CONN-037 SKIP not-reached", dead}, second: {"IBTRS-CONN-037 SKIP no-hook", skipped},
			third: {"IBNBD-COMPAT-007 SKIP no-hook", skipped},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			here, there := newMachines(t)
			a, env := newAcme(t, there, nil)
			a.mu.Lock() // it serves already
			a.mortal = true
			a.mu.Unlock()
			got, outcome := provoke(t, here, os.Args[0], append(env, acmeLacks+"="+c.lacks),
				"--spec", lives(first), "--spec", lives(second), "--spec", lives(third))
			if got.code != int(verdict.ExitFails) {
				t.Errorf("exit code %d: %s\n%s", got.code, got.stderr, got.stdout)
			}
			expectVerdicts(t, got, outcome, c.want)
		})
	}
}

func TestWrongUsageOfForeignInitiator(t *testing.T) {
	with := func(args ...string) []string {
		return append([]string{"run", "--role", "initiator", "--dry-run"}, args...)
	}
	hook := []string{"--control", "true"}
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"no such role", []string{"run", "--role", "judge"}, `--role "judge" is not one of target, initiator`},
		{"no hook", with("--source", "10.0.0.1"), "--control is missing: nothing else can have the initiator map a disk"},
		{"no address", with(hook...), "--source and --netdev: no own address"},
		{"a target", with("--target", "ip:10.0.0.66"), "--target does not go with --role initiator"},
		{"writes", with("--allow-writes"), "--allow-writes does not go with --role initiator"},
		{"a flag of the lab", with("--initiator", "mainline"), "--initiator does not go with --role initiator"},
		{"no patience", with("--source", "10.0.0.1", "--patience", "0s"), "--patience 0s is outside 10ms to 1h0m0s"},
		{"a spec of targets", with(append(hook, "--source", "10.0.0.1", "--spec", "a client that falls silent is given up")...), "there is no spec of that name"},
	} {
		t.Run(c.name, func(t *testing.T) {
			expectSentence(t, command(t, c.args...), verdict.ExitUsage, regexp.QuoteMeta(c.want))
		})
	}
	got := command(t, with(append(hook, "--source", "10.0.0.1")...)...)
	if got.code != 0 || !regexp.MustCompile(`(?m)^  \d+ will be skipped \(no-consent\)`).MatchString(got.stdout) {
		t.Errorf("a dry run: exit code %d: %s", got.code, got.stdout)
	}
}
