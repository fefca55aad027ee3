// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// captures returns the absolute paths of captures of mainline Linux.
func captures(t *testing.T, names ...string) []string {
	t.Helper()
	var paths []string
	for _, name := range names {
		path, err := filepath.Abs(filepath.Join("../../../reference/roce/testdata/captures", name))
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	return paths
}

func TestAudit(t *testing.T) {
	rnbd := captures(t, "rnbd-mainline-rail0.pcap", "rnbd-mainline-rail1.pcap")
	srp := captures(t, "srp-four-targets-reconnect.pcap")
	verbs := captures(t, "rxe-mtu1024.pcap")
	whole, err := os.ReadFile(rnbd[0])
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	cut := file("cut.pcap", whole[:len(whole)/2])
	text := file("text.pcap", []byte("this is no capture at all"))
	empty := file("empty.pcap", whole[:24])
	wlan := bytes.Clone(whole)
	wlan[20] = 105
	for _, test := range []struct {
		name   string
		args   []string
		code   verdict.ExitCode
		stdout []string
		stderr string
	}{
		{"two rails", rnbd, verdict.ExitHolds, []string{"2086 frames", "0 are broken", "every MUST among them holds"}, ""},
		{"timeline", append([]string{"--timeline", "--session", "gold", "--from", "0.3s", "--to", "2s"}, rnbd...), verdict.ExitHolds,
			[]string{`WRITE 126976 bytes at sector 256 of device 0, permit 0, answered after`, "[rnbd-mainline-rail0#103"}, ""},
		{"a broken MUST", srp, verdict.ExitFails, []string{"SRP-RECON-004", "1 MUST clause broken"}, ""},
		{"the other side alone", append([]string{"--role", "target"}, srp...), verdict.ExitHolds, []string{"0 are broken"}, ""},
		{"no side", append([]string{"--role", "server"}, srp...), verdict.ExitUsage, nil, `--role "server" is not one of target, initiator`},
		{"nothing of storage", verbs, verdict.ExitNothingRan, []string{"nothing was judged"}, ""},
		{"cut off", []string{cut}, verdict.ExitHolds, []string{"frames"}, "capture ends in the middle of a record"},
		{"no capture", []string{text}, verdict.ExitUsage, nil, "neither pcap nor pcapng nor snoop"},
		{"empty capture", []string{empty}, verdict.ExitNothingRan, []string{"no RoCEv2 packet among 0 frames"}, ""},
		{"unknown link type", []string{file("wlan.pcap", wlan)}, verdict.ExitUsage, nil, "link type 105"},
		{"no such file", []string{filepath.Join(dir, "absent")}, verdict.ExitUsage, nil, "no such file"},
		{"no file", nil, verdict.ExitUsage, nil, "at least one capture file"},
		{"bad time", append([]string{"--from", "noon"}, rnbd...), verdict.ExitUsage, nil, `--from "noon"`},
		{"negative delay", append([]string{"--reconnect-delay", "-1s"}, rnbd...), verdict.ExitUsage, nil, "--reconnect-delay -1s is outside 0s to 24h0m0s"},
		{"attempts below -1", append([]string{"--reconnect-attempts", "-2"}, rnbd...), verdict.ExitUsage, nil, "--reconnect-attempts -2 is outside -1 to 9999"},
		{"bad policy", append([]string{"--policy", "random"}, rnbd...), verdict.ExitUsage, nil, `--policy "random"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := command(t, append([]string{"audit"}, test.args...)...)
			if got.code != int(test.code) {
				t.Errorf("exit code %d, want %d; stderr %q", got.code, test.code, got.stderr)
			}
			for _, want := range test.stdout {
				if !strings.Contains(got.stdout, want) {
					t.Errorf("no %q in\n%s", want, got.stdout)
				}
			}
			if !strings.Contains(got.stderr, test.stderr) || (test.stderr == "") != (got.stderr == "") {
				t.Errorf("stderr %q, want %q", got.stderr, test.stderr)
			}
		})
	}
}

func TestAuditReadsStandardInput(t *testing.T) {
	file, err := os.Open(captures(t, "rnbd-mainline-rail0.pcap")[0])
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	cmd := exec.CommandContext(t.Context(), binary, "audit", "--json", "--timeline", "-")
	cmd.Stdin = file
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Timeline []struct {
			Kind, Text string
			Frames     []struct {
				Rail   string
				Number uint64
			}
		}
		Capture struct{ Counters struct{ Frames uint64 } }
		Clauses []struct{ Clause, Verdict string }
		Exit    verdict.Exit
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	if got.Capture.Counters.Frames != 1523 || len(got.Timeline) == 0 || len(got.Clauses) == 0 || got.Exit.Code != verdict.ExitHolds {
		t.Errorf("%d frames, %d lines, %d clauses, exit %+v", got.Capture.Counters.Frames, len(got.Timeline), len(got.Clauses), got.Exit)
	}
	if first := got.Timeline[0]; first.Kind != "connection-request" || len(first.Frames) != 1 || first.Frames[0].Rail != "stdin" || first.Frames[0].Number != 17 {
		t.Errorf("timeline begins with %+v", first)
	}
}

// TestAuditFromALineOfTheTimeline: --from and --to take the time by which a line of the timeline begins.
func TestAuditFromALineOfTheTimeline(t *testing.T) {
	file := captures(t, "rnbd-mainline-rail0.pcap")[0]
	timeline := func(args ...string) []string {
		got := command(t, append([]string{"audit", "--timeline", file}, args...)...)
		if got.code != 0 {
			t.Fatalf("exit code %d: %s", got.code, got.stderr)
		}
		text, _, _ := strings.Cut(got.stdout, "\n\n")
		return strings.Split(text, "\n")
	}
	all := timeline()
	from, _, _ := strings.Cut(all[10], " ")
	to, _, _ := strings.Cut(all[20], " ")
	part := timeline("--from", from, "--to", to)
	if len(part) < 11 || len(part) > len(all)/2 || !strings.HasPrefix(part[0], from) || !strings.HasPrefix(part[len(part)-1], to) {
		t.Errorf("from %s to %s: %d of %d lines, from %q to %q", from, to, len(part), len(all), part[0], part[len(part)-1])
	}
}

// TestAuditLatencies have as many digits as say something.
func TestAuditLatencies(t *testing.T) {
	got := command(t, append([]string{"audit"}, captures(t, "rnbd-mainline-rail0.pcap")...)...)
	if digits := regexp.MustCompile(`\d+\.\d{4,}(ms|s|µs)`).FindString(strings.SplitN(got.stdout, "CLAUSE", 2)[0]); digits != "" || !strings.Contains(got.stdout, "P99") {
		t.Errorf("%q in:\n%s", digits, got.stdout)
	}
}
