// SPDX-License-Identifier: Apache-2.0

package sysfs

import (
	"bytes"
	"context"
	"path"
	"strconv"
	"sync"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/conformance/clauses/claim"
	"github.com/ibnbd/ibnbd/conformance/kit"
	"github.com/ibnbd/ibnbd/conformance/srp/attacks"
	"github.com/ibnbd/ibnbd/conformance/srp/pair"
	"github.com/ibnbd/ibnbd/conformance/srp/subject"
	"github.com/ibnbd/ibnbd/reference/srp"
	"github.com/ibnbd/ibnbd/vm/agent"
)

// Files and a parameter that ib_srp has not.
const (
	defaultRetries = "def_qp_retries"   // beside add_target
	ackTimeout     = "ack_timeout"      // in the login string, and of a SCSI host
	failBound      = "io_fail_bound_ms" // of a port
	lastReject     = "last_reject"      // of a port, and beside add_target
)

var _ = Describe("an administrator", pair.OfInitiator, func() {
	var (
		p    *pair.Pair
		dir  string // with add_target
		look func(ctx context.Context, name string) (text string, is bool)
	)

	BeforeEach(func() {
		p = pair.Current()
		dir = path.Dir(subject.AddTarget(p.InitiatorHost, 0))
		look = func(ctx context.Context, name string) (string, bool) {
			GinkgoHelper()
			if !p.Client.Exists(ctx, name) {
				return "", false
			}
			return p.Client.Word(ctx, name), true
		}
	})

	It("sets the retries of new connections for a local port", claim.Clauses("SRP-SYSFS-016"), func(ctx SpecContext) {
		file := path.Join(dir, defaultRetries)
		before, is := look(ctx, file)
		p.Expect("SRP-SYSFS-016", is, "there is no %s", file)
		DeferCleanup(func(ctx SpecContext) { Expect(p.Client.Write(ctx, file, before)).To(Succeed()) })
		Expect(p.Client.Write(ctx, file, "3")).To(Succeed())
		port := p.Connect(ctx, 0, "")
		Expect(p.Client.Word(ctx, path.Join(port.HostDir(), "tl_retry_count"))).To(Equal("3"))
	})

	It("sets the local ACK timeout of a connection", claim.Clauses("SRP-SYSFS-017"), func(ctx SpecContext) {
		l := p.Login(0, ackTimeout+"=18")
		port, err := p.Initiator.Connect(ctx, l)
		p.Expect("SRP-SYSFS-017", err == nil, "a login string with %s=18: %v", ackTimeout, err)
		code, is := look(ctx, path.Join(port.HostDir(), ackTimeout))
		p.Expect("SRP-SYSFS-017", is && code == "18", "%s of the SCSI host is %q", ackTimeout, code)
	})

	It("is shown the longest time from a loss to the failure of I/O", claim.Clauses("SRP-SYSFS-018"), func(ctx SpecContext) {
		port := p.Connect(ctx, 0, pair.Breaks)
		bound := func(fastIOFail time.Duration) time.Duration {
			GinkgoHelper()
			p.Timers(ctx, port, subject.Timers{FastIOFail: fastIOFail, DevLoss: subject.Off, ReconnectDelay: 10 * time.Second})
			text, is := look(ctx, path.Join(port.Dir(), failBound))
			p.Expect("SRP-SYSFS-018", is, "there is no %s", path.Join(port.Dir(), failBound))
			ms, err := strconv.Atoi(text)
			p.Expect("SRP-SYSFS-018", err == nil, "%s is %q, no number", failBound, text)
			return time.Duration(ms) * time.Millisecond
		}
		const short, long, work = 5 * time.Second, 25 * time.Second, 500 * time.Millisecond
		first, second := bound(short), bound(long)
		p.Expect("SRP-SYSFS-018", second-first == long-short, "the bound is %s with fast_io_fail_tmo %s, and %s with %s", first, short, second, long)
		p.Expect("SRP-SYSFS-018", first > short+work, "the bound is %s with fast_io_fail_tmo %s: nothing is left for the detection", first, short)
	})

	It("is woken who waits for the state of a port to change", kit.Takes(10), claim.Clauses("SRP-SYSFS-019"), func(ctx SpecContext) {
		port := p.Connect(ctx, 0, "")
		p.Timers(ctx, port, subject.Timers{FastIOFail: 60 * time.Second, DevLoss: subject.Off, ReconnectDelay: time.Second})
		// Whoever polls the table of mounts is woken by a mount. That shows that the program polls, and comes behind what came before it.
		const mounts = "/proc/mounts"
		state, heard := path.Join(port.Dir(), "state"), &lines{}
		polling, err := p.InitiatorHost.Agent().Start(ctx, agent.Command{Path: agent.GuestProgram, Args: []string{"pollfiles", state, mounts}, Stdout: heard})
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func() { Expect(polling.Signal(syscall.SIGKILL)).To(Succeed()) })
		p.Until(ctx, "the program polls", kit.AtOnce, func() bool { return heard.has("polling") })
		watch := p.Watch(ctx, port)
		lost := p.Mark("the target disconnects")
		Expect(p.Target.Control(ctx, attacks.Disable)).To(Succeed())
		p.Until(ctx, "the port is blocked", kit.AtOnce, func() bool { return watch.PortAfter(lost, subject.Blocked).After(lost) })
		Expect(p.Target.Control(ctx, attacks.Enable)).To(Succeed())
		p.Until(ctx, "the port runs again", 90*time.Second, func() bool { return watch.Is(subject.Running, subject.Running) })
		woken := heard.has(state)
		mount := func(ctx context.Context, command string) {
			GinkgoHelper()
			_, err := p.InitiatorHost.Agent().Output(ctx, "sh", "-c", command)
			Expect(err).NotTo(HaveOccurred())
		}
		mount(ctx, "mkdir -p /tmp/polled && mount -t tmpfs tmpfs /tmp/polled")
		DeferCleanup(mount, "umount /tmp/polled")
		p.Until(ctx, "a mount is heard", kit.AtOnce, func() bool { return heard.has(mounts) })
		p.Expect("SRP-SYSFS-019", woken || heard.has(state), "the state went to blocked and back, and who polls %s was not woken", state)
	})

	It("is told why a login was rejected", claim.Clauses("SRP-SYSFS-020"), func(ctx SpecContext) {
		l := p.Login(0, "")
		l.Port = srp.NewPortID(0xdead, 0xbeef, srp.IOClassRev16a)
		_, err := p.Initiator.Connect(ctx, l)
		Expect(err).To(HaveOccurred())
		file := path.Join(dir, lastReject)
		reason, is := look(ctx, file)
		p.Expect("SRP-SYSFS-020", is, "there is no %s", file)
		p.Expect("SRP-SYSFS-020", reason == "0x00010003", "%s says %q, and the reason was 0x00010003", file, reason)
	})

	It("ends add_target by a signal", kit.Takes(10), claim.Clauses("SRP-SYSFS-022"), func(ctx SpecContext) {
		before := p.Left(ctx)
		requests := p.CountConnectRequestsOn(0)
		heal := p.LoseRDMA(0)
		adding, err := p.InitiatorHost.Agent().Start(ctx, agent.Command{
			Path: "sh", Args: []string{"-c", `echo "$1" > "$2"`, "sh", p.Login(0, "").Line(), subject.AddTarget(p.InitiatorHost, 0)},
		})
		Expect(err).NotTo(HaveOccurred())
		p.Until(ctx, "a connection is asked for", kit.AtOnce, func() bool { return requests() > 0 })
		signalled := p.Mark("SIGINT")
		Expect(adding.Signal(syscall.SIGINT)).To(Succeed())
		p.Until(ctx, "add_target has ended", longestAttempt, func() bool {
			select {
			case <-adding.Done():
				return true
			default:
				return false
			}
		})
		took := time.Since(signalled)
		heal(ctx)
		Eventually(p.Left).WithContext(ctx).Should(Equal(before), "what an add_target has left that was ended")
		p.Expect("SRP-SYSFS-022", took < kit.AtOnce, "add_target has ended %s after the signal", took.Round(kit.SamplePeriod))
	})
})

// lines are what a program says.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(data []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(data)
}

// count is how often a word was said.
func (l *lines) count(word string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Count(l.text.Bytes(), []byte(word))
}

func (l *lines) has(word string) bool { return l.count(word) > 0 }
