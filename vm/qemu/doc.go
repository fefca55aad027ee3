// SPDX-License-Identifier: Apache-2.0

// Package qemu starts, watches and ends one virtual machine.
//
// A [Config] says what the machine is: kernel, initial ram disk, memory, [NIC]s (each the client or the server end of a Unix
// socket that carries Ethernet frames) and an [Accelerator]. [Start] gives a [Machine], which can be stopped with or without
// a warning, paused like a hung host, reset, and have its links taken down. Its serial console goes to a file, and a
// virtio-serial port named "org.ibnbd.agent" to a Unix socket for the agent in the guest.
//
// A guest that panics, reboots or powers off ends its QEMU at once ("panic=-1" on the kernel's command line; -no-reboot and
// -no-shutdown on QEMU's, which then tells the reason and is killed), so the death of a guest is an event: [Machine.Done]
// closes, and [Machine.Err] is an [ExitError] that says how it died, with the last lines of the console.
//
// No QEMU outlives the process that started it. Each is the child of a thread that does nothing else and lives as long as
// the child; the kernel kills the child when that thread dies (PR_SET_PDEATHSIG), which it does with the process, whatever
// ends that.
//
// [PickAccelerator] chooses between KVM and TCG by booting a guest, because /dev/kvm can be there and yet hang every guest.
package qemu
