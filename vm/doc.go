// SPDX-License-Identifier: Apache-2.0

// Package vm is the lab: virtual hosts on rails, each controlled by an agent, with faults injected between them. It knows hosts,
// rails and packets, and nothing of the protocols that the hosts speak.
//
// [Start] makes a [Lab] from a [Config]. The usual lab is two hosts, "alpha" and "beta", on two rails. A [Host] is ready when
// its agent has answered, its addresses are up, its soft-RoCE devices are active and its modules are loaded; it stays the
// same host when its machine is rebooted or replaced: name, addresses and rails are those of the host. Each rail is a
// [fabric.Rail], where frames are recorded and faults injected; the fabric's carrier losses reach into the machines.
//
// Hosts are used again and again. [Lab.Reset] takes away faults, wakes hung hosts and replaces dead ones. A host that dies
// does not end the lab: [Host.Died] closes within a second, and calls of its agent fail at once.
//
// Booting is most of what a fresh lab costs. Labs that share a directory of templates boot once: [Config].Templates. Hosts that
// begin from templates are as alike as if each had booted by itself, and have random numbers of their own; where one host is
// replaced alone, it boots.
//
// The kernel log of each host is followed from boot on, over all its boots, into memory and a file; [KernelLog.Mark] and
// [KernelLog.Since] give the part that belongs to a spec. Records carry the host's time, so that they, the frames and the faults
// share one timeline.
//
// Packages below: vm/image makes what hosts boot, vm/agent controls a host from inside, vm/qemu runs one machine, vm/fabric is the
// Ethernet switch between them.
package vm
