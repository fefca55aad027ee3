// SPDX-License-Identifier: Apache-2.0

package foreign

import (
	"context"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/attacks"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/provocations"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/conformance/verdict"
)

func TestParseTargets(t *testing.T) {
	for text, want := range map[string]string{
		"ip:10.0.0.66":                       "10.0.0.66:1234",
		"ip:10.0.0.66:7":                     "10.0.0.66:7",
		"ip:fd00::66,ip:10.0.0.66":           "[fd00::66]:1234 10.0.0.66:1234",
		"ip:[fd00::66]:7,ip:[fd00::66]:1234": "[fd00::66]:7 [fd00::66]:1234",
	} {
		addrs, err := ParseTargets(text)
		var got []string
		for _, a := range addrs {
			got = append(got, a.String())
		}
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%q is %v, %v; want %s", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"ip:":                   `"ip:" is not an address`,
		"ip:storage.example":    `"ip:storage.example" is not an address`,
		"ip:10.0.0.66,10.0.0.6": "",
		"ip:10.0.0.6,":          `"" is not an address`,
		"ip:10.0.0.6,10.0.0.6":  "10.0.0.6:1234 stands there twice",
	} {
		if _, err := ParseTargets(text); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q gives %v, want %q", text, err, want)
		}
	}
}

func TestParseRange(t *testing.T) {
	if r, err := ParseRange("2048+64"); err != nil || r != (Range{2048, 64}) {
		t.Errorf("%v, %v", r, err)
	}
	for _, text := range []string{"", "64", "+", "2048+63", "-1+64", "18446744073709551615+64", "1+2+3"} {
		if r, err := ParseRange(text); err == nil {
			t.Errorf("%q is %v", text, r)
		}
	}
}

func TestConsent(t *testing.T) {
	one, both := []string{"a"}, []string{"a", "b"}
	for _, c := range []struct {
		name    string
		consent Consent
		exports []string
		does    attacks.Effect
		mayEnd  bool
		allowed bool
	}{
		{"reads", Consent{}, both, attacks.Reads, false, true},
		{"writes", Consent{}, both, attacks.Writes, false, false},
		{"an outage", Consent{}, both, attacks.Reads, true, false},
		{"an outage that is allowed", Consent{Outage: true}, both, attacks.Reads, true, true},
		{"writes with an outage that is allowed", Consent{Outage: true}, both, attacks.Writes, true, false},
		{"writes that are allowed", Consent{Writes: true}, both, attacks.Writes, false, true},
		{"writes anywhere", Consent{Writes: true}, both, attacks.WritesAnywhere, false, false},
		{"writes anywhere with one of two exports", Consent{Writes: true, Loss: one}, both, attacks.WritesAnywhere, false, false},
		{"writes anywhere with both exports", Consent{Loss: both}, both, attacks.WritesAnywhere, false, true},
		{"writes with one of two exports", Consent{Loss: one}, both, attacks.Writes, false, false},
		{"writes anywhere with the only export", Consent{Loss: one}, one, attacks.WritesAnywhere, false, true},
	} {
		if got := c.consent.lacks(c.does, c.mayEnd, c.exports); (got == "") != c.allowed {
			t.Errorf("%s: %q", c.name, got)
		}
	}
	limit := Consent{Writes: true, Scratch: Range{100, 64}}.limit(both)
	if diff := cmp.Diff(&tester.Limit{Writes: true, First: 100, Count: 64}, limit); diff != "" {
		t.Error(diff)
	}
	if limit := (Consent{Loss: both}).limit(both); limit != nil {
		t.Errorf("where all may be lost, there is a limit: %v", limit)
	}
	if limit := (Consent{Loss: one}).limit(both); limit == nil || limit.Writes {
		t.Errorf("where one of two may be lost, the limit is %v", limit)
	}
}

// TestSignaturesOfRealThings makes what people have on their devices, with the tools that they use.
func TestSignaturesOfRealThings(t *testing.T) {
	for _, c := range []struct{ want, script string }{
		{"", "true"},
		{"an ext2, ext3 or ext4 file system (at byte 1080)", "mke2fs -q $0"},
		{"swap space (at byte 4086)", "mkswap -q $0"},
	} {
		file := filepath.Join(t.TempDir(), "device")
		if err := os.WriteFile(file, make([]byte, 8<<20), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("sh", "-c", c.script, file)
		cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/sbin:/usr/sbin")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", c.script, err, out)
		}
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got := findSignature(content[:signatureArea]); got != c.want {
			t.Errorf("after %q: %q, want %q", c.script, got, c.want)
		}
	}
}

func TestSignatureTable(t *testing.T) {
	for _, s := range signatures {
		for _, at := range s.at {
			device := make([]byte, signatureArea)
			copy(device[at:], s.magic)
			if got := findSignature(device); !strings.HasPrefix(got, s.what) {
				t.Errorf("%s at %d is %q", s.what, at, got)
			}
			if got := findSignature(device[:at+len(s.magic)-1]); got != "" {
				t.Errorf("%s at %d, cut off, is %q", s.what, at, got)
			}
		}
	}
}

// hook makes a hook of a shell script.
func hook(t *testing.T, script string) Hook {
	t.Helper()
	file := filepath.Join(t.TempDir(), "hook")
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	h, err := ParseHook(file + " first")
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestHook(t *testing.T) {
	for _, c := range []struct {
		name, script, says string
		fails              string // part of the error
		unsupported        bool
	}{
		{"does it", `echo "$1 $2 $IBNBD_TARGET"`, "first status 10.0.0.66\n", "", false},
		{"does not know it", "exit 127", "", "not supported", true},
		{"fails", "echo one >&2; echo no such machine >&2; exit 3", "", "exit status 3: no such machine", false},
	} {
		says, err := hook(t, c.script).Do(t.Context(), Status, "IBNBD_TARGET=10.0.0.66")
		if says != c.says || (err == nil) != (c.fails == "") || err != nil && !strings.Contains(err.Error(), c.fails) ||
			errors.Is(err, ErrNotSupported) != c.unsupported {
			t.Errorf("%s: %q, %v", c.name, says, err)
		}
	}
	if _, err := Hook(nil).Do(t.Context(), Crash); !errors.Is(err, ErrNotSupported) {
		t.Errorf("no hook: %v", err)
	}
}

// TestHookThatHangs ends with the caller's patience, and takes along what the hook has started.
func TestHookThatHangs(t *testing.T) {
	h := hook(t, "echo $$; sleep 1000")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := h.Do(ctx, Restart); err == nil || errors.Is(err, ErrNotSupported) {
		t.Errorf("error %v", err)
	}
}

func TestParseHook(t *testing.T) {
	for _, line := range []string{"", "  ", "/no/such/program", "no-such-program-anywhere restart"} {
		if h, err := ParseHook(line); err == nil {
			t.Errorf("%q is %q", line, h)
		}
	}
}

func TestFacts(t *testing.T) {
	got := facts("hello\nversion=1.2=3\n a sentence = none\n=x\nserving=yes")
	if diff := cmp.Diff(map[string]string{"version": "1.2=3", "serving": "yes"}, got); diff != "" {
		t.Error(diff)
	}
}

// TestSpecs checks what every spec must have, and that what may end the service comes last.
func TestSpecs(t *testing.T) {
	catalogue := clauses.MustLoad()
	names := make(map[string]bool)
	ends := false
	for _, s := range Specs() {
		if names[s.Name] || s.Name == "" || s.run == nil || s.Takes <= 0 || s.Rails < 1 {
			t.Errorf("%q is not whole, or not the only one of its name: %+v", s.Name, s)
		}
		names[s.Name] = true
		if ends && !s.MayEnd {
			t.Errorf("%q comes after one that may end the service", s.Name)
		}
		ends = ends || s.MayEnd
		for _, id := range s.Clauses {
			if c, known := catalogue.Get(id); !known || !c.Role.Judges(clauses.Target) || !c.DecidedBy(clauses.Active) {
				t.Errorf("%q claims %s, which active specs do not decide for a target", s.Name, id)
			}
		}
	}
	for _, a := range attacks.All() {
		if !names["a target lives on when "+a.Name] {
			t.Errorf("the attack %q is left out", a.Name)
		}
	}
}

// TestJudge gives specs their ends, and looks at the verdicts.
func TestJudge(t *testing.T) {
	s := Spec{Name: "s", Clauses: []string{attacks.Survival, "IBTRS-CONN-021"}, survives: attacks.Survival}
	alarming := Spec{Name: "s", Clauses: []string{attacks.Alarming, "IBTRS-HB-002"}, survives: attacks.Alarming}
	for _, c := range []struct {
		name  string
		spec  Spec
		found error
		late  bool
		want  map[string]string // verdict and reason by clause
	}{
		{"nothing", s, nil, false, map[string]string{attacks.Survival: "PASS ", "IBTRS-CONN-021": "PASS "}},
		{"nothing, and no kernel log", alarming, nil, false, map[string]string{attacks.Alarming: "SKIP no-hook", "IBTRS-HB-002": "PASS "}},
		{"forbidden", s, tester.ErrForbidden, false, map[string]string{attacks.Survival: "SKIP no-consent", "IBTRS-CONN-021": "SKIP no-consent"}},
		{"no action", s, ErrNotSupported, false, map[string]string{attacks.Survival: "SKIP no-hook", "IBTRS-CONN-021": "SKIP no-hook"}},
		{"inapplicable", s, attacks.ErrInapplicable, false, map[string]string{attacks.Survival: "SKIP ability-missing", "IBTRS-CONN-021": "SKIP ability-missing"}},
		{"death", s, tester.Broken(attacks.Survival, "dead"), false, map[string]string{attacks.Survival: "FAIL subject-dead", "IBTRS-CONN-021": "SKIP not-reached"}},
		{"a violation", s, tester.Broken("IBTRS-CONN-021", "wrong"), false, map[string]string{attacks.Survival: "SKIP not-reached", "IBTRS-CONN-021": "FAIL protocol-violation"}},
		{"a violation of another clause", s, tester.Broken("IBTRS-IMM-003", "wrong"), false, map[string]string{
			attacks.Survival: "SKIP not-reached", "IBTRS-CONN-021": "SKIP not-reached", "IBTRS-IMM-003": "FAIL protocol-violation"}},
		{"a size that does not change", s, provocations.ErrFixed, false, map[string]string{attacks.Survival: "PASS ", "IBTRS-CONN-021": "SKIP no-tool"}},
		{"death, and what was not tried", s, errors.Join(tester.Broken(attacks.Survival, "dead"), attacks.ErrInapplicable), false,
			map[string]string{attacks.Survival: "FAIL subject-dead", "IBTRS-CONN-021": "SKIP not-reached"}},
		{"an error without a number", s, provocations.ErrNoNumber, false, map[string]string{attacks.Survival: "PASS ", "IBTRS-CONN-021": "SKIP no-hook"}},
		{"a violation, and an error without a number", s, errors.Join(provocations.ErrNoNumber, tester.Broken("IBTRS-CONN-021", "wrong")), false,
			map[string]string{attacks.Survival: "SKIP not-reached", "IBTRS-CONN-021": "FAIL protocol-violation"}},
		{"no end", s, context.DeadlineExceeded, true, map[string]string{attacks.Survival: "FAIL timed-out", "IBTRS-CONN-021": "FAIL timed-out"}},
		{"anything else", s, errors.New("else"), false, map[string]string{attacks.Survival: "FAIL assertion", "IBTRS-CONN-021": "FAIL assertion"}},
	} {
		got := make(map[string]string)
		for _, r := range c.spec.judge(verdict.Result{Spec: s.Name, Start: time.Unix(1, 0)}, c.found, c.late) {
			got[r.Clause] = string(r.Verdict) + " " + string(r.Reason)
			if err := r.Validate(clauses.MustLoad()); err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestMissing(t *testing.T) {
	one, err := ParseTargets("ip:10.0.0.66")
	if err != nil {
		t.Fatal(err)
	}
	counts := make(map[verdict.Reason]int)
	c := Config{Targets: one, Exports: []string{"a"}}
	for _, s := range Specs() {
		reason, why := c.Missing(s)
		if (reason == "") != (why == "") {
			t.Errorf("%q: reason %q, %q", s.Name, reason, why)
		}
		counts[reason]++
	}
	if counts[""] == 0 || counts[verdict.NoConsent] == 0 || counts[verdict.NoSecondPath] == 0 {
		t.Errorf("by default specs are missing for %v: %v", slices.Collect(maps.Keys(counts)), counts)
	}
	c.Consent = Consent{Loss: []string{"a"}, Outage: true}
	counts = make(map[verdict.Reason]int)
	for _, s := range Specs() {
		reason, _ := c.Missing(s)
		counts[reason]++
	}
	if want := len(crashes()); counts[verdict.NoHook] != want || counts[verdict.NoConsent] != 0 {
		t.Errorf("with every consent and no hook: %v", counts)
	}
}
