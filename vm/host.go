// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/ibnbd/ibnbd/vm/agent"
	"github.com/ibnbd/ibnbd/vm/qemu"
)

// Host is one host of a lab: a name, a place on each rail, and the machine that it has at present.
type Host struct {
	lab    *Lab
	name   string
	number int // from 1
	nics   []*NIC
	log    *KernelLog

	mu       sync.Mutex // guards the fields below
	machine  *qemu.Machine
	client   *agent.Client
	machines int // how many there have been
	hung     bool
}

// bootTimeout bounds the time from launch to ready, on top of the caller's context. It is for a guest that hangs; where a
// debug kernel is that slow, raise it.
const bootTimeout = 2 * time.Minute

// newHost makes a host without a machine, and its ports.
func newHost(l *Lab, name string, number int) (*Host, error) {
	h := &Host{lab: l, name: name, number: number}
	for r := range l.spec.Rails {
		nic := newNIC(r, number)
		if !l.spec.Direct {
			port, err := l.rails[r].AddPort(name)
			if err != nil {
				return nil, err
			}
			nic.Rail, nic.Port = l.rails[r], port
		}
		h.nics = append(h.nics, nic)
	}
	var err error
	h.log, err = newKernelLog(filepath.Join(l.dir, name+".kernel.log"))
	return h, err
}

// Name is the host's name, which is also that of its ports on the rails.
func (h *Host) Name() string { return h.name }

// Number is the host's place in the spec, from 1; its addresses end in it.
func (h *Host) Number() int { return h.number }

// NICs returns the host's place on each rail, in the order of the rails.
func (h *Host) NICs() []*NIC { return append([]*NIC(nil), h.nics...) }

// NIC returns the host's place on a rail, from 0.
func (h *Host) NIC(rail int) *NIC { return h.nics[rail] }

// Agent controls the host's present machine from inside. It ends with the machine; ask again after a reboot or a replacement.
func (h *Host) Agent() *agent.Client {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.client
}

// Machine is the host's present machine.
func (h *Host) Machine() *qemu.Machine {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.machine
}

// Died is closed when the host's present machine is gone, for whatever reason.
func (h *Host) Died() <-chan struct{} { return h.Machine().Done() }

// Err says why the present machine died, as a [qemu.ExitError]; nil where it lives, or was ended by the lab.
func (h *Host) Err() error { return h.Machine().Err() }

// KernelLog is the host's kernel log, over all its boots.
func (h *Host) KernelLog() *KernelLog { return h.log }

// Ping sends one echo request to an address and fails where no answer comes within a second or two.
func (h *Host) Ping(ctx context.Context, address string) error {
	if _, err := h.Agent().Output(ctx, "ping", "-c", "1", "-W", "2", address); err != nil {
		return fmt.Errorf("vm: ping %s from %s: %w", address, h.name, err)
	}
	return nil
}

// Unpack lays a layer of the lab's image, by its name, over the host's root file system, where it stays until the host's
// next boot.
func (h *Host) Unpack(ctx context.Context, layer string) error {
	file, ok := h.lab.spec.Image.Layers[layer]
	if !ok {
		return fmt.Errorf("vm: the image has no layer %q", layer)
	}
	if err := h.Agent().Unpack(ctx, file); err != nil {
		return fmt.Errorf("vm: unpack the layer %s in %s: %w", layer, h.name, err)
	}
	return nil
}

// PowerLoss ends the host's machine at once. The host stays dead until [Lab.Replace] or [Lab.Reset].
func (h *Host) PowerLoss() {
	h.Machine().Kill()
	h.disconnect()
}

// Hang stops the host's CPUs: links stay up, and nothing answers, until Resume.
func (h *Host) Hang(ctx context.Context) error {
	if err := h.Machine().Pause(ctx); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hung = true
	return nil
}

// Resume wakes a hung host. Its clock stood still, and is compared with ours anew.
func (h *Host) Resume(ctx context.Context) error {
	if err := h.Machine().Resume(ctx); err != nil {
		return err
	}
	h.mu.Lock()
	h.hung = false
	h.mu.Unlock()
	return h.compareClocks(ctx)
}

// Reboot resets the machine, without a word to the guest, and returns when the host is ready again.
func (h *Host) Reboot(ctx context.Context) error {
	h.disconnect()
	if err := h.Machine().Reset(ctx); err != nil {
		return err
	}
	return h.settle(ctx, fromKernel)
}

// replace ends the present machine and boots a new one.
func (h *Host) replace(ctx context.Context) error {
	h.PowerLoss()
	if err := h.launch(ctx, fromKernel); err != nil {
		return err
	}
	return h.settle(ctx, fromKernel)
}

// revive wakes the host if it hangs and replaces its machine if that is gone, and says whether it did the latter.
func (h *Host) revive(ctx context.Context) (replaced bool, err error) {
	select {
	case <-h.Died():
		return true, h.replace(ctx)
	default:
	}
	h.mu.Lock()
	hung := h.hung
	h.mu.Unlock()
	if !hung {
		return false, nil
	}
	return false, h.Resume(ctx)
}

// beginning is what a machine begins from.
type beginning int

const (
	fromKernel   beginning = iota // it boots
	fromTemplate                  // it goes on
)

// launch starts a machine for the host.
func (h *Host) launch(ctx context.Context, from beginning) error {
	h.mu.Lock()
	h.machines++
	name := h.name
	if h.machines > 1 {
		name = fmt.Sprintf("%s-%d", h.name, h.machines)
	}
	h.mu.Unlock()
	config := h.config(name)
	if from == fromTemplate {
		config.From = h.template()
	}
	machine, err := qemu.Start(ctx, config)
	if err != nil {
		return environment(ctx, err, "start host "+h.name, config.Console())
	}
	h.mu.Lock()
	h.machine, h.hung = machine, false
	h.mu.Unlock()
	return h.plug(ctx, machine)
}

// config is what a machine for the host is.
func (h *Host) config(name string) qemu.Config {
	config := h.lab.machineConfig(name)
	config.Disks = h.lab.spec.Disks[h.name]
	for r, nic := range h.nics {
		config.NICs = append(config.NICs, qemu.NIC{
			MAC: nic.MAC, Socket: h.socket(r), Listen: h.lab.spec.Direct && h.number == 1, MTU: h.lab.spec.MTU,
		})
	}
	return config
}

// socket is the path of the wire of a NIC.
func (h *Host) socket(rail int) string {
	if port := h.nics[rail].Port; port != nil {
		return port.Path()
	}
	return filepath.Join(h.lab.sockets, railName(rail)+".wire")
}

// plug lets the fabric's carrier losses reach the machine's links.
func (h *Host) plug(ctx context.Context, machine *qemu.Machine) error {
	var errs []error
	for r, nic := range h.nics {
		if nic.Port == nil {
			continue
		}
		control := func(ctx context.Context, up bool) error {
			err := machine.SetLink(ctx, r, up)
			if err == nil {
				return nil
			}
			select {
			case <-machine.Done(): // a host that is gone has no carrier to lose
				return nil
			default:
				return err
			}
		}
		errs = append(errs, nic.Port.SetCarrierControl(ctx, control))
	}
	return errors.Join(errs...)
}

// settle waits for the agent and makes the host what the spec says.
func (h *Host) settle(ctx context.Context, from beginning) error {
	bounded, cancel := context.WithTimeout(ctx, bootTimeout)
	defer cancel()
	machine := h.Machine()
	err := h.prepare(bounded, machine, from)
	if err != nil && bounded.Err() != nil && ctx.Err() == nil {
		err = fmt.Errorf("the guest is not ready after %s (%w)", bootTimeout, err)
	}
	return environment(ctx, err, "boot host "+h.name, machine.Config().Console())
}

func (h *Host) prepare(ctx context.Context, machine *qemu.Machine, from beginning) error {
	client, err := dialAgent(ctx, machine)
	if err != nil {
		return err
	}
	h.mu.Lock()
	h.client = client
	h.mu.Unlock()
	if err := h.log.follow(client); err != nil {
		return fmt.Errorf("follow the kernel log: %w", err)
	}
	makeReady := h.setUp
	if from == fromTemplate {
		makeReady = h.wake
	}
	if err := makeReady(ctx, client); err != nil {
		return err
	}
	return h.compareClocks(ctx)
}

// setUp makes a guest that has just booted what the spec says.
func (h *Host) setUp(ctx context.Context, client *agent.Client) error {
	if err := client.Configure(ctx, h.network()); err != nil {
		return fmt.Errorf("set up the network: %w", err)
	}
	for _, module := range h.lab.spec.Modules {
		if err := client.LoadModule(ctx, module); err != nil {
			return fmt.Errorf("load the module %s: %w", module, err)
		}
	}
	return nil
}

// network is what the guest is to look like on its rails.
func (h *Host) network() agent.Network {
	n := agent.Network{Hostname: h.name}
	for _, nic := range h.nics {
		n.Interfaces = append(n.Interfaces, agent.Interface{
			MAC: nic.MAC.String(), Name: nic.Interface, MTU: h.lab.spec.MTU, RDMA: nic.RDMA,
			Addresses: []netip.Prefix{nic.IPv4, nic.IPv6},
		})
	}
	return n
}

// compareClocks makes the times of kernel log records fit the host clock.
func (h *Host) compareClocks(ctx context.Context) error {
	clock, err := h.Agent().Clock(ctx)
	if err != nil {
		return fmt.Errorf("compare clocks with %s: %w", h.name, err)
	}
	h.log.setClock(clock)
	return nil
}

// disconnect ends the session with the agent and waits until the kernel log is all there.
func (h *Host) disconnect() {
	if client := h.Agent(); client != nil {
		_ = client.Close() // it never fails
	}
	h.log.rest()
}

func (h *Host) close() error {
	if h.Machine() != nil {
		h.PowerLoss()
	}
	return h.log.close()
}

func joinWords(words []string) string { return strings.Join(words, " ") }
