// SPDX-License-Identifier: Apache-2.0

package cmd_test

import (
	"encoding/json"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// failed are the counters of failed requests, as the programs tell them as JSON.
type failed struct {
	Reads, Writes, Others uint64
	GivenUp               uint64 `json:"given_up"`
}

// TestFailuresAreShown takes the storage away under a disk that is mapped, and aborts connections of NBD clients.
func TestFailuresAreShown(t *testing.T) {
	if _, err := exec.LookPath("nbdcopy"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	b := newBench(t)
	disk, socket := filepath.Join(b.dir, "disk"), filepath.Join(b.dir, "metrics")
	stopServer := b.start("listening", "ibnbd-server", "--listen", "127.79.0.2", "--export", "disk=file:"+disk+",1M",
		"--export", "ram0=mem:1M", "--metrics", "unix:"+socket)
	stopClient := b.start("nbd+unix", "ibnbd-client", "map", "--session", "one", "--path", "127.79.0.1@127.79.0.2", "disk", "ram0")
	if err := os.Truncate(disk, 4096); err != nil {
		t.Fatal(err)
	}
	if text, err := exec.Command("nbdcopy", strings.TrimSpace(b.run("ibnbd-client", "list", "--uri", "disk")), "null:").CombinedOutput(); err == nil {
		t.Errorf("what is not there was copied:\n%s", text)
	}
	for range 20 {
		c, err := net.Dial("unix", filepath.Join(b.dir, "run", "nbd", "one.sock"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write(make([]byte, 99)); err != nil {
			t.Error(err)
		}
		_, _ = io.ReadAll(c) // it hangs up, in whatever way
		c.Close()
	}

	var clients []struct {
		Failed  failed `json:"failed_ios"`
		Devices []struct {
			Path   string
			Failed failed `json:"failed_ios"`
		}
		NBD struct {
			Aborted uint64 `json:"aborted_connections"`
		}
	}
	if err := json.Unmarshal([]byte(b.run("ibnbd-client", "stat", "--json")), &clients); err != nil {
		t.Fatal(err)
	}
	c := clients[0]
	if c.Failed.Reads == 0 || c.Devices[0].Failed != c.Failed || c.Devices[1].Failed != (failed{}) || c.NBD.Aborted != 20 {
		t.Errorf("stat --json tells %+v", c)
	}
	text := b.run("ibnbd-client", "stat")
	for _, want := range []string{`FAILED RECONNECTS`, `FAILED OVER HERE`, `FAILED READS`, `\bdisk +│ open +│ +[1-9]`, `\bram0 +│ open +│ +0 │`, `, 20 aborted;`} {
		if !regexp.MustCompile(want).MatchString(text) {
			t.Errorf("stat does not show %s:\n%s", want, text)
		}
	}
	if text := b.run("ibnbd-server", "--status"); !regexp.MustCompile(`\bone +│ +[1-9]\d* │ +0 │ +0 │`).MatchString(text) {
		t.Errorf("the server does not show failed reads:\n%s", text)
	}
	if text := scrape(t, socket); !regexp.MustCompile(`(?m)^ibnbd_server_session_failed_ios_total\{session="one",kind="read"\} [1-9]`).MatchString(text) {
		t.Errorf("no failed reads:\n%s", text)
	}
	b.run("ibnbd-client", "unmap", "disk")
	b.run("ibnbd-client", "unmap", "ram0")
	stopClient(0)
	stopServer(syscall.SIGTERM)
}
