// SPDX-License-Identifier: Apache-2.0

//go:build lab

package vm_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/google/gopacket/pcapgo"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/reference/roce"
	"github.com/ibnbd/ibnbd/vm"
	"github.com/ibnbd/ibnbd/vm/agent"
	"github.com/ibnbd/ibnbd/vm/fabric"
	"github.com/ibnbd/ibnbd/vm/qemu"
)

// specTime bounds one spec; it is for a lab that hangs.
const specTime = NodeTimeout(40 * time.Second)

var _ = Describe("a lab", func() {
	It("has active RDMA devices with the largest path MTU", func(ctx context.Context) {
		for _, h := range lab.Hosts() {
			for _, nic := range h.NICs() {
				out, err := h.Agent().Output(ctx, "ibv_devinfo", "-d", nic.RDMA)
				Expect(err).NotTo(HaveOccurred())
				Expect(out).To(MatchRegexp(`state:\s+PORT_ACTIVE`))
				Expect(out).To(MatchRegexp(`active_mtu:\s+4096`))
			}
		}
	}, specTime)

	It("carries RDMA on every rail, by IPv4 and IPv6, and records packets of the full size", func(ctx context.Context) {
		recording, err := lab.Record(GinkgoT().TempDir(), CurrentSpecReport().FullText())
		Expect(err).NotTo(HaveOccurred())
		for _, nic := range alpha.NICs() {
			Expect(rping(ctx, nic.IPv4.Addr().String(), "-S", "9000")).To(Succeed())
			Expect(rping(ctx, nic.IPv6.Addr().String(), "-S", "9000")).To(Succeed())
		}
		Expect(recording.Close()).To(Succeed())
		for _, path := range recording.Paths() {
			Expect(longest(path)).To(BeNumerically(">", 4096), path)
		}
	}, specTime)

	It("loses what a fault drops, one way and both, and heals", func(ctx context.Context) {
		rail := lab.Rails()[0]
		for _, match := range []fabric.Predicate{fabric.FromPort("alpha"), fabric.ToPort("alpha"), nil} {
			h, err := rail.Inject(fabric.Fault{Action: fabric.Drop{}, Match: match})
			Expect(err).NotTo(HaveOccurred())
			Expect(alpha.Ping(ctx, beta.NIC(0).IPv4.Addr().String())).NotTo(Succeed(), h.String())
			Expect(h.Stats().Applied).To(BeNumerically(">", 0))
			Expect(alpha.Ping(ctx, beta.NIC(1).IPv4.Addr().String())).To(Succeed(), "the other rail")
			Expect(h.Remove()).To(Succeed())
			Expect(alpha.Ping(ctx, beta.NIC(0).IPv4.Addr().String())).To(Succeed())
		}
	}, specTime)

	DescribeTable("hits one packet of a connection, which recovers", func(ctx context.Context, action fabric.Action) {
		h, err := lab.Rails()[0].Inject(fabric.Fault{
			Action: action, Match: fabric.Opcode(roce.RCReadResponseLast, roce.RCReadResponseOnly), Pick: fabric.Nth{2},
		})
		Expect(err).NotTo(HaveOccurred())
		Expect(rping(ctx, alpha.NIC(0).IPv4.Addr().String())).To(Succeed())
		Expect(h.Stats().Applied).To(BeEquivalentTo(1))
	},
		Entry("dropped", fabric.Drop{}, specTime),
		Entry("duplicated", fabric.Duplicate{Copies: 2}, specTime),
		Entry("delayed", fabric.Delay{Base: 20 * time.Millisecond}, specTime),
		Entry("corrupted, so that its ICRC is wrong", fabric.Corrupt{Region: fabric.InPayload}, specTime),
	)

	It("lets a packet through that is changed and sealed anew", func(ctx context.Context) {
		h, err := lab.Rails()[0].Inject(fabric.Fault{
			Action: fabric.Corrupt{Region: fabric.InPayload, FixICRC: true},
			Match:  fabric.Opcode(roce.RCReadResponseOnly), Pick: fabric.Nth{2},
		})
		Expect(err).NotTo(HaveOccurred())
		err = rping(ctx, alpha.NIC(0).IPv4.Addr().String(), "-V")
		Expect(err).To(MatchError(ContainSubstring("mismatch")), "rping compares the data")
		Expect(h.Stats().Applied).To(BeEquivalentTo(1))
	}, specTime)

	It("takes the carrier from both ends, and gives it back", func(ctx context.Context) {
		h, err := lab.Rails()[1].Inject(fabric.Fault{Action: fabric.CarrierLoss{}})
		Expect(err).NotTo(HaveOccurred())
		for _, host := range lab.Hosts() {
			Eventually(carrier).WithContext(ctx).WithArguments(host, "rail1").Should(Equal("0"))
			Expect(carrier(ctx, host, "rail0")).To(Equal("1"))
		}
		Expect(h.Remove()).To(Succeed())
		for _, host := range lab.Hosts() {
			Eventually(carrier).WithContext(ctx).WithArguments(host, "rail1").Should(Equal("1"))
		}
		Expect(alpha.Ping(ctx, beta.NIC(1).IPv6.Addr().String())).To(Succeed())
	}, specTime)

	It("wakes a hung host in a reset", func(ctx context.Context) {
		Expect(beta.Hang(ctx)).To(Succeed())
		Expect(alpha.Ping(ctx, beta.NIC(0).IPv4.Addr().String())).NotTo(Succeed())
		replaced, err := lab.Reset(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(replaced).To(BeEmpty())
		Expect(alpha.Ping(ctx, beta.NIC(0).IPv4.Addr().String())).To(Succeed())
	}, specTime)

	It("knows within a second that a host is dead, and replaces it in a reset", func(ctx context.Context) {
		Expect(syscall.Kill(beta.Machine().PID(), syscall.SIGKILL)).To(Succeed())
		Eventually(beta.Died()).WithTimeout(time.Second).Should(BeClosed())
		Expect(beta.Err()).To(MatchError(ContainSubstring("killed")))
		Expect(beta.Agent().Alive(ctx)).To(MatchError(agent.ErrLost))
		replaced, err := lab.Reset(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(replaced).To(ConsistOf(beta))
		Expect(beta.Ping(ctx, alpha.NIC(0).IPv4.Addr().String())).To(Succeed())
	}, specTime)

	It("tells a panic within a second, with the console", func(ctx context.Context) {
		// The write does not come back, because the kernel does not.
		go func() { _ = beta.Agent().WriteFile(ctx, "/proc/sysrq-trigger", []byte("c")) }()
		Eventually(console).WithContext(ctx).WithArguments(beta).Should(ContainSubstring("Kernel panic"))
		Eventually(beta.Died()).WithTimeout(time.Second).Should(BeClosed())
		Expect(beta.Err()).To(MatchError(qemu.ErrPanic))
		Expect(beta.Err()).To(MatchError(ContainSubstring("sysrq triggered crash")))
	}, specTime)

	It("reboots a host that stays the same host", func(ctx context.Context) {
		Expect(beta.Agent().CopyIn(ctx, "/tmp/trace", strings.NewReader("x"), 0o600)).To(Succeed())
		machine := beta.Machine()
		Expect(beta.Reboot(ctx)).To(Succeed())
		Expect(beta.Machine()).To(BeIdenticalTo(machine))
		Expect(beta.Agent().Exists(ctx, "/tmp/trace")).To(BeFalse())
		Expect(beta.Ping(ctx, alpha.NIC(1).IPv6.Addr().String())).To(Succeed())
	}, specTime)

	It("cuts out of the kernel log what belongs to a spec, over a power loss", func(ctx context.Context) {
		begin, err := beta.KernelLog().Mark(ctx, "begin")
		Expect(err).NotTo(HaveOccurred())
		at := time.Now()
		Expect(beta.Agent().WriteFile(ctx, "/dev/kmsg", []byte("<4>from the spec"))).To(Succeed())
		middle, err := beta.KernelLog().Mark(ctx, "middle")
		Expect(err).NotTo(HaveOccurred())
		beta.PowerLoss()
		Expect(lab.Replace(ctx, beta)).To(Succeed())

		records, err := beta.KernelLog().Between(begin, middle)
		Expect(err).NotTo(HaveOccurred())
		Expect(texts(records)).To(HaveExactElements(ContainSubstring("begin"), Equal("from the spec")))
		Expect(records[1].Level).To(Equal(4))
		Expect(records[1].At).To(BeTemporally("~", at, 5*time.Second))
		after, err := beta.KernelLog().Since(middle)
		Expect(err).NotTo(HaveOccurred())
		Expect(after[len(after)-1].Boot).To(Equal(records[0].Boot + 1))
		Expect(texts(after)).To(ContainElement(HavePrefix("Linux version")))
	}, specTime)

	It("has no gap in the kernel log", func(ctx context.Context) {
		for _, h := range lab.Hosts() {
			_, err := h.KernelLog().Mark(ctx, "end")
			Expect(err).NotTo(HaveOccurred())
			records, err := h.KernelLog().Since(0)
			Expect(err).NotTo(HaveOccurred())
			for i, r := range records {
				Expect(r.Lost).To(BeZero())
				if i > 0 && r.Boot == records[i-1].Boot {
					Expect(r.Seq).To(Equal(records[i-1].Seq + 1))
				}
			}
		}
	}, specTime)

	It("does not lose a frame that no fault asked for", func() {
		for _, r := range lab.Rails() {
			Expect(r.Stats().Overflow).To(BeZero(), r.Name())
		}
	})
})

var _ = Describe("a lab that cannot start", func() {
	It("says what, where and what to do, and leaves nothing behind", func(ctx context.Context) {
		before := machines()
		broken := *guest
		broken.KernelArgs = append([]string{"rdinit=/no/such/init", "root=/dev/none"}, guest.KernelArgs...)
		_, err := vm.Start(ctx, vm.Config{Image: &broken, Accelerator: lab.Accelerator().Accelerator})
		var environment *vm.EnvironmentError
		Expect(errors.As(err, &environment)).To(BeTrue(), "%v", err)
		Expect(err).To(MatchError(qemu.ErrPanic))
		Expect(err).To(MatchError(ContainSubstring("read the guest's console")))
		Expect(machines()).To(ConsistOf(before))
	}, specTime)
})

// rping has beta write to and read from alpha's memory over a reliable connection, ten times, and compare.
func rping(ctx context.Context, address string, options ...string) error {
	const rounds = "10"
	serving, stop := context.WithCancel(ctx)
	defer stop()
	server, err := alpha.Agent().Start(serving, agent.Command{Path: "rping", Args: []string{"-s", "-a", address, "-C", rounds}})
	if err != nil {
		return err
	}
	if err := listening(ctx); err != nil {
		return err
	}
	args := append([]string{"-c", "-a", address, "-C", rounds}, options...)
	result, err := beta.Agent().Run(ctx, agent.Command{Path: "rping", Args: args})
	if err != nil {
		return err
	}
	if err := result.Err(); err != nil {
		return err
	}
	_, err = server.Wait()
	return err
}

// listening waits until alpha has an RDMA listener; its connection manager lists them.
func listening(ctx context.Context) error {
	for {
		out, err := alpha.Agent().Output(ctx, "rdma", "resource", "show", "cm_id")
		if err != nil || strings.Contains(out, "state LISTEN") {
			return err
		}
	}
}

// longest is the length of the longest frame that was forwarded in a recording.
func longest(path string) int {
	GinkgoHelper()
	data, err := os.ReadFile(path)
	Expect(err).NotTo(HaveOccurred())
	reader, err := pcapgo.NewNgReader(bytes.NewReader(data), pcapgo.DefaultNgReaderOptions)
	Expect(err).NotTo(HaveOccurred())
	most := 0
	for {
		_, info, err := reader.ReadPacketData()
		if errors.Is(err, io.EOF) {
			return most
		}
		Expect(err).NotTo(HaveOccurred())
		if info.InterfaceIndex == 0 {
			most = max(most, info.Length)
		}
	}
}

func carrier(ctx context.Context, h *vm.Host, nic string) (string, error) {
	data, err := h.Agent().ReadFile(ctx, "/sys/class/net/"+nic+"/carrier")
	return strings.TrimSpace(string(data)), err
}

func console(h *vm.Host) (string, error) {
	data, err := os.ReadFile(h.Machine().Config().Console())
	return string(data), err
}

func texts(records []vm.LogRecord) []string {
	var texts []string
	for _, r := range records {
		texts = append(texts, r.Text)
	}
	return texts
}

// machines lists the process ids of this process's QEMUs.
func machines() []int {
	GinkgoHelper()
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	Expect(err).NotTo(HaveOccurred())
	var pids []int
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			continue // it ended meanwhile
		}
		// "pid (name) state parent ...", and the name may hold anything
		open, end := bytes.IndexByte(data, '('), bytes.LastIndexByte(data, ')')
		fields := strings.Fields(string(data[end+1:]))
		if strings.HasPrefix(string(data[open+1:end]), "qemu") && fields[1] == strconv.Itoa(os.Getpid()) {
			pid, err := strconv.Atoi(strings.TrimSpace(string(data[:open])))
			Expect(err).NotTo(HaveOccurred())
			pids = append(pids, pid)
		}
	}
	return pids
}
