// SPDX-License-Identifier: Apache-2.0

package rdmatest

import (
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/onsi/gomega"
	"github.com/onsi/gomega/gleak"
)

// leakPatience is how long goroutines that were told to end may take to do so.
const leakPatience = 5 * time.Second

// NoLeaks fails the test if, when all later clean-ups have run, there are goroutines or open descriptors that were not
// there when NoLeaks was called. Call it first. It is of no use in parallel tests. (Regions, windows, connections and
// listeners cannot be left behind unseen: the device they belong to refuses to close.)
func NoLeaks(t testing.TB) {
	t.Helper()
	goroutines := gleak.Goroutines()
	before := descriptors(t)
	t.Cleanup(func() {
		g := gomega.NewWithT(t)
		g.Eventually(gleak.Goroutines).WithTimeout(leakPatience).ShouldNot(gleak.HaveLeaked(goroutines))
		after := descriptors(t)
		maps.DeleteFunc(after, func(name, target string) bool { return before[name] == target })
		if len(after) > 0 {
			t.Errorf("descriptors left open: %v", after)
		}
	})
}

// descriptors gives what each open file descriptor of this process refers to. Those of the Go runtime's poller are left
// out: it opens them when it is needed first, and keeps them.
func descriptors(t testing.TB) map[string]string {
	t.Helper()
	const dir = "/proc/self/fd"
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	open := make(map[string]string)
	for _, e := range entries {
		target, err := os.Readlink(filepath.Join(dir, e.Name()))
		if err != nil || target == "anon_inode:[eventpoll]" || target == "anon_inode:[eventfd]" {
			continue // the first is the descriptor that the directory was read with
		}
		open[e.Name()] = target
	}
	return open
}
