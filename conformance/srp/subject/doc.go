// SPDX-License-Identifier: Apache-2.0

// Package subject puts implementations of SRP under test on the machines of a lab.
//
//   - A [Target] offers the two logical units of [Units] behind one target port, over every rail.
//   - An [Initiator] connects target ports; a [Port] is one that it has connected, with the disks behind it.
//   - An [Implementation] is one value: what is known of it beforehand, and how it is made a target or an initiator on a host. To
//     add one, write a file like mainline.go and a line in [Implementations].
//
// Mainline Linux is ib_srp as the initiator, and LIO with ib_srpt as the target: kernel modules, administered through sysfs and configfs.
// KMod is this project's kernel module in the place of ib_srp.
// The reference is a program over verbs, which is copied into the machine.
package subject
