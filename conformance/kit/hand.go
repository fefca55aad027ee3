// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"context"
	"fmt"
	"path"
	"strings"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/vm"
)

// Hand is a spec's hand on the files of one machine. Its methods fail the spec when the file system does something that no
// spec is about (a file cannot be read, say); [Hand.Write] gives the errno back, because that is what specs judge.
type Hand struct{ host *vm.Host }

// Read gives the content of a file.
func (h Hand) Read(ctx context.Context, name string) string {
	ginkgo.GinkgoHelper()
	b, err := h.host.Agent().ReadFile(ctx, name)
	gomega.Expect(err).NotTo(gomega.HaveOccurred(), "on %s", h.host.Name())
	return string(b)
}

// Word gives the content of a file of one line, without the newline.
func (h Hand) Word(ctx context.Context, name string) string {
	ginkgo.GinkgoHelper()
	return strings.TrimSuffix(h.Read(ctx, name), "\n")
}

// Write writes a file with one call, as sysfs wants it. The error has the errno.
func (h Hand) Write(ctx context.Context, name, text string) error {
	return h.host.Agent().WriteFile(ctx, name, []byte(text))
}

// Exists says whether there is a file of that name; a link counts, wherever it leads.
func (h Hand) Exists(ctx context.Context, name string) bool {
	ginkgo.GinkgoHelper()
	there, err := h.host.Agent().Exists(ctx, name)
	gomega.Expect(err).NotTo(gomega.HaveOccurred(), "on %s", h.host.Name())
	return there
}

// Link gives what a symbolic link points to.
func (h Hand) Link(ctx context.Context, name string) string {
	ginkgo.GinkgoHelper()
	to, err := h.host.Agent().Readlink(ctx, name)
	gomega.Expect(err).NotTo(gomega.HaveOccurred(), "on %s", h.host.Name())
	return to
}

// Mode gives the permissions of a file as four octal digits.
func (h Hand) Mode(ctx context.Context, name string) string {
	ginkgo.GinkgoHelper()
	info, err := h.host.Agent().Stat(ctx, name)
	gomega.Expect(err).NotTo(gomega.HaveOccurred(), "on %s", h.host.Name())
	return fmt.Sprintf("%04o", info.Mode.Perm())
}

// Names lists a directory.
func (h Hand) Names(ctx context.Context, dir string) []string {
	ginkgo.GinkgoHelper()
	found, err := h.host.Agent().Glob(ctx, path.Join(dir, "*"))
	gomega.Expect(err).NotTo(gomega.HaveOccurred(), "on %s", h.host.Name())
	for i := range found {
		found[i] = path.Base(found[i])
	}
	return found
}

// Symlink makes a link, and the directories above it, which goes away after the spec.
func (h Hand) Symlink(ctx context.Context, target, name string) {
	ginkgo.GinkgoHelper()
	gomega.Expect(h.mkdirAll(ctx, path.Dir(name))).To(gomega.Succeed())
	gomega.Expect(h.host.Agent().Symlink(ctx, target, name)).To(gomega.Succeed())
	ginkgo.DeferCleanup(func(ctx context.Context) error { return h.host.Agent().Remove(ctx, name) })
}

func (h Hand) mkdirAll(ctx context.Context, dir string) error {
	_, err := h.host.Agent().Output(ctx, "mkdir", "-p", dir)
	return err
}
