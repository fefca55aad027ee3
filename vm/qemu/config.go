// SPDX-License-Identifier: Apache-2.0

package qemu

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
)

// Defaults of a [Config].
const (
	DefaultBinary = "qemu-system-x86_64"
	DefaultMemory = 768 // MiB
	DefaultCPUs   = 1
)

// AgentPort is the name of the virtio-serial port in the guest.
const AgentPort = "org.ibnbd.agent"

// Accelerator is how guest code runs.
type Accelerator string

// The accelerators.
const (
	KVM Accelerator = "kvm"
	TCG Accelerator = "tcg" // translated, with one thread a CPU
)

// Config says what a machine is.
type Config struct {
	Name        string      // in file names and errors; letters, digits, '-' and '_'
	Dir         string      // an existing directory for the console and what QEMU complains of
	Sockets     string      // one for the agent's socket, whose path has at most 107 bytes; "" stands for Dir
	Binary      string      // the QEMU program; "" stands for DefaultBinary on the PATH
	Kernel      string      // path of the kernel; "" starts the firmware alone
	Initrd      string      // path of the initial ram disk; "" for none
	Append      string      // more words for the kernel's command line
	Memory      int         // MiB; 0 stands for DefaultMemory
	CPUs        int         // 0 stands for DefaultCPUs
	Accelerator Accelerator // "" stands for TCG
	NICs        []NIC
	IOMMU       bool     // an Intel IOMMU stands between the devices and the memory, and the guest's kernel uses it
	Disks       []string // paths of the Unix sockets on which NBD servers offer them; the guest sees vda, vdb, ...
	Counter     string   // the plugin of [BuildCounter], for [Machine.Instructions]; "" counts none. Guests on KVM have none
	From        string   // a file made by [Machine.Save] of a machine of this kind: it goes on from there. "" boots
}

// NIC is a network card and the Unix socket its frames go to, each after four bytes of length, big-endian.
type NIC struct {
	MAC    net.HardwareAddr // 6 bytes
	Socket string           // path of the socket
	Listen bool             // this end makes the socket and listens; else it connects, once, when the machine starts
	MTU    int              // what the card tells the guest, 68 to 65535 bytes; 0 stands for not saying
}

// withDefaults fills in what was left out.
func (c Config) withDefaults() Config {
	if c.Binary == "" {
		c.Binary = DefaultBinary
	}
	if c.Sockets == "" {
		c.Sockets = c.Dir
	}
	if c.Memory == 0 {
		c.Memory = DefaultMemory
	}
	if c.CPUs == 0 {
		c.CPUs = DefaultCPUs
	}
	if c.Accelerator == "" {
		c.Accelerator = TCG
	}
	return c
}

// Console is the path of the file that gets the serial console.
func (c Config) Console() string { return filepath.Join(c.Dir, c.Name+".console") }

// AgentSocket is the path of the Unix socket on which the guest's [AgentPort] is served.
func (c Config) AgentSocket() string { return filepath.Join(c.Sockets, c.Name+".agent") }

// maxSocketPath is what fits into a sockaddr_un with its closing zero (unix(7)).
const maxSocketPath = 107

func (c Config) check() error {
	switch {
	case c.Name == "":
		return fmt.Errorf("qemu: the machine has no name")
	case strings.ContainsAny(c.Name+c.Dir+c.Sockets, ",\n"):
		return fmt.Errorf("qemu: name %q and directories %q, %q: a comma cannot be passed to QEMU", c.Name, c.Dir, c.Sockets)
	case c.Memory < 0 || c.CPUs < 0:
		return fmt.Errorf("qemu: machine %s: memory %d MiB and %d CPUs: neither may be negative", c.Name, c.Memory, c.CPUs)
	case c.Accelerator != KVM && c.Accelerator != TCG:
		return fmt.Errorf("qemu: machine %s: accelerator %q is neither %q nor %q", c.Name, c.Accelerator, KVM, TCG)
	}
	if err := checkSocket(c.AgentSocket()); err != nil {
		return fmt.Errorf("qemu: machine %s: %w", c.Name, err)
	}
	for i, socket := range c.Disks {
		if err := checkSocket(socket); err != nil {
			return fmt.Errorf("qemu: machine %s: disk %d: %w", c.Name, i, err)
		}
	}
	for i, n := range c.NICs {
		if err := n.check(); err != nil {
			return fmt.Errorf("qemu: machine %s: NIC %d: %w", c.Name, i, err)
		}
	}
	return nil
}

func (n NIC) check() error {
	const lowest, highest = 68, 65535
	if len(n.MAC) != 6 {
		return fmt.Errorf("the MAC %q has %d bytes; it needs 6", n.MAC, len(n.MAC))
	}
	if n.MTU != 0 && (n.MTU < lowest || n.MTU > highest) {
		return fmt.Errorf("the MTU %d is outside %d to %d", n.MTU, lowest, highest)
	}
	return checkSocket(n.Socket)
}

func checkSocket(path string) error {
	if len(path) > maxSocketPath || strings.Contains(path, ",") {
		return fmt.Errorf("the socket path %q has %d bytes; at most %d, none of them a comma, can be used",
			path, len(path), maxSocketPath)
	}
	return nil
}

// kernelWords are on every kernel command line. A panic reboots at once, and a reboot ends QEMU.
const kernelWords = "console=ttyS0 panic=-1"

// monitorDescriptor is the file descriptor at which QEMU finds its end of the QMP connection: the first after the standard
// three.
const monitorDescriptor = 3

// stateDescriptor is the one at which QEMU finds what it is to go on from: the next.
const stateDescriptor = monitorDescriptor + 1

// firmware is the one of QEMU's own that only starts a kernel. It is quick, and it boots after a reset as it does at first;
// the usual one resets the machine once more by itself then, which looks like a guest that reboots.
const firmware = "qboot.rom"

// args returns QEMU's command line.
func (c Config) args() []string {
	args := []string{
		"-name", c.Name,
		"-nodefaults", "-no-user-config", "-S", "-no-reboot", "-no-shutdown", "-display", "none",
		"-machine", c.machine(), "-bios", firmware,
	}
	if c.IOMMU {
		args = append(args, "-device", "intel-iommu,intremap=on") // before all devices that it is for
	}
	args = append(args,
		"-m", fmt.Sprintf("%dM", c.Memory),
		"-smp", fmt.Sprint(c.CPUs),
		"-chardev", fmt.Sprintf("socket,id=monitor,fd=%d", monitorDescriptor),
		"-mon", "chardev=monitor,mode=control",
		"-chardev", "file,id=console,path="+c.Console(),
		"-serial", "chardev:console",
		"-device", fmt.Sprintf("virtio-serial-pci,max_ports=%d,%s%s", serialPorts, quietDevice, c.translated()),
		"-chardev", "socket,id=agent,path="+c.AgentSocket()+",server=on,wait=off",
		"-device", "virtserialport,chardev=agent,name="+AgentPort,
	)
	args = append(args, c.Accelerator.args()...)
	if c.Kernel != "" {
		args = append(args, "-kernel", c.Kernel, "-append", c.words())
	}
	if c.Initrd != "" {
		args = append(args, "-initrd", c.Initrd)
	}
	if c.Counter != "" {
		args = append(args, "-plugin", c.Counter+",count="+c.countFile())
	}
	if c.From != "" {
		args = append(args, "-incoming", fmt.Sprintf("fd:%d", stateDescriptor))
	}
	for i, n := range c.NICs {
		args = append(args, n.args(i, c.translated())...)
	}
	for i, socket := range c.Disks {
		args = append(args,
			"-blockdev", fmt.Sprintf("driver=nbd,node-name=disk%d,server.type=unix,server.path=%s", i, socket),
			"-device", fmt.Sprintf("virtio-blk-pci,drive=disk%d%s", i, c.translated()))
	}
	return args
}

// machine is the kind of machine. KVM's interrupt controller cannot be behind an IOMMU that remaps interrupts, unless a part of it
// is QEMU's.
func (c Config) machine() string {
	if c.IOMMU && c.Accelerator == KVM {
		return "q35,kernel-irqchip=split"
	}
	return "q35"
}

// translated makes a virtual device take addresses as the IOMMU knows them, which only one of the present standard does.
func (c Config) translated() string {
	if c.IOMMU {
		return ",disable-legacy=on,iommu_platform=on"
	}
	return ""
}

// iommuWords have Linux translate the addresses of all devices, and take a mapping back as soon as nobody needs it: what a device
// does with it later is a fault.
const iommuWords = "intel_iommu=on iommu=nopt iommu.strict=1"

// words are the kernel's command line.
func (c Config) words() string {
	words := []string{kernelWords, clockWords(c.Accelerator), c.Append}
	if c.IOMMU {
		words = append(words, iommuWords)
	}
	return strings.Join(words, " ")
}

func (a Accelerator) args() []string {
	if a == KVM {
		return []string{"-accel", "kvm", "-cpu", "host"}
	}
	return []string{"-accel", "tcg,thread=multi", "-cpu", EmulatedCPU}
}

// EmulatedCPU is the processor that [TCG] emulates: all that QEMU knows, without
//   - CMPXCHG16B (cx16). QEMU 7.2 takes the flags before it from a register that may hold something else by then. An interrupt
//     right after it saves that and brings it back, whereupon the guest dies of a double fault, or goes on with wrong flags, the
//     direction of string instructions among them. Linux allocates memory with it, and finds another way where there is none.
//   - fast string instructions (erms, fsrm): they are the slowest here, byte by byte.
//   - five levels of page tables (la57), of which guests of this size need four.
const EmulatedCPU = "max,cx16=off,erms=off,fsrm=off,la57=off"

// serialPorts is room for the agent's port and the one that QEMU keeps for a console. Each port has two queues that QEMU watches.
const serialPorts = 2

// quietDevice makes a virtual device take the guest's notices in the processor's thread. Otherwise QEMU's main loop polls a file
// descriptor for each of its queues, however rarely it is used, whenever it wakes.
const quietDevice = "ioeventfd=off"

// device is the name of the i-th network card for QMP.
func device(i int) string { return fmt.Sprintf("nic%d", i) }

func (n NIC) args(i int, more string) []string {
	role := "off"
	if n.Listen {
		role = "on"
	}
	// No boot ROM: nothing boots from the card, and loading it costs a second.
	card := fmt.Sprintf("virtio-net-pci,id=%s,netdev=wire%d,mac=%s,romfile=,%s%s", device(i), i, n.MAC, quietDevice, more)
	if n.MTU != 0 {
		card += fmt.Sprintf(",host_mtu=%d", n.MTU)
	}
	return []string{
		"-netdev", fmt.Sprintf("stream,id=wire%d,server=%s,addr.type=unix,addr.path=%s", i, role, n.Socket),
		"-device", card,
	}
}
