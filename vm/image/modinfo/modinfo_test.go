// SPDX-License-Identifier: Apache-2.0

package modinfo

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDependencies(t *testing.T) {
	info := Info{"license=GPL", "depends=ib-core,rdma_cm", "softdep=pre: crc32 post: x-y", "name=z", "depends=", "odd"}
	if diff := cmp.Diff([]string{"ib_core", "rdma_cm"}, info.Depends()); diff != "" {
		t.Errorf("depends (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"crc32", "x_y"}, info.Softdeps()); diff != "" {
		t.Errorf("softdeps (-want +got):\n%s", diff)
	}
}

func TestName(t *testing.T) {
	for file, want := range map[string]string{
		"kernel/fs/dm-mod.ko":        "dm_mod",
		"/lib/x/rdma_rxe.ko.xz":      "rdma_rxe",
		"nvme-rdma":                  "nvme_rdma",
		"kernel/crypto/crc32.ko.zst": "crc32",
		"updates/my.kooky.ko":        "my.kooky",
	} {
		if got := Name(file); got != want {
			t.Errorf("%s: %s, want %s", file, got, want)
		}
	}
}

func TestWhatIsNoModuleIsRefused(t *testing.T) {
	program, err := os.ReadFile("/bin/true")
	if err != nil {
		t.Fatal(err)
	}
	for says, content := range map[string][]byte{"not an ELF": []byte("text"), "no .modinfo": program} {
		if _, err := Parse(content); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("error %v, want one that says %q", err, says)
		}
	}
}
