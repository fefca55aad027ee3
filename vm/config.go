// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"errors"
	"fmt"

	"github.com/ibnbd/ibnbd/vm/image"
	"github.com/ibnbd/ibnbd/vm/qemu"
)

// Config says what a lab is made of. Its zero value with an Image is the usual lab.
type Config struct {
	Hosts       []string         // names; nil stands for alpha and beta. Letters, digits, '-' and '_'
	Rails       int              // how many rails, 1 to MaxRails; 0 stands for two
	MTU         int              // of the guests' NICs in bytes, MinMTU to MaxMTU; 0 stands for DefaultMTU
	Image       *image.Image     // what the hosts boot
	Modules     []string         // kernel modules of the image that are loaded on every host, in order
	CPUs        int              // of each host; 0 stands for one. RTRS makes a queue pair for each, and one more
	Memory      int              // of each host in MiB; 0 stands for qemu.DefaultMemory
	IOMMU       bool             // an IOMMU stands between the hosts' devices and their memory
	Accelerator qemu.Accelerator // "" picks one by trying
	Cache       string           // directory where the pick is kept; "" stands for the system's temporary directory
	// Templates is a directory, best an empty one, where labs that are alike share how their hosts are when ready: the first
	// lab boots them, and whatever boots all hosts later begins where those were. It must not outlive the run of this
	// machine: guests count with the host's clock. "" always boots, and so do guests on KVM, which are quick at it.
	Templates string
	Dir       string // where consoles and kernel logs go, and stay; "" stands for a directory that Close removes
	// Direct joins the NICs of two hosts by QEMU's own sockets, without a fabric between: the lab has no rails then, so
	// nothing is recorded and nothing can be broken. It is there to measure what the fabric costs.
	Direct bool
	// Counter is the plugin of [qemu.BuildCounter] by which the machines of all hosts count instructions; "" counts none.
	Counter string
	// Disks gives hosts, by name, disks that outlive their machines: the Unix sockets of NBD servers whose first export the
	// machine sees as vda, vdb, ...
	Disks map[string][]string
}

// Limits and defaults of a [Config].
const (
	MaxRails = 8 // each costs every host a PCI device
	// DefaultMTU gives rxe a path MTU of 1024.
	DefaultMTU = 1500
	// LargeMTU gives rxe a path MTU of 4096, its largest.
	LargeMTU = 4300
	MinMTU   = 1280 // the least for IPv6 (RFC 8200)
	MaxMTU   = 9000
)

// maxHosts is what fits into the last byte of an IPv4 address.
const maxHosts = 200

func (s Config) withDefaults() Config {
	if s.Hosts == nil {
		s.Hosts = []string{"alpha", "beta"}
	}
	if s.Rails == 0 {
		s.Rails = 2
	}
	if s.MTU == 0 {
		s.MTU = DefaultMTU
	}
	if s.CPUs == 0 {
		s.CPUs = qemu.DefaultCPUs
	}
	if s.Memory == 0 {
		s.Memory = qemu.DefaultMemory
	}
	return s
}

func (s Config) check() error {
	const leastMemory = 128
	switch {
	case s.Image == nil:
		return errors.New("vm: the spec has no image")
	case len(s.Hosts) < 1 || len(s.Hosts) > maxHosts:
		return fmt.Errorf("vm: %d hosts is outside 1 to %d", len(s.Hosts), maxHosts)
	case s.Rails < 1 || s.Rails > MaxRails:
		return fmt.Errorf("vm: %d rails is outside 1 to %d", s.Rails, MaxRails)
	case s.MTU < MinMTU || s.MTU > MaxMTU:
		return fmt.Errorf("vm: the MTU %d is outside %d to %d", s.MTU, MinMTU, MaxMTU)
	case s.CPUs < 1:
		return fmt.Errorf("vm: %d CPUs; a host needs at least 1", s.CPUs)
	case s.Memory < leastMemory:
		return fmt.Errorf("vm: %d MiB of memory; a host needs at least %d", s.Memory, leastMemory)
	case s.Direct && len(s.Hosts) != 2:
		return fmt.Errorf("vm: a direct wire joins 2 hosts, not %d", len(s.Hosts))
	}
	seen := map[string]bool{}
	for _, name := range s.Hosts {
		if seen[name] {
			return fmt.Errorf("vm: two hosts are named %q", name)
		}
		seen[name] = true
	}
	for name := range s.Disks {
		if !seen[name] {
			return fmt.Errorf("vm: disks for %q, which is no host", name)
		}
	}
	return nil
}
