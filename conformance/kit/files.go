// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"context"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/vm"
)

// Files are the files of one machine. Its methods fail the spec when the file system does something that no spec is about (a
// file cannot be read, say); [Files.Write] gives the errno back, because that is what specs judge.
type Files struct{ host *vm.Host }

// Read gives the content of a file.
func (f Files) Read(ctx context.Context, name string) string {
	ginkgo.GinkgoHelper()
	b, err := f.host.Agent().ReadFile(ctx, name)
	gomega.Expect(err).NotTo(gomega.HaveOccurred(), "on %s", f.host.Name())
	return string(b)
}

// Word gives the content of a file of one line, without the newline.
func (f Files) Word(ctx context.Context, name string) string {
	ginkgo.GinkgoHelper()
	return strings.TrimSuffix(f.Read(ctx, name), "\n")
}

// Write writes a file with one call, as sysfs wants it. The error has the errno.
func (f Files) Write(ctx context.Context, name, text string) error {
	return f.host.Agent().WriteFile(ctx, name, []byte(text))
}

// Exists says whether there is a file of that name; a link counts, wherever it leads.
func (f Files) Exists(ctx context.Context, name string) bool {
	ginkgo.GinkgoHelper()
	there, err := f.host.Agent().Exists(ctx, name)
	gomega.Expect(err).NotTo(gomega.HaveOccurred(), "on %s", f.host.Name())
	return there
}

// Link gives what a symbolic link points to.
func (f Files) Link(ctx context.Context, name string) string {
	ginkgo.GinkgoHelper()
	to, err := f.host.Agent().Readlink(ctx, name)
	gomega.Expect(err).NotTo(gomega.HaveOccurred(), "on %s", f.host.Name())
	return to
}

// Mode gives the permissions of a file as four octal digits.
func (f Files) Mode(ctx context.Context, name string) string {
	ginkgo.GinkgoHelper()
	info, err := f.host.Agent().Stat(ctx, name)
	gomega.Expect(err).NotTo(gomega.HaveOccurred(), "on %s", f.host.Name())
	return fmt.Sprintf("%04o", info.Mode.Perm())
}

// Names lists a directory.
func (f Files) Names(ctx context.Context, dir string) []string {
	ginkgo.GinkgoHelper()
	found, err := f.host.Agent().Glob(ctx, path.Join(dir, "*"))
	gomega.Expect(err).NotTo(gomega.HaveOccurred(), "on %s", f.host.Name())
	for i := range found {
		found[i] = path.Base(found[i])
	}
	return found
}

// kernelsOwn matches the files that the driver core of Linux gives every device, whoever made it.
var kernelsOwn = regexp.MustCompile(`/uevent$|/power/`)

// Writable lists the files below some directories that have a write bit, but for those that the kernel gives every device. A
// directory that is not there has none.
func (f Files) Writable(ctx context.Context, dirs ...string) []string {
	ginkgo.GinkgoHelper()
	const find = `for d; do [ ! -d "$d" ] || find "$d/" -type f -perm /222; done`
	out, err := f.host.Agent().Output(ctx, "sh", append([]string{"-c", find, "sh"}, dirs...)...)
	gomega.Expect(err).NotTo(gomega.HaveOccurred(), "on %s", f.host.Name())
	return slices.DeleteFunc(strings.Fields(out), kernelsOwn.MatchString)
}

// Snapshot gives the content of all readable files below some directories, each line behind the name of its file. What
// changes by itself is left out: the time of the last heartbeat, and what the kernel gives every device.
func (f Files) Snapshot(ctx context.Context, dirs ...string) string {
	ginkgo.GinkgoHelper()
	const show = `for d; do [ ! -d "$d" ] || find "$d/" -type f -perm -444 ! -path "*/power/*" ! -name uevent ! -name cur_latency | ` +
		`sort | xargs -r grep -H "" 2>&1; done; true`
	out, err := f.host.Agent().Output(ctx, "sh", append([]string{"-c", show, "sh"}, dirs...)...)
	gomega.Expect(err).NotTo(gomega.HaveOccurred(), "on %s", f.host.Name())
	return out
}

// Symlink makes a link, and the directories above it, which goes away after the spec.
func (f Files) Symlink(ctx context.Context, target, name string) {
	ginkgo.GinkgoHelper()
	gomega.Expect(f.mkdirAll(ctx, path.Dir(name))).To(gomega.Succeed())
	gomega.Expect(f.host.Agent().Symlink(ctx, target, name)).To(gomega.Succeed())
	ginkgo.DeferCleanup(func(ctx context.Context) error { return f.host.Agent().Remove(ctx, name) })
}

func (f Files) mkdirAll(ctx context.Context, dir string) error {
	_, err := f.host.Agent().Output(ctx, "mkdir", "-p", dir)
	return err
}
