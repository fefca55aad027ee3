// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ibnbd/ibnbd/conformance/verdict"
)

const casesDir = "../../audit/testdata/cases"

// oneCase unpacks a capture of the cases and returns where it is.
func oneCase(t *testing.T, name string) string {
	t.Helper()
	packed, err := os.ReadFile(filepath.Join(casesDir, name+".gz"))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), name)
	if name == "gz-cut.raw" { // the compressed file is what is broken
		file += ".gz"
	} else {
		r, err := gzip.NewReader(bytes.NewReader(packed))
		if err != nil {
			t.Fatal(err)
		}
		if packed, err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(file, packed, 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// inSum matches the last two lines that are printed of a capture that breaks nothing.
var inSum = regexp.MustCompile(`[1-9][0-9]* clauses hold, 0 are broken, 0 cannot be decided, .*\n[1-9][0-9]* of .* judged, every MUST among them holds\n`)

// TestAuditCases: captures of one recording that were read wrongly once, or not at all.
func TestAuditCases(t *testing.T) {
	asBase := inSum.FindString(command(t, "audit", oneCase(t, "base.pcap")).stdout)
	if asBase == "" {
		t.Fatal("the capture that others are made of does not hold")
	}
	for _, test := range []struct {
		name   string
		flags  []string
		code   verdict.ExitCode
		stdout []string
		stderr string // the one line
	}{
		{"base.pcap", nil, verdict.ExitHolds, []string{"260 frames", asBase}, ""},
		{"forged-in-middle.pcap", nil, verdict.ExitHolds,
			[]string{"261 frames in 1.644s: 259 RoCEv2, 2 of", "1 records are longer than the snap length", asBase}, ""},
		{"long-in-middle.pcap", nil, verdict.ExitHolds,
			[]string{"261 frames in 1.644s: 259 RoCEv2, 2 of", "1 records are longer than the snap length", asBase}, ""},
		{"gz-cut.raw", nil, verdict.ExitUsage, []string{"251 frames", "clauses hold, 0 are broken"},
			"record after frame 251: not a readable capture: data compressed by gzip is cut off or damaged"},
		{"40-snaplen-small-in-header.pcap", nil, verdict.ExitHolds, []string{"184 records are longer than the snap length", asBase}, ""},
		{"43-caplen-gt-len.pcap", nil, verdict.ExitHolds, []string{asBase}, ""},
		{"60-anonymised.pcap", nil, verdict.ExitNothingRan, []string{"259 with a wrong ICRC", "every ICRC is wrong", "--no-icrc"}, ""},
		{"60-anonymised.pcap", []string{"--no-icrc"}, verdict.ExitHolds, []string{asBase}, ""},
		{"96-ng-one-usb-frame-in-middle.pcapng", nil, verdict.ExitHolds, []string{"261 frames in 1.644s: 259 RoCEv2, 2 of", asBase}, ""},
		{"97-ng-simple-packets.pcapng", nil, verdict.ExitHolds, []string{"260 frames without times: 259 RoCEv2", "260 frames have no time", asBase}, ""},
		{"09-qinq-88a8.pcap", nil, verdict.ExitHolds, []string{"259 packets in 802.1ad, 802.1Q\n", asBase}, ""},
		{"26-erspan2.pcap", nil, verdict.ExitHolds, []string{"259 packets in ERSPAN II\n", asBase}, ""},
		{"rocev1.pcap", nil, verdict.ExitHolds, []string{"259 packets in RoCEv1\n", "no ICRC of RoCEv1 is right", asBase}, ""},
	} {
		t.Run(strings.Join(append([]string{test.name}, test.flags...), " "), func(t *testing.T) {
			got := command(t, append(append([]string{"audit"}, test.flags...), oneCase(t, test.name))...)
			if got.code != int(test.code) {
				t.Errorf("exit code %d, want %d", got.code, test.code)
			}
			for _, want := range test.stdout {
				if !strings.Contains(got.stdout, want) {
					t.Errorf("no %q in\n%s", want, got.stdout)
				}
			}
			if !strings.Contains(got.stderr, test.stderr) || strings.Count(got.stderr, "\n") != min(1, len(test.stderr)) {
				t.Errorf("stderr %q, want one line with %q", got.stderr, test.stderr)
			}
		})
	}
}

// TestAuditClocks: two rails whose clocks are 2 ms apart break no clause, and the skew is told; who says that they are one clock has
// them judged by it.
func TestAuditClocks(t *testing.T) {
	rails := []string{oneCase(t, "round-robin-rail0.pcap"), oneCase(t, "round-robin-rail1-2ms-late.pcap")}
	got := command(t, append([]string{"audit"}, rails...)...)
	for _, want := range []string{
		"the clock of " + rails[1] + " is about 1.8ms ahead of that of " + rails[0], "clauses hold, 0 are broken, 0 cannot be decided",
	} {
		if got.code != int(verdict.ExitHolds) || !strings.Contains(got.stdout, want) {
			t.Errorf("exit code %d, no %q in\n%s", got.code, want, got.stdout)
		}
	}
	got = command(t, append([]string{"audit", "--one-clock"}, rails...)...)
	if got.code != int(verdict.ExitFails) || !strings.Contains(got.stdout, "IBTRS-IO-019") || strings.Contains(got.stdout, "ahead of") {
		t.Errorf("one clock: exit code %d\n%s", got.code, got.stdout)
	}
}

// TestAuditBrokenBesideWhole: of several files the broken one has one message, and the others are judged to their end.
func TestAuditBrokenBesideWhole(t *testing.T) {
	whole := captures(t, "rnbd-mainline-rail0.pcap", "rnbd-mainline-rail1.pcap")
	got := command(t, "audit", oneCase(t, "gz-cut.raw"), whole[0], oneCase(t, "gz-cut.raw"), whole[1])
	if got.code != int(verdict.ExitUsage) || strings.Count(got.stderr, "data compressed by gzip") != 2 {
		t.Errorf("exit code %d, stderr %q", got.code, got.stderr)
	}
	if !strings.Contains(got.stdout, "2588 frames") {
		t.Errorf("not all frames of the whole files: %s", got.stdout)
	}
}

// TestAuditSaysWhatThereIs: a capture without storage says in a sentence what is in it.
func TestAuditSaysWhatThereIs(t *testing.T) {
	got := command(t, "audit", captures(t, "rxe-mtu1024.pcap")[0])
	const want = "no storage connection begins in the capture; it has "
	sentence := got.stdout[max(0, strings.Index(got.stdout, want)):]
	sentence, _, _ = strings.Cut(sentence, "\n")
	for _, part := range []string{want, "connections to port 18515 (perftest)", "packets of unreliable datagrams (UD)", "frames of ARP", "frames of TCP"} {
		if !strings.Contains(sentence, part) {
			t.Errorf("no %q in %q", part, sentence)
		}
	}
	if got.code != int(verdict.ExitNothingRan) {
		t.Errorf("exit code %d", got.code)
	}
}

// TestAuditNeedsTimeline: what chooses lines of a timeline is refused where none is written.
func TestAuditNeedsTimeline(t *testing.T) {
	for _, flag := range []string{"--from=1s", "--to=2s", "--session=gold"} {
		got := command(t, "audit", flag, oneCase(t, "base.pcap"))
		if got.code != int(verdict.ExitUsage) || !strings.Contains(got.stderr, "add --timeline") {
			t.Errorf("%s: exit code %d, stderr %q", flag, got.code, got.stderr)
		}
	}
}

func TestAuditDirectory(t *testing.T) {
	dir := t.TempDir()
	got := command(t, "audit", dir)
	if got.code != int(verdict.ExitUsage) || !strings.Contains(got.stderr, dir+": not a readable capture: it is a directory") {
		t.Errorf("exit code %d, stderr %q", got.code, got.stderr)
	}
}

// TestAuditEndsWhileItWaits: the first signal ends a run that waits for its input.
func TestAuditEndsWhileItWaits(t *testing.T) {
	capture, err := os.ReadFile(oneCase(t, "base.pcap"))
	if err != nil {
		t.Fatal(err)
	}
	half := capture[:len(capture)/2]
	if len(half) < 1<<16+1<<12 {
		t.Fatalf("%d bytes go into a pipe without a reader", len(half))
	}
	t.Run("standard input", func(t *testing.T) {
		cmd := exec.CommandContext(t.Context(), binary, "audit", "-")
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		expectEnd(t, cmd, in, half)
	})
	t.Run("named pipe", func(t *testing.T) {
		fifo := filepath.Join(t.TempDir(), "fifo")
		if err := syscall.Mkfifo(fifo, 0o600); err != nil {
			t.Fatal(err)
		}
		in, err := os.OpenFile(fifo, os.O_RDWR, 0) // which does not wait for a reader
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		expectEnd(t, exec.CommandContext(t.Context(), binary, "audit", fifo), in, half)
	})
}

// expectEnd starts a run, feeds it more than a pipe holds, so that it has begun to read when all is written, and interrupts it.
func expectEnd(t *testing.T, cmd *exec.Cmd, in io.Writer, sent []byte) {
	t.Helper()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Write(sent); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
	defer late.Stop()
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != int(verdict.ExitEnvironment) || !strings.Contains(stderr.String(), `signal "interrupt" received`) {
		t.Errorf("exit code %d, stderr %q", code, stderr.String())
	}
}
