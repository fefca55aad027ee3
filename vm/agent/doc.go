// SPDX-License-Identifier: Apache-2.0

// Package agent controls a guest from the host: it runs programs, reads and writes files, loads modules, sets up the
// network, follows the kernel's log and compares clocks. It needs no network in the guest; it speaks over a virtio-serial
// port that QEMU shows as a Unix socket:
//
//	-device virtio-serial-pci
//	-chardev socket,id=agent,path=SOCKET,server=on,wait=off
//	-device virtserialport,chardev=agent,name=org.ibnbd.agent
//
// Its nouns:
//
//   - A Client is a session with one guest. Dial opens it and waits for a guest that is still booting. The guest serves
//     one session at a time, that of the host that dialled last; what a session started, programs and open files, ends
//     with it. After a reset of the machine, close the client and dial again on a new connection to the same socket.
//   - A Process is a program that runs in the guest, a File one that is open there, a KernelLog its log from some sequence
//     number on.
//   - A Network is what a guest looks like on its rails; Configure can be called again at any time.
//   - A Clock puts guest and host on one timeline.
//
// Errors of system calls arrive as the guest's kernel gave them: errors.Is(err, syscall.EEXIST) works on the host.
//
// Death, silence and pause are three things. When the machine dies, QEMU's socket ends: Done is closed at once and all
// calls fail with ErrLost. A kernel panic becomes a death by the kernel argument panic=-1 and QEMU's -no-reboot. A guest
// that hangs keeps its session; Alive tells. A guest that is paused answers when it goes on, after minutes if need be:
// nothing here has a timeout of its own but a Command that asks for one.
//
// The other end is package guest; the program that becomes the guest's process 1 is in init. What they say to each other
// is in internal/wire.
package agent
