// SPDX-License-Identifier: Apache-2.0

package subject

import (
	"os"
	"path"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var (
	listedFile    = regexp.MustCompile(`(?m)^\s+&dev_attr_(\w+)\.attr,$`)
	describedFile = regexp.MustCompile(`(?m)^What:\t+(\S+)\n(?:Contact:.*\n)?Mode:\t+0\d+\n`)
)

// TestKernelFilesAreDescribed holds the text about the module's files against those that it has.
func TestKernelFilesAreDescribed(t *testing.T) {
	const kmod = "../../../kmod"
	var has, told []string
	for _, source := range []string{"main.c", "sysfs.c"} {
		for _, m := range listedFile.FindAllStringSubmatch(read(t, path.Join(kmod, "srp", source)), -1) {
			has = append(has, m[1])
		}
	}
	for _, m := range describedFile.FindAllStringSubmatch(read(t, path.Join(kmod, "ABI/srp")), -1) {
		told = append(told, path.Base(m[1]))
	}
	slices.Sort(has)
	slices.Sort(told)
	if diff := cmp.Diff(has, told); diff != "" {
		t.Errorf("files (-sources +ABI/srp):\n%s", diff)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
