// SPDX-License-Identifier: Apache-2.0

package specreport

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/onsi/gomega"
)

// What Gomega says reads like a sentence, without the types and addresses of Go.
func TestPlain(t *testing.T) {
	var none error
	wrapped := fmt.Errorf("map ram0: %w", &fs.PathError{Op: "write", Path: "map_device", Err: syscall.EEXIST})
	for _, c := range []struct {
		want   string
		expect func(g *gomega.WithT)
	}{
		{"on client Unexpected error: map ram0: write map_device: file exists", func(g *gomega.WithT) {
			g.Expect(wrapped).NotTo(gomega.HaveOccurred(), "on %s", "client")
		}},
		{"Expected success, but got an error: map ram0: write map_device: file exists", func(g *gomega.WithT) { g.Expect(wrapped).To(gomega.Succeed()) }},
		{"Expected map ram0: write map_device: file exists to match error permission denied", func(g *gomega.WithT) {
			g.Expect(wrapped).To(gomega.MatchError(os.ErrPermission))
		}},
		{"Expected an error, got nil", func(g *gomega.WithT) { g.Expect(none).To(gomega.MatchError(os.ErrPermission)) }},
		{"Expected open to equal closed", func(g *gomega.WithT) { g.Expect("open").To(gomega.Equal("closed")) }},
		{"Expected 4 to be > 5", func(g *gomega.WithT) { g.Expect(uint64(4)).To(gomega.BeNumerically(">", 5)) }},
		{`Expected ["a"] to contain element matching b`, func(g *gomega.WithT) { g.Expect([]string{"a"}).To(gomega.ContainElement("b")) }},
		{"Expected 4s to be <= 2s", func(g *gomega.WithT) { g.Expect(4 * time.Second).To(gomega.BeNumerically("<=", 2*time.Second)) }},
		{"flushes Expected 3 to equal 4", func(g *gomega.WithT) { g.Expect(3).To(gomega.Equal(4), "flushes") }},
	} {
		var said string
		c.expect(gomega.NewWithT(recorder{t, &said}))
		if got := plain(said); !strings.HasPrefix(got, c.want) {
			t.Errorf("%q, want %q, of\n%s", got, c.want, said)
		}
	}
}

// What is no message of Gomega stays as it is.
func TestPlainLeavesWords(t *testing.T) {
	for _, message := range []string{"", "got \"accept\" <at once>", "errno is <none>: EIO was due", errors.New("3 > 2").Error()} {
		if got := plain(message); got != message {
			t.Errorf("%q becomes %q", message, got)
		}
	}
}

// recorder is a test that notes why it fails.
type recorder struct {
	testing.TB
	said *string
}

func (r recorder) Helper() {}
func (r recorder) Fatalf(format string, args ...any) {
	*r.said = strings.TrimSpace(fmt.Sprintf(format, args...))
}
