// SPDX-License-Identifier: Apache-2.0

//go:build lab

package main_test

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// byHand gives lines to a lab.
func byHand(t *testing.T, lines string, args ...string) ended {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, append([]string{"lab"}, args...)...)
	cmd.Stdin = strings.NewReader(lines)
	return run(t, cmd)
}

// TestLabByHand pings over a whole wire, over one that loses what the server sends, and over one that does so no more.
func TestLabByHand(t *testing.T) {
	dir := t.TempDir()
	got := byHand(t, `hosts
on client ping -c 1 -W 2 10.0.0.1
capture start `+dir+`
fault add rail0 drop from server not-roce
on client ! ping -c 1 -W 1 10.0.0.1
fault list
fault clear
on client ping -c 1 -W 2 10.0.0.1
capture stop
shell server
hostname
ip -o addr show rail0 | grep -c 10.0.0.1
exit
load server rnbd-server
on server test -d /sys/devices/virtual/rnbd-server
log server 5
reboot client
on client cat /proc/uptime
hang client
resume client
`)
	if got.code != 0 {
		t.Fatalf("exit code %d: %s\n%s", got.code, got.stderr, got.stdout)
	}
	for _, want := range []string{`server: rail0 rxe0 10\.0\.0\.1 fd00`, `0% packet loss`, `100% packet loss`, `fault 1: rail0.*applied [1-9]`, `recorded: \S+rail0\.pcapng \S+rail1\.pcapng`} {
		if !regexp.MustCompile(want).MatchString(got.stdout) {
			t.Errorf("%q is not in:\n%s", want, got.stdout)
		}
	}
	source, err := audit.OpenFile(t.Context(), filepath.Join(dir, "rail0.pcapng"))
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	if _, err := source.Next(); err != nil {
		t.Errorf("the recording has no frame: %v", err)
	}
}

func TestLabWithAWrongLine(t *testing.T) {
	got := byHand(t, "on server true\ndance\n")
	if got.code != int(verdict.ExitUsage) || !strings.Contains(got.stderr, `line 2 (dance): "dance" is no command`) {
		t.Errorf("exit code %d: %s", got.code, got.stderr)
	}
}
