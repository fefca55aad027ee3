// SPDX-License-Identifier: Apache-2.0

//go:build lab

package verbs_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/vm"
	"github.com/ibnbd/ibnbd/vm/agent"
	"github.com/ibnbd/ibnbd/vm/image"
)

// The tests of the provider, linked statically, run in the guests of a lab, on soft-RoCE.
const guestTest = "/tmp/verbs.test"

// servePort is where TestServe listens.
const servePort = 7471

var (
	lab         *vm.Lab
	alpha, beta *vm.Host
)

func TestLab(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "verbs in the lab")
}

var _ = BeforeSuite(func(ctx context.Context) {
	binary := buildGuestTest(ctx)
	img, err := image.Build(ctx, image.Config{Modules: []string{"rnbd"}}, func(step string) { GinkgoWriter.Println(step) })
	Expect(err).NotTo(HaveOccurred())
	lab, err = vm.Start(ctx, vm.Config{Image: img, MTU: vm.LargeMTU})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(lab.Close()).To(Succeed()) })
	alpha, beta = lab.Host("alpha"), lab.Host("beta")
	for _, h := range lab.Hosts() {
		content, err := os.Open(binary)
		Expect(err).NotTo(HaveOccurred())
		defer content.Close()
		Expect(h.Agent().CopyIn(ctx, guestTest, content, 0o755)).To(Succeed())
	}
}, NodeTimeout(15*time.Minute))

// buildGuestTest builds a binary of the provider's tests that needs nothing of the guest's.
func buildGuestTest(ctx context.Context) string {
	GinkgoHelper()
	binary := filepath.Join(GinkgoT().TempDir(), "verbs.test")
	build := exec.CommandContext(ctx, "go", "test", "-c", "-tags", "verbs,verbs_static", "-o", binary, "github.com/ibnbd/ibnbd/reference/rdma/verbs")
	out, err := build.CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), string(out))
	return binary
}

// specTime bounds one spec; it is for a lab that hangs.
const specTime = NodeTimeout(3 * time.Minute)

// deviations are tests of conformance that soft-RoCE of Linux 6.12 fails, and no provider on it can help that.
var deviations = []string{
	// It checks an access through a window against the bounds of the region.
	"TestConformance/window/a_key_opens_its_part_alone",
	// Work that fails before it is sent completes as flushed, and why is lost.
	"TestConformance/window/a_bound_window_cannot_be_bound_again",
	"TestConformance/error/a_buffer_outside_of_its_region",
	// The receive completes with a local operation error instead of a local length error.
	"TestConformance/error/a_SEND_longer_than_its_receive",
}

// family picks one address of a host on rail 0.
type family func(*vm.Host) netip.Addr

func ipv4(h *vm.Host) netip.Addr { return h.NIC(0).IPv4.Addr() }
func ipv6(h *vm.Host) netip.Addr { return h.NIC(0).IPv6.Addr() }

var _ = Describe("verbs on soft-RoCE", func() {
	var kernel map[*vm.Host]vm.Mark

	BeforeEach(func(ctx context.Context) {
		kernel = map[*vm.Host]vm.Mark{}
		for _, h := range lab.Hosts() {
			var err error
			kernel[h], err = h.KernelLog().Mark(ctx, CurrentSpecReport().LeafNodeText)
			Expect(err).NotTo(HaveOccurred())
		}
	})

	AfterEach(func(ctx context.Context) {
		for h, mark := range kernel {
			records, err := h.KernelLog().Since(mark)
			Expect(err).NotTo(HaveOccurred())
			for _, r := range records {
				Expect(r.Text).NotTo(Or(ContainSubstring("WARNING:"), ContainSubstring("BUG:"), ContainSubstring("Oops")), h.Name())
			}
			out, err := h.Agent().Output(ctx, "rdma", "resource", "show", "qp")
			Expect(err).NotTo(HaveOccurred())
			Expect(out).NotTo(ContainSubstring("verbs.test"), "queue pairs left behind on "+h.Name())
		}
	})

	DescribeTable("conforms, connected with itself", func(ctx context.Context, addr family) {
		out := runTest(ctx, alpha, addr, "-test.run", "Test[^HL]", "-test.skip", "TestServe|TestShim|"+strings.Join(deviations, "|"))
		Expect(out).To(ContainSubstring("--- PASS: TestConformance"))
	}, Entry("IPv4", ipv4, specTime), Entry("IPv6", ipv6, specTime))

	It("fails where soft-RoCE is known to deviate", func(ctx context.Context) {
		for _, test := range deviations {
			result, err := alpha.Agent().Run(ctx, testCommand(alpha, ipv4, "-test.run", test))
			Expect(err).NotTo(HaveOccurred())
			Expect(string(result.Stdout)).To(ContainSubstring("--- FAIL"), "it passes: take it off the list of deviations")
		}
	}, specTime)

	DescribeTable("works between two hosts", func(ctx context.Context, addr family) {
		peer := serve(ctx, alpha, addr)
		out := runTest(ctx, beta, addr, "-test.run", "TestHosts", "-dial", peer.addr)
		Expect(out).To(ContainSubstring("--- PASS: TestHostsEcho"))
		peer.end()
	}, Entry("IPv4", ipv4, specTime), Entry("IPv6", ipv6, specTime))

	It("measures", func(ctx context.Context) {
		peer := serve(ctx, alpha, ipv4)
		out := runTest(ctx, beta, ipv4, "-test.run", "^$", "-test.bench", ".", "-test.benchtime", "300x", "-dial", peer.addr)
		peer.end()
		AddReportEntry("benchmarks", out, ReportEntryVisibilityAlways)
		Expect(out).NotTo(MatchRegexp(`[1-9]\d* allocs/op`))
	}, specTime)

	It("tells that the peer's process was killed", func(ctx context.Context) {
		peer := serve(ctx, alpha, ipv4)
		client := startLost(ctx, beta, "disconnected", peer.addr)
		Expect(peer.process.Kill()).To(Succeed())
		client.succeeds()
	}, specTime)

	It("tells that the device was removed, and lets it go", func(ctx context.Context) {
		peer := serve(ctx, alpha, ipv4)
		client := startLost(ctx, beta, "removed", peer.addr)
		_, err := beta.Agent().Output(ctx, "rdma", "link", "delete", beta.NIC(0).RDMA)
		Expect(err).NotTo(HaveOccurred())
		client.succeeds()
		_, err = beta.Agent().Output(ctx, "rdma", "link", "add", beta.NIC(0).RDMA, "type", "rxe", "netdev", beta.NIC(0).Interface)
		Expect(err).NotTo(HaveOccurred())
		out := runTest(ctx, beta, ipv4, "-test.run", "TestHostsEcho", "-dial", peer.addr)
		Expect(out).To(ContainSubstring("--- PASS"))
		peer.end()
	}, specTime)

	It("tells that the peer's host is gone", func(ctx context.Context) {
		peer := serve(ctx, alpha, ipv4)
		client := startLost(ctx, beta, "retries", peer.addr)
		Expect(alpha.Hang(ctx)).To(Succeed())
		client.succeeds()
		Expect(alpha.Resume(ctx)).To(Succeed())
		peer.end()
	}, specTime)
})

// runTest runs tests in a guest on one of its addresses, and returns what they say.
func runTest(ctx context.Context, h *vm.Host, addr family, args ...string) string {
	GinkgoHelper()
	result, err := h.Agent().Run(ctx, testCommand(h, addr, args...))
	Expect(err).NotTo(HaveOccurred())
	out := string(result.Stdout)
	Expect(result.Err()).NotTo(HaveOccurred(), out)
	Expect(out).NotTo(ContainSubstring("--- SKIP"))
	return out
}

func testCommand(h *vm.Host, addr family, args ...string) agent.Command {
	all := append([]string{"-test.v", "-test.timeout", "150s", "-address", addr(h).String()}, args...)
	return agent.Command{Path: guestTest, Args: all}
}

// running is a test that goes on in a guest.
type running struct {
	process *agent.Process
	out     *watched
	addr    string // of TestServe
	end     func() // ends the input of TestServe, and expects it to succeed
}

// serve starts TestServe and returns when it listens.
func serve(ctx context.Context, h *vm.Host, addr family) *running {
	GinkgoHelper()
	stdin, hold := io.Pipe()
	command := testCommand(h, addr, "-test.run", "TestServe", "-serve", fmt.Sprint(servePort))
	command.Stdin = stdin
	r := start(ctx, h, command, "serving")
	r.addr = netip.AddrPortFrom(addr(h), servePort).String()
	r.end = func() {
		GinkgoHelper()
		Expect(hold.Close()).To(Succeed())
		r.succeeds()
	}
	return r
}

// startLost starts TestLost and returns when it is connected.
func startLost(ctx context.Context, h *vm.Host, how, peer string) *running {
	GinkgoHelper()
	return start(ctx, h, testCommand(h, ipv4, "-test.run", "TestLost", "-expect", how, "-dial", peer), "connected")
}

func start(ctx context.Context, h *vm.Host, command agent.Command, ready string) *running {
	GinkgoHelper()
	r := &running{out: newWatched(ready)}
	command.Stdout = r.out
	var err error
	r.process, err = h.Agent().Start(ctx, command)
	Expect(err).NotTo(HaveOccurred())
	select {
	case <-r.out.seen:
	case <-r.process.Done():
	}
	Expect(r.out.String()).To(ContainSubstring(ready))
	return r
}

func (r *running) succeeds() {
	GinkgoHelper()
	result, err := r.process.Wait()
	Expect(err).NotTo(HaveOccurred())
	Expect(result.Err()).NotTo(HaveOccurred(), r.out.String())
	Expect(r.out.String()).To(ContainSubstring("--- PASS"))
}

// watched keeps output and tells when a word has come.
type watched struct {
	word string
	seen chan struct{}

	mu   sync.Mutex // guards the rest
	text bytes.Buffer
	once sync.Once
}

func newWatched(word string) *watched { return &watched{word: word, seen: make(chan struct{})} }

func (w *watched) Write(data []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text.Write(data)
	if strings.Contains(w.text.String(), w.word) {
		w.once.Do(func() { close(w.seen) })
	}
	return len(data), nil
}

func (w *watched) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}
