// SPDX-License-Identifier: Apache-2.0

// Package subject puts an implementation under test behind one small interface, so that the same specs judge mainline's
// kernel modules, the reference and a vendor's box.
//
// The nouns:
//
//   - A [Target] exports block devices; an [Initiator] maps them. One value stands for one implementation in one role on
//     one host, and owns what it loaded there: modules, programs, backing devices.
//   - An [Export] is a block device that a target offers; a [Device] is what an initiator made of it.
//   - [Names] are those that differ between the seed's dialect (ibnbd) and mainline's (rnbd): sysfs classes, directories, disk
//     names. Specs speak of roles and ask for the name.
//   - [Timers] are the configured times of an implementation. From them, and from nothing that was measured, follow the
//     [verdict.Bound] values that the failover suites print beside what they measured.
//
// An [Implementation] is one value: what is known of it beforehand, and how it is made a target or an initiator on a host. To add
// one, write a file like mainline.go and a line in [Implementations]: the command line, its help and its completion, make matrix,
// images, reports and the choice of clauses follow from that.
//
// The implementations are mainline's kernel modules ([MainlineTarget], [MainlineInitiator]), loaded and steered through
// sysfs; this project's kernel modules ([KMod]), steered likewise; and its reference in userspace ([ReferenceTarget],
// [ReferenceInitiator]): programs over verbs that
// [BuildReference] compiles and that are copied into the machine, steered through their control sockets. The client's
// devices become disks through the kernel's NBD driver, so that every spec's I/O is that of an ordinary block device; a
// disk of NBD tells errors as EIO and nothing finer, and it always has a write cache.
//
// Not every implementation has every interface. An initiator in userspace has no sysfs: [Info] says so, and the
// specs that judge sysfs do not apply to it.
//
// Errors of a subject keep the errno that the implementation gave: errors.Is(err, syscall.EEXIST) works on all of them.
package subject
