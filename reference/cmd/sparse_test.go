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

	"golang.org/x/sys/unix"
)

// TestSparse copies a disk that is zero but for one MiB. The zeroes are seen through server and client, and the copy is sparse.
func TestSparse(t *testing.T) {
	for _, program := range []string{"nbdinfo", "nbdcopy", "qemu-img"} {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
	b := newBench(t)
	data := bytes.Repeat([]byte{0xA5}, 1<<20)
	disk, err := os.OpenFile(filepath.Join(b.dir, "disk"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	if _, err := disk.WriteAt(data, 20<<20); err != nil {
		t.Fatal(err)
	}
	stopServer := b.start("listening", "ibnbd-server", "--listen", "127.78.0.2", "--export", "disk=file:"+disk.Name()+",64M")
	stopClient := b.start("nbd+unix", "ibnbd-client", "map", "--path", "127.78.0.1@127.78.0.2", "disk")
	uri := strings.TrimSpace(b.run("ibnbd-client", "list", "--uri", "disk"))
	want := "0 20971520 2 zero 20971520 1048576 0 data 22020096 45088768 2 zero"
	if out, err := exec.Command("nbdinfo", "--map", uri).CombinedOutput(); err != nil || strings.Join(strings.Fields(string(out)), " ") != want {
		t.Errorf("nbdinfo --map: %v\n%s", err, out)
	}
	for i, copying := range [][]string{{"nbdcopy", uri}, {"qemu-img", "convert", "-f", "raw", "-O", "raw", uri}} {
		out := filepath.Join(b.dir, "out"+strings.Repeat("x", i))
		if text, err := exec.Command(copying[0], append(copying[1:], out)...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", copying, err, text)
		}
		got, err := os.ReadFile(out)
		if err != nil || len(got) != 64<<20 || !bytes.Equal(got[20<<20:21<<20], data) || bytes.Count(got, []byte{0}) != 63<<20 {
			t.Errorf("%s: the copy differs: %v", copying[0], err)
		}
		var st unix.Stat_t
		if err := unix.Stat(out, &st); err != nil || st.Blocks*512 > 2<<20 {
			t.Errorf("%s: the copy takes %d bytes: %v", copying[0], st.Blocks*512, err)
		}
	}
	b.run("ibnbd-client", "unmap", "disk")
	stopClient(0)
	stopServer(syscall.SIGTERM)
}
