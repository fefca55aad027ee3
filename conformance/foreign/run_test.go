// SPDX-License-Identifier: Apache-2.0

package foreign

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/clauses/clausestest"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/finding"
)

// The clauses of the specs of these tests. What they say plays no part.
const (
	survival = "IBNBD-FAIL-019"
	alarming = "IBNBD-FAIL-022"
	decided  = "IBTRS-CONN-021"
)

// fakeSubject is a target or an initiator that does what a test says, over devices on a loopback address.
type fakeSubject struct {
	serves   error  // of whoever looks whether it serves
	back     string // a file that, when it is there, has it serve again
	contact  error
	passive  []verdict.Result
	specs    []Spec
	depth    int
	serving  string   // the clause that says that it must serve
	timeline string   // of every spec
	lastRead []string // files that the passive judge was given
}

func (f *fakeSubject) isServing() error {
	if _, err := os.Stat(f.back); err == nil {
		return nil
	}
	return f.serves
}

func (f *fakeSubject) protocol() *Protocol {
	specs := func() []Spec { return f.specs }
	return &Protocol{
		Port: 1234,
		Targets: Targets{
			Specs: specs, Patience: time.Second, Scratch: 8, LeastExport: 1 << 20, LongestExport: 254,
			Contact: func(context.Context, *TargetRun) (Found, error) {
				return Found{map[clauses.Ability]bool{clauses.KeyRefresh: true}, f.depth}, f.contact
			},
			Serves: func(context.Context, *TargetRun) error { return f.isServing() }, Serving: f.serving,
		},
		Initiators: Initiators{
			Specs: specs, Patience: time.Second, OrdinaryPort: 1235,
			Use: func(context.Context, *InitiatorRun) error { return f.isServing() },
		},
		Packets: Packets{
			Judge: func(_ context.Context, _ audit.Configuration, files ...string) ([]verdict.Result, error) {
				f.lastRead = files
				return f.passive, nil
			},
			Timeline: func(_ context.Context, w io.Writer, _ int, _ ...string) error {
				_, err := io.WriteString(w, "a line\n"+f.timeline)
				return err
			},
		},
	}
}

var ownAddress = netip.MustParsePrefix("127.46.0.1/8")

func (f *fakeSubject) target(change func(*Config)) Subject {
	c := Config{
		Name: "acme-1", Dialect: "rnbd", Targets: []netip.AddrPort{netip.MustParseAddrPort("127.46.0.66:1234")}, Exports: []string{"a"},
		Place: Place{Source: []netip.Prefix{ownAddress}}, Consent: Consent{Outage: true},
	}
	if change != nil {
		change(&c)
	}
	return f.protocol().Target(c)
}

func (f *fakeSubject) initiator(hook Hook) Subject {
	return f.protocol().Initiator(InitiatorConfig{
		Name: "acme-1", Dialect: "rnbd", Place: Place{Source: []netip.Prefix{ownAddress}}, Hook: hook, Consent: Consent{Outage: true},
	})
}

func start(t *testing.T, s Subject) Run {
	t.Helper()
	r, err := s.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// spec ends with an error on either role.
func spec(end error) Spec {
	return Spec{
		Name: "a spec", Clauses: []string{survival, decided}, Survival: survival, Takes: time.Second, Addresses: 1,
		OnTarget:    func(context.Context, *TargetRun) error { return end },
		OnInitiator: func(context.Context, *InitiatorRun) error { return end },
	}
}

// verdicts are those of a spec, by clause.
func verdicts(t *testing.T, r Run, s Spec, report Report) map[string]string {
	t.Helper()
	results, _, err := r.RunSpec(t.Context(), s, report)
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]string)
	for _, r := range results {
		got[r.Clause] = fmt.Sprintf("%s %s", r.Verdict, r.Reason)
		if err := r.Validate(clausestest.Catalogue()); err != nil {
			t.Error(err)
		}
	}
	return got
}

func TestRunSpec(t *testing.T) {
	f := &fakeSubject{depth: 8}
	for name, subject := range map[string]Subject{"target": f.target(nil), "initiator": f.initiator(hook(t, "true"))} {
		t.Run(name, func(t *testing.T) { runSpecs(t, start(t, subject)) })
	}
}

// TestAttachedFile saves what comes with an error beside the evidence of the failure, and names it there.
func TestAttachedFile(t *testing.T) {
	r := start(t, (&fakeSubject{}).target(nil))
	s := spec(&finding.Attached{Err: finding.Broken(decided, "wrong"), Name: "steps.json", Note: "the steps", Content: []byte("{}")})
	dir := t.TempDir()
	results, _, err := r.RunSpec(t.Context(), s, Report{Dir: dir, Evidence: "e"})
	if err != nil {
		t.Fatal(err)
	}
	if content, err := os.ReadFile(filepath.Join(dir, "e", "steps.json")); err != nil || string(content) != "{}" {
		t.Errorf("%q, %v", content, err)
	}
	for _, r := range results {
		named := slices.ContainsFunc(r.Evidence, func(e verdict.Evidence) bool { return e.Path == "e/steps.json" && e.Note == "the steps" })
		if named != (r.Verdict == verdict.Fail) {
			t.Errorf("%s %s: evidence %+v", r.Clause, r.Verdict, r.Evidence)
		}
	}
}

func runSpecs(t *testing.T, r Run) {
	for _, c := range []struct {
		name   string
		spec   Spec
		change func(*Spec)
		want   map[string]string
	}{
		{"passes", spec(nil), nil, map[string]string{survival: "PASS ", decided: "PASS "}},
		{"fails", spec(finding.Broken(decided, "wrong")), nil, map[string]string{survival: "SKIP not-reached", decided: "FAIL protocol-violation"}},
		{"passes, as far as can be seen", spec(nil), func(s *Spec) { s.Clauses, s.KernelLog = []string{alarming, decided}, alarming },
			map[string]string{alarming: "SKIP no-hook", decided: "PASS "}},
		{"fails what a kernel log shows", spec(finding.Broken(alarming, "dead")), func(s *Spec) {
			s.Clauses, s.KernelLog, s.Survival = []string{alarming, decided}, alarming, alarming
		}, map[string]string{alarming: "FAIL subject-dead", decided: "SKIP not-reached"}},
		{"has no second address", spec(nil), func(s *Spec) { s.Addresses = 2 },
			map[string]string{survival: "SKIP no-second-path", decided: "SKIP no-second-path"}},
		{"lacks an action", spec(fmt.Errorf("crash: %w", ErrNotSupported)), nil, map[string]string{survival: "SKIP no-hook", decided: "SKIP no-hook"}},
	} {
		if c.change != nil {
			c.change(&c.spec)
		}
		if diff := cmp.Diff(c.want, verdicts(t, r, c.spec, Report{Dir: t.TempDir(), Evidence: "e"})); diff != "" {
			t.Errorf("a spec %s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestQueueDepth(t *testing.T) {
	r := start(t, (&fakeSubject{depth: 8}).target(nil))
	for depth, want := range map[int]string{0: "PASS ", 8: "PASS ", 9: "SKIP other-configuration"} {
		s := spec(nil)
		s.Depth = depth
		if got := verdicts(t, r, s, Report{Dir: t.TempDir(), Evidence: "e"}); got[decided] != want {
			t.Errorf("depth %d: %s, want %s", depth, got[decided], want)
		}
	}
}

// TestSpecBeyondItsTime ends with the time of the run, which is no verdict on the subject.
func TestSpecBeyondItsTime(t *testing.T) {
	r := start(t, (&fakeSubject{}).target(nil))
	ctx, cancel := context.WithCancel(t.Context())
	s := spec(nil)
	s.OnTarget = func(ctx context.Context, _ *TargetRun) error {
		cancel()
		<-ctx.Done()
		return ctx.Err()
	}
	if results, _, err := r.RunSpec(ctx, s, Report{Dir: t.TempDir(), Evidence: "e"}); !errors.Is(err, context.Canceled) || results != nil {
		t.Errorf("%v, %v", results, err)
	}
}

func TestEvidence(t *testing.T) {
	ofUs := verdict.Result{Clause: decided, Role: clauses.Initiator, Verdict: verdict.Fail, Spec: "packets"}
	ofTarget := verdict.Result{Clause: decided, Role: clauses.Target, Verdict: verdict.Fail, Spec: "packets", Evidence: []verdict.Evidence{{Path: "/x/rail0.pcapng"}}}
	held := verdict.Result{Clause: survival, Role: clauses.Target, Verdict: verdict.Pass, Spec: "packets", Evidence: []verdict.Evidence{{Path: "/x/rail0.pcapng"}}}
	doubt := verdict.Result{Clause: alarming, Role: clauses.Target, Verdict: verdict.Inconclusive, Spec: "packets"}
	for _, c := range []struct {
		name    string
		end     error
		keepAll bool
		passive []verdict.Result
		kept    bool
		found   int // passive results
	}{
		{name: "a spec that passes"},
		{name: "a spec that passes, of which all is kept", keepAll: true, kept: true},
		{name: "a spec that fails", end: finding.Broken(decided, "wrong"), kept: true},
		{name: "a spec that fails, as its packets do", end: finding.Broken(decided, "wrong"), passive: []verdict.Result{ofTarget}, kept: true, found: 1},
		{name: "packets that fail", passive: []verdict.Result{ofUs, ofTarget, held, doubt}, kept: true, found: 2},
		{name: "packets of this side that fail", passive: []verdict.Result{ofUs}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &fakeSubject{passive: c.passive}
			r := start(t, f.target(nil))
			s := spec(c.end)
			dir := t.TempDir()
			results, passive, err := r.RunSpec(t.Context(), s, Report{Dir: dir, Evidence: "e/s", KeepAll: c.keepAll})
			if err != nil {
				t.Fatal(err)
			}
			if len(passive) != c.found || len(f.lastRead) == 0 {
				t.Errorf("the passive judge read %v and found %v", f.lastRead, passive)
			}
			for _, p := range passive {
				if p.Verdict == verdict.Fail && (p.Spec != "packets in: a spec" || p.Evidence[0].Path != "e/s/rail0.pcapng") || p.Verdict == verdict.Pass && p.Evidence != nil {
					t.Errorf("the passive judge found %+v", p)
				}
			}
			files, err := filepath.Glob(filepath.Join(dir, "e", "s", "*"))
			if err != nil || len(files) > 0 != c.kept {
				t.Errorf("files %v, %v", files, err)
			}
			for _, result := range results {
				if len(result.Evidence) > 0 != c.kept {
					t.Errorf("evidence %v", result.Evidence)
				}
				for _, e := range result.Evidence {
					if _, err := os.Stat(filepath.Join(dir, e.Path)); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
}

// TestSubjectThatDies has a subject die of a spec, and be restarted by its hook, or not.
func TestSubjectThatDies(t *testing.T) {
	for _, role := range []clauses.Role{clauses.Target, clauses.Initiator} {
		for _, c := range []struct {
			name, script string
			next         string // verdict on the next spec
		}{
			{"with restart", `[ "$2" = status ] || touch "$0.back"`, "PASS "},
			{"whose hook cannot restart it", `[ "$2" = status ] || exit 1`, "SKIP not-reached"},
			{"whose hook does not know how to", `[ "$2" = status ] || exit 127`, "SKIP no-hook"},
		} {
			t.Run(fmt.Sprintf("%s %s", role, c.name), func(t *testing.T) {
				h := hook(t, `echo "$2" >>"$0.log"; `+c.script)
				f := &fakeSubject{back: h[0] + ".back"}
				subject := f.initiator(h)
				if role == clauses.Target {
					subject = f.target(func(c *Config) { c.Hook = h })
				}
				kill := func() error {
					f.serves = errors.New("nobody answers")
					return finding.Broken(survival, "%v", f.serves)
				}
				deadly := spec(nil)
				deadly.OnTarget = func(context.Context, *TargetRun) error { return kill() }
				deadly.OnInitiator = func(context.Context, *InitiatorRun) error { return kill() }
				r, report := start(t, subject), Report{Dir: t.TempDir(), Evidence: "e"}
				if got := verdicts(t, r, deadly, report); got[survival] != "FAIL subject-dead" {
					t.Errorf("the deadly spec gives %v", got)
				}
				if got := verdicts(t, r, spec(nil), report); got[decided] != c.next {
					t.Errorf("the next spec gives %v", got)
				}
				log, err := os.ReadFile(h[0] + ".log")
				if err != nil || string(log) != "status\nrestart\n" {
					t.Errorf("actions %q, %v", log, err)
				}
			})
		}
	}
}

func TestStart(t *testing.T) {
	gone := errors.New("nobody answers")
	for _, c := range []struct {
		name    string
		subject Subject
		want    string // in the error
	}{
		{"no contact with a target", (&fakeSubject{contact: gone}).target(nil), "nobody answers"},
		{"a hook that fails", (&fakeSubject{}).target(func(c *Config) { c.Hook = hook(t, "echo no >&2; exit 1") }), "status: exit status 1: no"},
		{"no route", (&fakeSubject{}).target(func(c *Config) { c.Place = Place{Netdev: "no-such-dev"} }), "no-such-dev"},
		{"an initiator that does not come", (&fakeSubject{serves: gone}).initiator(hook(t, "true")),
			"the initiator cannot use an ordinary server at 127.46.0.1:1235: nobody answers"},
	} {
		if r, err := c.subject.Start(t.Context()); err == nil || r != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, %v", c.name, r, err)
		}
	}
}

// TestInitiatorThatCannotBeControlled is started, and nothing can be tried on it.
func TestInitiatorThatCannotBeControlled(t *testing.T) {
	f := &fakeSubject{serves: ErrNotSupported}
	r := start(t, f.initiator(hook(t, "exit 127")))
	if got := verdicts(t, r, spec(nil), Report{Dir: t.TempDir(), Evidence: "e"}); got[decided] != "SKIP no-hook" {
		t.Error(got)
	}
}

func TestSubjectOfReport(t *testing.T) {
	f := &fakeSubject{}
	for role, subject := range map[clauses.Role]Subject{
		clauses.Target: f.target(func(c *Config) {
			c.Hook = hook(t, "echo version=7; echo target=$IBNBD_TARGET; echo exports=$IBNBD_EXPORTS")
		}),
		clauses.Initiator: f.initiator(hook(t, "echo version=7")),
	} {
		t.Run(string(role), func(t *testing.T) {
			want := verdict.Subject{
				Subject: clauses.Subject{Role: role, Dialect: "rnbd"}, Name: "acme-1", Versions: map[string]string{"version": "7"},
			}
			if role == clauses.Target {
				want.Abilities = map[clauses.Ability]bool{clauses.KeyRefresh: true}
				want.Versions["target"], want.Versions["exports"] = "127.46.0.66:1234", "a"
			}
			if diff := cmp.Diff(want, start(t, subject).Subject()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestHarmlessFirst(t *testing.T) {
	f := &fakeSubject{specs: []Spec{{Name: "a"}, {Name: "b", MayEnd: true}, {Name: "c"}, {Name: "d", MayEnd: true}, {Name: "e"}}}
	var names []string
	for _, s := range f.target(nil).Specs() {
		names = append(names, s.Name)
	}
	if got := strings.Join(names, ""); got != "acebd" {
		t.Error(got)
	}
}

func TestCheckExport(t *testing.T) {
	device := make([]byte, signatureArea)
	copy(device, "XFSB")
	scratch := func(c *Config) { c.Consent = Consent{Writes: true, Scratch: Range{100, 64}} }
	for _, c := range []struct {
		name    string
		consent func(*Config)
		sectors uint64
		fails   error // of the read
		want    string
	}{
		{"only reads", nil, 4096, errors.New("is not read"), ""},
		{"too small", nil, 2047, nil, "export a has 2047 sectors, and must have at least 2048"},
		{"writes", scratch, 4096, nil, "export a holds an XFS file system (at byte 0), and will not be written to unless --allow-data-loss a"},
		{"writes beyond the end", func(c *Config) { c.Consent = Consent{Writes: true, Scratch: Range{4096, 64}} }, 4096, nil,
			"export a ends with sector 4095, and the scratch range with sector 4159"},
		{"writes where all may be lost", func(c *Config) { scratch(c); c.Consent.Loss = []string{"a"} }, 4096, errors.New("is not read"), ""},
		{"cannot be read", scratch, 4096, errors.New("EIO"), "export a: read its first MiB: EIO"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := start(t, (&fakeSubject{}).target(c.consent)).(*TargetRun)
			err := r.CheckExport(t.Context(), Export{"a", c.sectors, func(_ context.Context, size int) ([]byte, error) {
				return device[:size], c.fails
			}})
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Error(err)
			}
			var refused *RefusedError
			if errors.As(err, &refused) != (c.want != "" && c.fails == nil) {
				t.Errorf("%T", err)
			}
		})
	}
}
