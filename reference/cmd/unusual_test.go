// SPDX-License-Identifier: Apache-2.0

package cmd_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestUnusualNames has devices, and a directory for sockets, whose names mean something in URIs or in patterns.
func TestUnusualNames(t *testing.T) {
	if _, err := exec.LookPath("nbdcopy"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	b := &bench{t, filepath.Join(t.TempDir(), "r ?#%é[x]*")}
	if err := os.Mkdir(b.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	names := []string{"a b", "what?", "1#2", "100%41", "käse", "/dev/+&;"}
	server, client := []string{"--listen", "127.75.0.2"}, []string{"map", "--session", "one", "--path", "127.75.0.1@127.75.0.2"}
	for _, name := range names {
		server, client = append(server, "--export", name+"=mem:1M"), append(client, name)
	}
	stopServer := b.start("listening", "ibnbd-server", server...)
	stopClient := b.start("nbd+unix", "ibnbd-client", client...)
	in := filepath.Join(b.dir, "in")
	for i, name := range names {
		uri := strings.TrimSpace(b.run("ibnbd-client", "list", "--uri", name))
		data := bytes.Repeat([]byte{byte(i + 1)}, 1<<20)
		if err := os.WriteFile(in, data, 0o600); err != nil {
			t.Fatal(err)
		}
		out := filepath.Join(b.dir, "out")
		for _, copying := range [][]string{{"nbdcopy", in, uri}, {"nbdcopy", uri, out}} {
			if text, err := exec.Command(copying[0], copying[1:]...).CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", copying, err, text)
			}
		}
		if got, err := os.ReadFile(out); err != nil || !bytes.Equal(got, data) {
			t.Errorf("what came back from %q differs: %v", name, err)
		}
		b.run("ibnbd-client", "unmap", name)
	}
	stopClient(0)
	stopServer(syscall.SIGTERM)
}

// TestRelativeSocket has a socket in the directory where the client was started. Its URI holds in every directory.
func TestRelativeSocket(t *testing.T) {
	b := newBench(t)
	stopServer := b.start("listening", "ibnbd-server", "--listen", "127.76.0.2", "--export", "ram0=mem:1M")
	client := b.command("ibnbd-client", "map", "--nbd", "@s", "--path", "127.76.0.1@127.76.0.2", "ram0")
	client.Dir = b.dir
	stopClient := b.startCommand("nbd+unix", client)
	want := "nbd+unix:///ram0?socket=" + strings.ReplaceAll(filepath.Join(b.dir, "@s"), "@", "%40")
	if uri := strings.TrimSpace(b.run("ibnbd-client", "list", "--uri", "ram0")); uri != want {
		t.Errorf("the URI is %s, must be %s", uri, want)
	}
	if _, err := os.Stat(filepath.Join(b.dir, "@s")); err != nil {
		t.Errorf("no socket: %v", err)
	}
	b.run("ibnbd-client", "unmap", "ram0")
	stopClient(0)
	stopServer(syscall.SIGTERM)
}

// TestLongRunDirectory has sockets whose paths are too long, wherever they come from.
func TestLongRunDirectory(t *testing.T) {
	long := "/tmp/" + strings.Repeat("l", 105)
	for _, tc := range []struct{ run, args, want string }{
		{long, "ibnbd-server --listen 127.77.0.2 --export r=mem:1M", long + "/server.sock has 122 bytes"},
		{long, "ibnbd-server --status", long + "/server.sock has 122 bytes"},
		{long, "ibnbd-server disconnect a 127.77.0.1@127.77.0.2", long + "/server.sock has 122 bytes"},
		{"/tmp/s", "ibnbd-server --listen 127.77.0.2 --export r=mem:1M --metrics unix:" + long, long + " has 110 bytes"},
		{"/tmp/s", "ibnbd-server --listen 127.77.0.2 --export r=mem:1M --control " + long, long + " has 110 bytes"},
		{long, "ibnbd-client map r --session a --path 127.77.0.1@127.77.0.2", long + "/nbd/a.sock has 121 bytes"},
		{"/tmp/s", "ibnbd-client map r --path 127.77.0.1@127.77.0.2 --nbd " + long, long + " has 110 bytes"},
		{"/tmp/s", "ibnbd-client map r --path 127.77.0.1@127.77.0.2 --session " + strings.Repeat("s", 100), ".sock has 116 bytes"},
	} {
		t.Run(tc.args, func(t *testing.T) {
			words := strings.Fields(tc.args)
			c := (&bench{t, ""}).command(words[0], words[1:]...)
			c.Env = append(c.Env, "IBNBD_RUN_DIR="+tc.run)
			expectUsage(t, c, tc.want, "at most 107 are possible")
		})
	}
}
