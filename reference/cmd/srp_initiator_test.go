// SPDX-License-Identifier: Apache-2.0

package cmd_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const srpLogin = "id_ext=1,ioc_guid=1,dest=127.76.1.2:5555,src=127.76.1.1"

// TestSRPInitiator does what the README shows: a file goes into a disk through NBD and comes out again; a second login joins the program
// that runs, and that ends with its last port.
func TestSRPInitiator(t *testing.T) {
	b := newBench(t)
	stopTarget := b.start("listening", "srp-target", "--listen", "127.76.1.2", "--lun", "disk0=mem:16M", "--lun", "disk1=mem:1M")
	stop := b.start("nbd", "srp-initiator", "add", srpLogin+",ch_count=2")
	uri := strings.TrimSpace(b.run("srp-initiator", "list", "--uri", "disk0"))
	if strings.Count(uri, "\n") != 0 || !strings.HasPrefix(uri, "nbd") {
		t.Fatalf("URI %q", uri)
	}
	if nbdcopy, err := exec.LookPath("nbdcopy"); err == nil {
		in, out := filepath.Join(b.dir, "in"), filepath.Join(b.dir, "out")
		data := strings.Repeat("what comes in goes out again....", 1<<15)
		if err := os.WriteFile(in, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{in, uri}, {uri, out}} {
			if text, err := exec.Command(nbdcopy, args...).CombinedOutput(); err != nil {
				t.Fatalf("nbdcopy %v: %v\n%s", args, err, text)
			}
		}
		if got, err := os.ReadFile(out); err != nil || !strings.HasPrefix(string(got), data) {
			t.Errorf("other bytes came out (%v)", err)
		}
	} else {
		t.Log("nbdcopy is not installed: the URI was not used")
	}
	if stat := b.run("srp-initiator", "stat"); !strings.Contains(stat, "running, 2 channels, 2 disks") || !strings.Contains(stat, "I/O fails within 30.5s") {
		t.Errorf("stat:\n%s", stat)
	}
	if again := b.run("srp-initiator", "add", "--fast-io-fail", "1s", srpLogin+",initiator_ext=2"); strings.Count(again, "\n") != 2 || !strings.Contains(again, "2-0") {
		t.Errorf("the second add says:\n%s", again)
	}
	if stat := b.run("srp-initiator", "stat", "--json"); !strings.Contains(stat, `"fast_io_fail_tmo": "1s"`) {
		t.Errorf("stat:\n%s", stat)
	}
	out, err := b.command("srp-initiator", "add", srpLogin).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "is connected already") {
		t.Errorf("the same login again: %v, %s", err, out)
	}
	if text := b.run("srp-initiator", "bench", "--time", "200ms", "--op", "write", "--depth", "4", "id_ext=1,ioc_guid=1,dest=127.76.1.2:5555,src=127.76.1.3"); !strings.Contains(text, "IOPS") {
		t.Errorf("bench:\n%s", text)
	}
	b.run("srp-initiator", "delete", "1")
	if list := b.run("srp-initiator", "list"); strings.Contains(list, "1-0") || !strings.Contains(list, "2-0") {
		t.Errorf("list:\n%s", list)
	}
	b.run("srp-initiator", "delete", "--force", "2")
	stop(0)
	stopTarget(syscall.SIGTERM)
}

// TestSRPInitiatorUsage: mistakes are told in one line, with option and value, before anything is opened.
func TestSRPInitiatorUsage(t *testing.T) {
	b := newBench(t)
	for _, tc := range []struct {
		args []string
		exit int
		want string
	}{
		{nil, 2, "say what to do"},
		{[]string{"add"}, 2, "requires at least 1 arg"},
		{[]string{"add", "nonsense"}, 2, `"nonsense" is unknown`},
		{[]string{"add", "id_ext=1,ioc_guid=1"}, 2, "dest is missing"},
		{[]string{"add", "id_ext=1,ioc_guid=1,dest=10.0.0.1"}, 2, `dest="10.0.0.1"`},
		{[]string{"add", "id_ext=xyz,ioc_guid=1,dest=10.0.0.1:5555"}, 2, `id_ext="xyz"`},
		{[]string{"add", "id_ext=1,ioc_guid=1,dest=10.0.0.1:0"}, 2, "dest is 10.0.0.1:0, must be an address and a port"},
		{[]string{"add", "id_ext=1,ioc_guid=1,dgid=" + strings.Repeat("0", 32) + ",pkey=ffff,service_id=1"}, 2, "only the RDMA connection manager"},
		{[]string{"add", "--fast-io-fail", "601s", srpLogin}, 2, "fast_io_fail_tmo is 10m1s, must be at most 10m0s"},
		{[]string{"add", "--fast-io-fail", "-3s", srpLogin}, 2, "must not be negative; use off"},
		{[]string{"add", "--reconnect-delay", "0s", srpLogin}, 2, "reconnect_delay is 0"},
		{[]string{"add", "--segment", "1000", srpLogin}, 2, "segment is 1000, must be a multiple of 4096"},
		{[]string{"add", "--provider", "iwarp", srpLogin}, 2, "--provider"},
		{[]string{"add", srpLogin}, 1, "nothing listens on that port"},
		{[]string{"bench", "--depth", "0", srpLogin}, 2, "--depth 0"},
		{[]string{"delete", "x"}, 2, `PORT "x"`},
		{[]string{"delete", "1"}, 1, "no srp-initiator is running"},
		{[]string{"list"}, 1, "no srp-initiator is running"},
	} {
		if tc.exit == 1 && tc.args[0] == "add" { // somebody must be there to say that nobody listens
			defer b.start("listening", "srp-target", "--listen", "127.76.1.2:5556", "--lun", "disk0=mem:1M")(syscall.SIGTERM)
		}
		out, err := b.command("srp-initiator", tc.args...).CombinedOutput()
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		var exit interface{ ExitCode() int }
		if !errors.As(err, &exit) || exit.ExitCode() != tc.exit || !strings.Contains(lines[len(lines)-1], tc.want) || tc.exit == 2 && len(lines) != 1 {
			t.Errorf("%v: %v, %q, want exit code %d and a line with %q", tc.args, err, out, tc.exit, tc.want)
		}
	}
}
