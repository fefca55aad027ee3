// SPDX-License-Identifier: Apache-2.0

package subject

import (
	"fmt"
	"os"
	"path"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// How files are declared in the sources of the kernel modules: by a macro whose name ends in the mode, or with mode and name. The
// macros themselves have none of these names.
var (
	declaredByMacro = regexp.MustCompile(`(?m)^\s*(?:static )?(?:DEVICE_ATTR|PATH_ATTR|FILE)_(RO|RW)\((\w+)\)`)
	declaredByName  = regexp.MustCompile(`\.attr = \{ "(\w+)", (0\d+) \}`)
	declaredTimer   = regexp.MustCompile(`(?m)^TIMER\((\w+),`)
	described       = regexp.MustCompile(`(?m)^What:\t+(\S+)\n(?:Contact:.*\n)?Mode:\t+(0\d+)\n`)
)

// TestKernelFilesAreDescribed holds the text about each class against the files that the modules have, and their modes.
func TestKernelFilesAreDescribed(t *testing.T) {
	const kmod = "../../../kmod"
	for _, c := range []struct{ class, source string }{
		{"ibtrs-client", "ibtrs/client_sysfs.c"}, {"ibtrs-server", "ibtrs/server_sysfs.c"},
		{"ibnbd-client", "ibnbd/client_sysfs.c"}, {"ibnbd-server", "ibnbd/server_sysfs.c"},
	} {
		source, err := os.ReadFile(path.Join(kmod, c.source))
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path.Join(kmod, "ABI", c.class))
		if err != nil {
			t.Fatal(err)
		}
		var told []string
		for _, m := range described.FindAllStringSubmatch(string(text), -1) {
			told = append(told, fmt.Sprintf("%s %s", path.Base(m[1]), m[2]))
		}
		slices.Sort(told)
		if diff := cmp.Diff(declaredFiles(string(source)), told); diff != "" {
			t.Errorf("files of %s (-%s +ABI/%s):\n%s", c.class, c.source, c.class, diff)
		}
	}
}

// declaredFiles are the files that a source declares, with their modes.
func declaredFiles(source string) []string {
	var files []string
	for _, m := range declaredByMacro.FindAllStringSubmatch(source, -1) {
		if m[2] == "_name" {
			continue // in a macro
		}
		files = append(files, fmt.Sprintf("%s %s", m[2], map[string]string{"RO": "0444", "RW": "0644"}[m[1]]))
	}
	for _, m := range declaredByName.FindAllStringSubmatch(source, -1) {
		files = append(files, fmt.Sprintf("%s %s", m[1], m[2]))
	}
	for _, m := range declaredTimer.FindAllStringSubmatch(source, -1) {
		files = append(files, m[1]+" 0644")
	}
	slices.Sort(files)
	return files
}
