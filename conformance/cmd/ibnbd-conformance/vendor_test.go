// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/foreign"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/reference/backend"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/rdma/soft"
)

// The vendor of these tests has a target of which the command knows an address, an export and a control hook.

// machine is a network namespace that lives as long as the test.
type machine struct{ holder int }

func newMachine(t *testing.T) machine {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("network namespaces need root")
	}
	holder := exec.Command("cat") // ends with its input, and so with this process
	holder.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	input, err := holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		input.Close()
		_ = holder.Wait()
	})
	return machine{holder.Process.Pid}
}

// on is the command that runs the command behind it on the machine.
func (m machine) on() string { return fmt.Sprintf("nsenter -t %d -n", m.holder) }

// inside runs a function in the machine.
func (m machine) inside(t *testing.T, do func() error) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		file, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", m.holder))
		if err == nil {
			defer file.Close()
			err = unix.Setns(int(file.Fd()), unix.CLONE_NEWNET)
		}
		if err == nil {
			err = do()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// configure gives an interface of the machine an address and takes it up.
func configure(name, address string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	addr, err := netlink.ParseAddr(address)
	if err != nil {
		return err
	}
	return errors.Join(netlink.AddrAdd(link, addr), netlink.LinkSetUp(link))
}

// The addresses of the two machines.
const ours, theirs = "10.0.0.1", "10.0.0.66"

// cable joins two machines.
func cable(t *testing.T, here, there machine) {
	t.Helper()
	here.inside(t, func() error {
		pair := netlink.NewVeth(netlink.LinkAttrs{Name: "eth1", MTU: 4300})
		pair.PeerName = "peer"
		if err := netlink.LinkAdd(pair); err != nil {
			return err
		}
		peer, err := netlink.LinkByName("peer")
		if err != nil {
			return err
		}
		return errors.Join(netlink.LinkSetNsPid(peer, there.holder), configure("eth1", ours+"/24"))
	})
	there.inside(t, func() error { return configure("peer", theirs+"/24") })
}

// vendor is somebody's target on a machine of its own, with a machine beside it from which it is judged.
type vendor struct {
	here machine
	disk string // the file behind the export ram0
	env  []string
}

const diskSize = 16 << 20

// newVendor starts a target by the hook of ci/hooks, with server as the command line of the service.
func newVendor(t *testing.T, server string) vendor {
	t.Helper()
	here, there := newMachine(t), newMachine(t)
	cable(t, here, there)
	dir := t.TempDir()
	v := vendor{here: here, disk: filepath.Join(dir, "disk")}
	other := filepath.Join(dir, "other")
	for name, size := range map[string]int{v.disk: diskSize, other: diskSize + 1<<20} {
		if err := os.WriteFile(name, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	server = strings.NewReplacer("DISK", v.disk, "OTHER", other, "DIR", dir).Replace(server)
	v.env = append(os.Environ(), "ON="+there.on(), "SERVER="+server, "PIDFILE="+filepath.Join(dir, "pid"), "LOG="+filepath.Join(dir, "log"))
	v.hook(t, "restart")
	t.Cleanup(func() {
		kill := exec.Command("sh", "-c", `kill -KILL "$(cat "$PIDFILE")"`)
		kill.Env = v.env
		_ = kill.Run()
	})
	return v
}

// ofReference is the command line of a server of this project, with the disk as its export ram0. What it acknowledges as durable is
// there after a crash.
func ofReference(t *testing.T) string {
	t.Helper()
	program := filepath.Join(filepath.Dir(binary), "ibnbd-server")
	build := exec.Command("go", "build", "-o", program, "../../../reference/cmd/ibnbd-server")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return program + " --listen " + theirs + " --export ram0=file:DISK --export ram1=file:OTHER --control DIR/socket"
}

const hookFile = "../../../ci/hooks/ibnbd-server"

func (v vendor) hook(t *testing.T, action string) {
	t.Helper()
	cmd := exec.Command(hookFile, action)
	cmd.Env = v.env
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("hook %s: %v: %s", action, err, out)
	}
}

// command is the command line that judges the vendor's target from the machine beside it.
func (v vendor) command(t *testing.T, dir string, args ...string) *exec.Cmd {
	t.Helper()
	words := append(strings.Fields(v.here.on()), binary, "run", "--target", "ip:"+theirs, "--name", "acme-1", "--report", dir)
	words = append(words, args...)
	cmd := exec.CommandContext(t.Context(), words[0], words[1:]...)
	cmd.Env = v.env
	return cmd
}

// judge runs the command, and reads its report.
func (v vendor) judge(t *testing.T, args ...string) (ended, verdict.Outcome) {
	t.Helper()
	dir := t.TempDir()
	got := run(t, v.command(t, dir, args...))
	return got, readReport(t, dir, got)
}

func readReport(t *testing.T, dir string, got ended) (outcome verdict.Outcome) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "report.json"))
	if err != nil {
		t.Fatalf("%v; exit code %d: %s", err, got.code, got.stderr)
	}
	if err := json.Unmarshal(data, &outcome); err != nil {
		t.Fatal(err)
	}
	for _, c := range outcome.Clauses() {
		for _, r := range c.Results {
			for _, e := range r.Evidence {
				if _, err := os.Stat(filepath.Join(dir, e.Path)); err != nil {
					t.Errorf("evidence of %q: %v", r.Spec, err)
				}
			}
		}
	}
	return outcome
}

// verdictsOf are the verdicts of a spec on the clauses that it decides, with their reasons.
func verdictsOf(o verdict.Outcome, spec string) []string {
	var all []string
	for _, c := range o.Clauses() {
		for _, r := range c.Results {
			if r.Spec == spec {
				all = append(all, strings.TrimSpace(fmt.Sprintf("%s %s %s", c.ID, r.Verdict, r.Reason)))
			}
		}
	}
	return all
}

func reasons(o verdict.Outcome) map[verdict.Reason]int {
	n := make(map[verdict.Reason]int)
	for _, c := range o.Clauses() {
		n[c.Reason]++
	}
	return n
}

func (v vendor) content(t *testing.T) []byte {
	t.Helper()
	data, err := os.ReadFile(v.disk)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

const attackSpecs = "^attack by"

func TestVendorIsNotWrittenToWithoutConsent(t *testing.T) {
	t.Parallel()
	v := newVendor(t, ofReference(t))
	got, outcome := v.judge(t, "--export", "ram0", "--focus", attackSpecs)
	if got.code != int(verdict.ExitHolds) {
		t.Errorf("exit code %d: %s\n%s", got.code, got.stderr, got.stdout)
	}
	if outcome.Counts[verdict.Pass] < 40 || reasons(outcome)[verdict.NoConsent] == 0 {
		t.Errorf("counts %v, reasons %v", outcome.Counts, reasons(outcome))
	}
	if !bytes.Equal(v.content(t), make([]byte, diskSize)) {
		t.Error("the export was written to")
	}
}

func TestVendorIsWrittenToInTheScratchRangeAlone(t *testing.T) {
	t.Parallel()
	v := newVendor(t, ofReference(t))
	got, outcome := v.judge(t, "--export", "ram0,ram1", "--allow-writes", "--scratch", "4096+64", "--focus", attackSpecs)
	if got.code != int(verdict.ExitHolds) {
		t.Errorf("exit code %d: %s\n%s", got.code, got.stderr, got.stdout)
	}
	if got := verdictsOf(outcome, "attack by one chunk used again and again"); !slices.Equal(got, []string{"IBTRS-INV-004 PASS", "IBNBD-FAIL-019 PASS"}) {
		t.Errorf("an attack that writes has the verdicts %v", got)
	}
	if got := verdictsOf(outcome, "attack by I/O beyond the end of a device"); !slices.Equal(got, []string{"IBNBD-IO-016 SKIP no-consent", "IBNBD-FAIL-019 SKIP no-consent"}) {
		t.Errorf("an attack that writes anywhere has the verdicts %v", got)
	}
	disk := v.content(t)
	const from, to = 4096 * 512, (4096 + 64) * 512
	if bytes.Equal(disk[from:to], make([]byte, to-from)) {
		t.Error("nothing was written")
	}
	if bytes.Count(disk[:from], []byte{0}) != from || bytes.Count(disk[to:], []byte{0}) != diskSize-to {
		t.Error("something was written outside of the scratch range")
	}
}

// TestVendorWithEveryConsent has all specs run that a target of two exports and one address can be judged by.
func TestVendorWithEveryConsent(t *testing.T) {
	t.Parallel()
	v := newVendor(t, losing(ofReference(t)))
	got, outcome := v.judge(t, "--export", "ram0,ram1", "--allow-data-loss", "ram0,ram1", "--allow-outage", "--control", absolute(t, hookFile))
	if got.code != int(verdict.ExitHolds) {
		t.Errorf("exit code %d: %s\n%s", got.code, got.stderr, got.stdout)
	}
	for _, spec := range foreign.TargetSpecs() {
		if spec.Addresses > 1 || spec.Depth != 0 {
			continue
		}
		for _, v := range verdictsOf(outcome, spec.Name) {
			if !strings.HasSuffix(v, " PASS") && !strings.HasSuffix(v, "-ability") && !strings.HasSuffix(v, "ability-missing") &&
				!strings.HasSuffix(v, " other-dialect") && !strings.HasPrefix(v, "IBNBD-FAIL-022 SKIP") {
				t.Errorf("%q: %s", spec.Name, v)
			}
		}
	}
	if outcome.Header.Subjects[0].Name != "acme-1" || outcome.Header.Subjects[0].Versions["kernel"] == "" {
		t.Errorf("the subject is %+v", outcome.Header.Subjects[0])
	}
	// The passive judge has read the packets of the long visit.
	passive := regexp.MustCompile(`IBTRS-HB-001 PASS`)
	if !slices.ContainsFunc(outcome.Clauses(), func(c verdict.ClauseOutcome) bool {
		return passive.MatchString(c.ID + " " + string(c.Verdict))
	}) {
		t.Error("nothing is known of the target's own heartbeats")
	}
	if n := reasons(outcome); n[verdict.NeedsLab] == 0 || n[verdict.NoHook] == 0 {
		t.Errorf("reasons: %v", n)
	}
	for _, file := range []string{"report.txt", "junit.xml", "report.ktap", "report.html"} {
		if _, err := os.Stat(filepath.Join(filepath.Dir(reportOf(got)), file)); err != nil {
			t.Error(err)
		}
	}
}

// TestVendorInSeveralConfigurations has one report of what no single run can judge: a depth of 1, one that is no power of two, and
// keys that stay the same. Runs of one configuration each make the same report when they are merged.
func TestVendorInSeveralConfigurations(t *testing.T) {
	t.Parallel()
	v := newVendor(t, ofReference(t))
	args := []string{
		"--export", "ram0,ram1", "--control", absolute(t, hookFile), "--allow-data-loss", "ram0,ram1",
		"--clause", "IBTRS-IMM-012,IBTRS-IMM-013,IBTRS-INV-002,IBTRS-IO-014",
	}
	each, parts := slices.Clone(args), []string(nil)
	for _, c := range []string{"queue-depth=1", "queue-depth=10,no-key-refresh=true"} {
		dir := t.TempDir()
		if got := run(t, v.command(t, dir, append(slices.Clone(args), "--configure", c)...)); got.code != int(verdict.ExitHolds) {
			t.Errorf("%s: exit code %d: %s\n%s", c, got.code, got.stderr, got.stdout)
		}
		each, parts = append(each, "--configure", c), append(parts, dir)
	}
	dir := t.TempDir()
	got := run(t, v.command(t, dir, each...))
	if got.code != int(verdict.ExitHolds) {
		t.Errorf("exit code %d: %s\n%s", got.code, got.stderr, got.stdout)
	}
	chosen := ofClauses(readReport(t, dir, got), "IBTRS-IMM-012", "IBTRS-IMM-013", "IBTRS-INV-002", "IBTRS-IO-014")
	for _, c := range chosen {
		if c.Verdict != verdict.Pass {
			t.Errorf("%s: %s %s %s", c.ID, c.Verdict, c.Reason, c.Message)
		}
	}
	whole := filepath.Join(t.TempDir(), "whole")
	merged := command(t, append([]string{"report", "merge", "--dir", whole}, parts...)...)
	if merged.code != got.code {
		t.Errorf("merge: exit code %d: %s", merged.code, merged.stderr)
	}
	// What the passive judge sees of other clauses depends on time.
	other := ofClauses(readReport(t, whole, merged), "IBTRS-IMM-012", "IBTRS-IMM-013", "IBTRS-INV-002", "IBTRS-IO-014")
	if one, two := decisions(chosen), decisions(other); !slices.Equal(one, two) {
		t.Errorf("one run and the merger of two differ:\n%q\n%q", one, two)
	}
}

// decisions are the clauses with the spec and the verdict of each result, sorted.
func decisions(all []verdict.ClauseOutcome) []string {
	var lines []string
	for _, c := range all {
		for _, r := range c.Results {
			lines = append(lines, fmt.Sprintf("%s %s %s", c.ID, r.Where(), r.Verdict))
		}
	}
	slices.Sort(lines)
	return lines
}

func ofClauses(o verdict.Outcome, ids ...string) []verdict.ClauseOutcome {
	return slices.DeleteFunc(o.Clauses(), func(c verdict.ClauseOutcome) bool { return !slices.Contains(ids, c.ID) })
}

// losing has the disks of a command line lose what was not flushed when the server is killed.
func losing(server string) string {
	return strings.NewReplacer("file:DISK", "file:DISK,volatile", "file:OTHER", "file:OTHER,volatile").Replace(server)
}

// TestVendorWhoseTargetCrashes judges durability where a crash loses what it may lose, and not where it loses nothing.
func TestVendorWhoseTargetCrashes(t *testing.T) {
	reference := ofReference(t)
	for _, c := range []struct {
		name, server, flushed, fua string
		code                       verdict.ExitCode
	}{
		{"and loses its cache", losing(reference), "PASS", "PASS", verdict.ExitHolds},
		{"and loses its cache and ignores FUA", losing(reference) + " --break ignore-fua", "PASS", "FAIL protocol-violation", verdict.ExitFails},
		{"and loses its cache and ignores flushes", losing(reference) + " --break ignore-flush", "FAIL protocol-violation", "PASS", verdict.ExitFails},
		{"and loses nothing and ignores FUA", reference + " --break ignore-fua", "SKIP nothing-lost", "SKIP nothing-lost", verdict.ExitHolds},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, outcome := newVendor(t, c.server).judge(t, "--export", "ram0", "--allow-data-loss", "ram0", "--allow-outage",
				"--control", absolute(t, hookFile), "--focus", "after a crash of the target")
			if got.code != int(c.code) {
				t.Errorf("exit code %d: %s\n%s", got.code, got.stderr, got.stdout)
			}
			flushed := verdictsOf(outcome, "what was flushed is there after a crash of the target")
			fua := verdictsOf(outcome, "what was written with FUA is there after a crash of the target")
			if !slices.Contains(flushed, "IBNBD-FAIL-018 "+c.flushed) || !slices.Contains(fua, "IBNBD-IO-009 "+c.fua) {
				t.Errorf("%v, %v", flushed, fua)
			}
		})
	}
}

// reportOf is where the command says that its report is.
func reportOf(got ended) string {
	match := regexp.MustCompile(`(?m)^reports: (.*)$`).FindStringSubmatch(got.stdout)
	if match == nil {
		return ""
	}
	return match[1]
}

func absolute(t *testing.T, file string) string {
	t.Helper()
	path, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestVendorWithAFileSystem(t *testing.T) {
	t.Parallel()
	v := newVendor(t, ofReference(t))
	if out, err := exec.Command("/sbin/mke2fs", "-q", "-F", v.disk).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	before := v.content(t)
	writes := []string{"--export", "ram0,ram1", "--allow-writes", "--scratch", "4096+64", "--focus", "one chunk"}
	got := run(t, v.command(t, t.TempDir(), writes...))
	expectSentence(t, got, verdict.ExitUsage, `export ram0 holds an ext2, ext3 or ext4 file system \(at byte 1080\), and will not be written to unless --allow-data-loss ram0`)
	if !bytes.Equal(v.content(t), before) {
		t.Error("the file system was written to")
	}
	got, _ = v.judge(t, append(writes, "--allow-data-loss", "ram0")...)
	if got.code != int(verdict.ExitHolds) {
		t.Errorf("with its data given up: exit code %d: %s", got.code, got.stderr)
	}
}

func TestVendorOverOwnFrames(t *testing.T) {
	t.Parallel()
	v := newVendor(t, ofReference(t))
	got, outcome := v.judge(t, "--export", "ram0", "--netdev", "eth1", "--source", "10.0.0.77/24", "--focus", "magic", "--keep-evidence")
	if got.code != int(verdict.ExitHolds) {
		t.Errorf("exit code %d: %s", got.code, got.stderr)
	}
	if got := verdictsOf(outcome, "attack by connection request with another magic"); !slices.Equal(got, []string{"IBTRS-CONN-021 PASS", "IBNBD-FAIL-019 PASS"}) {
		t.Errorf("verdicts %v", got)
	}
}

// The kinds of vendors that this test binary can be.
const (
	takesAnyMagic = "takes any magic"
	mortal        = "dies of a path that closes before it was built"
	panics        = "panics upon a read of no bytes"
)

// beVendor is the life of a broken target: it listens on an address, until it is killed.
func beVendor(kind, address string) error {
	link, err := soft.OpenUDP(netip.MustParseAddr(address))
	if err != nil {
		return err
	}
	device, err := soft.Open(link, soft.Config{})
	if err != nil {
		return err
	}
	cfg := ibnbd.DefaultServerConfig()
	cfg.Transport.Devices, cfg.Transport.Port = []rdma.Device{device}, ibtrs.DefaultPort
	cfg.Transport.Geometry.QueueDepth = 32
	cfg.Transport.Rules.AnyMagic = kind == takesAnyMagic
	cfg.Rules.EmptyReadPanics = kind == panics
	if kind == mortal {
		cfg.Transport.Transition = func(_ *ibtrs.ServerPath, from, to ibtrs.PathState) {
			if from == ibtrs.StateConnecting && to != ibtrs.StateConnected {
				os.Exit(1)
			}
		}
	}
	for _, name := range []string{"ram0", "ram1"} {
		memory, err := backend.NewMemory(diskSize, 512)
		if err != nil {
			return err
		}
		cfg.Exports = append(cfg.Exports, ibnbd.Export{Path: name, Backend: memory})
	}
	if _, err := ibnbd.Listen(cfg); err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "listening")
	select {}
}

func TestVendorThatIsBroken(t *testing.T) {
	t.Parallel()
	v := newVendor(t, fmt.Sprintf("env IBNBD_TEST_VENDOR='%s' %s %s", takesAnyMagic, os.Args[0], theirs))
	got, outcome := v.judge(t, "--export", "ram0", "--focus", "magic")
	if got.code != int(verdict.ExitFails) {
		t.Errorf("exit code %d: %s", got.code, got.stderr)
	}
	if got := verdictsOf(outcome, "attack by connection request with another magic"); !slices.Equal(got, []string{"IBTRS-CONN-021 FAIL protocol-violation", "IBNBD-FAIL-019 SKIP not-reached"}) {
		t.Errorf("verdicts %v", got)
	}
	for _, c := range outcome.Clauses() {
		for _, r := range c.Results {
			if r.Verdict == verdict.Fail && (len(r.Evidence) != 3 || len(r.Evidence[0].Frames) == 0 || !strings.Contains(r.Rerun, "--target ip:10.0.0.66 --export ram0")) {
				t.Errorf("a failure has the evidence %v, and is run again by %q", r.Evidence, r.Rerun)
			}
		}
	}
}

// TestVendorThatDies has a target die of two clients, and be restarted by its owner's hook, or not.
func TestVendorThatDies(t *testing.T) {
	const first, second = "attack by client that goes away after its first connection", "attack by client that goes away after all connections"
	const third = "attack by client that goes away after INFO"
	server := fmt.Sprintf("env IBNBD_TEST_VENDOR='%s' %s %s", mortal, os.Args[0], theirs)
	for _, c := range []struct {
		name                 string
		args                 []string
		first, second, third string
	}{
		{"with a hook", []string{"--control", absolute(t, hookFile)}, "IBNBD-FAIL-019 FAIL subject-dead", "IBNBD-FAIL-019 FAIL subject-dead", "IBNBD-FAIL-019 PASS"},
		{"without a hook", nil, "IBNBD-FAIL-019 FAIL subject-dead", "IBNBD-FAIL-019 SKIP no-hook", "IBNBD-FAIL-019 SKIP no-hook"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			v := newVendor(t, server)
			got, outcome := v.judge(t, append([]string{"--export", "ram0", "--patience", "3s", "--focus", "client that goes away after"}, c.args...)...)
			if got.code != int(verdict.ExitFails) {
				t.Errorf("exit code %d: %s", got.code, got.stderr)
			}
			for spec, want := range map[string]string{first: c.first, second: c.second, third: c.third} {
				if got := verdictsOf(outcome, spec); !slices.Equal(got, []string{want}) {
					t.Errorf("%q: %v, want %s", spec, got, want)
				}
			}
		})
	}
}

func TestVendorThatPanics(t *testing.T) {
	t.Parallel()
	v := newVendor(t, fmt.Sprintf("env IBNBD_TEST_VENDOR='%s' %s %s", panics, os.Args[0], theirs))
	got, outcome := v.judge(t, "--export", "ram0", "--patience", "3s", "--focus", "reads of no bytes")
	if got.code != int(verdict.ExitFails) {
		t.Errorf("exit code %d: %s", got.code, got.stderr)
	}
	want := []string{"IBNBD-IO-024 FAIL protocol-violation", "IBNBD-FAIL-019 FAIL subject-dead"}
	if got := verdictsOf(outcome, "attack by reads of no bytes"); !slices.Equal(got, want) {
		t.Errorf("verdicts %v, want %v", got, want)
	}
}

// TestVendorInShards judges a target in two parts, one after the other, and compares the whole of them with one run of all.
func TestVendorInShards(t *testing.T) {
	t.Parallel()
	v := newVendor(t, ofReference(t))
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	selection := []string{"--export", "ram0", "--focus", "INFO request"}
	for name, shard := range map[string][]string{"all": nil, "one": {"--shard", "1/2"}, "two": {"--shard", "2/2"}} {
		if got := run(t, v.command(t, in(name), append(shard, selection...)...)); got.code != int(verdict.ExitHolds) {
			t.Fatalf("%s: exit code %d: %s", name, got.code, got.stderr)
		}
	}
	if got := command(t, "report", "merge", "--dir", in("whole"), in("one"), in("two")); got.code != int(verdict.ExitHolds) {
		t.Errorf("exit code %d: %s", got.code, got.stderr)
	}
	if got := command(t, "compare", in("all"), in("whole")); got.code != 0 || !strings.HasPrefix(got.stdout, "clauses: ") {
		t.Errorf("the whole is not all: exit code %d:\n%s", got.code, got.stdout)
	}
}

func TestVendorInterrupted(t *testing.T) {
	t.Parallel()
	v := newVendor(t, ofReference(t))
	dir := t.TempDir()
	cmd := v.command(t, dir, "--export", "ram0")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	for !strings.Contains(said.String(), "acme-1 serves") {
		if _, err := io.CopyN(&said, out, 1); err != nil {
			t.Fatalf("%v: %s", err, &said)
		}
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(&said, out); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != int(verdict.ExitEnvironment) {
		t.Errorf("exit code %d: %s", code, &said)
	}
}

func TestForeignTargetThatIsNotThere(t *testing.T) {
	got := command(t, "run", "--target", "ip:127.77.3.9", "--source", "127.77.3.1", "--export", "ram0", "--patience", "300ms", "--report", t.TempDir())
	expectSentence(t, got, verdict.ExitEnvironment, `no session with the target at 127.77.3.9:1234: `)
}

func TestForeignSelectionThatMayNotRun(t *testing.T) {
	t.Parallel()
	v := newVendor(t, ofReference(t))
	got, outcome := v.judge(t, "--export", "ram0", "--focus", "empty session name")
	if got.code != int(verdict.ExitNothingRan) {
		t.Errorf("exit code %d: %s", got.code, got.stderr)
	}
	if got := verdictsOf(outcome, "attack by empty session name"); !slices.Equal(got, []string{"IBTRS-INFO-014 SKIP no-consent", "IBNBD-FAIL-021 SKIP no-consent"}) {
		t.Errorf("verdicts %v", got)
	}
	got = run(t, v.command(t, t.TempDir(), "--export", "nothing"))
	expectSentence(t, got, verdict.ExitEnvironment, `export nothing: open nothing: ENOENT`)
}

func TestWrongUsageOfForeignRun(t *testing.T) {
	with := func(args ...string) []string {
		return append([]string{"run", "--target", "ip:10.0.0.66", "--dry-run"}, args...)
	}
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"no address", []string{"run", "--target", "ip:storage", "--export", "a"}, `--target "ip:storage" is not an address like ip:10.0.0.66`},
		{"an address alone", []string{"run", "--target", "127.0.0.10", "--export", "a"}, "--target 127.0.0.10 is an address: write --target ip:127.0.0.10"},
		{"no export", with(), "--export names 0 exports"},
		{"three exports", with("--export", "a,b,c"), "--export names 3 exports"},
		{"a flag of the lab", with("--export", "a", "--workers", "2"), "--workers speaks of the lab"},
		{"a flag of a foreign target in the lab", []string{"run", "--allow-writes"}, "--allow-writes speaks of a foreign target"},
		{"writes without a range", with("--export", "a", "--allow-writes"), "--allow-writes and --scratch FIRST+COUNT belong together"},
		{"a range without writes", with("--export", "a", "--scratch", "0+64"), "--allow-writes and --scratch FIRST+COUNT belong together"},
		{"a small range", with("--export", "a", "--allow-writes", "--scratch", "0+8"), `--scratch "0+8" has 8 sectors`},
		{"loss of another export", with("--export", "a", "--allow-data-loss", "b"), "--allow-data-loss b is not among the exports a"},
		{"an unknown provider", with("--export", "a", "--provider", "hard"), `provider "hard" is not one of soft, verbs`},
		{"frames by verbs", with("--export", "a", "--provider", "verbs", "--netdev", "e", "--source", "10.0.0.1"), "the provider verbs has the addresses of this machine"},
		{"two sources", with("--export", "a", "--source", "10.0.0.1,10.0.1.1"), "2 own addresses for 1 of the target"},
		{"a source that is none", with("--export", "a", "--source", "eth0"), `--source "eth0" is not an address`},
		{"a configuration without a hook", with("--export", "a", "--configure", "depth=1"), `--configure: "depth=1" needs a control hook`},
		{"a configuration that is none", with("--export", "a", "--control", "true", "--configure", "depth"), `--configure "depth" is not of the form NAME=VALUE`},
		{"a configuration twice", with("--export", "a", "--control", "true", "--configure", "d=1", "--configure", "d=1"), `--configure: "d=1" is there twice`},
		{"no such hook", with("--export", "a", "--control", "/no/such/hook"), `--control "/no/such/hook": the command cannot be run`},
		{"a dialect", with("--export", "a", "--dialect", "nvme"), `--dialect "nvme" is not one of ibnbd, rnbd, srp`},
		{"a protocol", with("--export", "a", "--protocol", "nvme"), `--protocol "nvme" is not one of ibnbd, srp`},
		{"a dialect of another protocol", with("--export", "a", "--protocol", "srp", "--dialect", "rnbd"), "--dialect rnbd is none of the protocol srp"},
		{"no identifiers", with("--protocol", "srp"), "--id-ext is missing: identifier extension of the target port"},
		{"an identifier", with("--protocol", "srp", "--id-ext", "x", "--ioc-guid", "1"), `--id-ext "x" is not a number of 1 to 16 hexadecimal digits`},
		{"a logical unit", with("--protocol", "srp", "--lun", "16384"), `--export names logical unit "16384" is not a number from 0 to 16383`},
		{"logical units twice", with("--protocol", "srp", "--lun", "1", "--export", "0"), "--lun and --export say the same: give one of them"},
		{"no patience", with("--export", "a", "--patience", "0s"), "--patience 0s is outside 10ms to 1h0m0s"},
		{"too much patience", with("--export", "a", "--patience", "2h"), "--patience 2h0m0s is outside 10ms to 1h0m0s"},
		{"long export", with("--export", strings.Repeat("n", 255)), "has 255 bytes, must have 1 to 254"},
		{"a seed where nothing is drawn", with("--protocol", "srp", "--id-ext", "1", "--ioc-guid", "1", "--seed", "2"), "--seed is 2, and nothing is drawn at random in this protocol"},
		{"no saved sequence", with("--export", "a", "--replay", "/no/such/file"), "--replay: open /no/such/file: no such file or directory"},
		{"a saved sequence that is none", with("--export", "a", "--replay", absolute(t, hookFile)), `ibnbd-server: it is no saved sequence: its format must be "ibnbd-conformance sequence"`},
		{"no such spec", with("--export", "a", "--spec", "x"), `--spec "x": there is no spec of that name`},
	} {
		t.Run(c.name, func(t *testing.T) {
			expectSentence(t, command(t, c.args...), verdict.ExitUsage, regexp.QuoteMeta(c.want))
		})
	}
}
