// SPDX-License-Identifier: Apache-2.0

// Package image makes what a guest boots: a kernel and an initramfs, out of Debian packages that are downloaded and
// unpacked but never installed on this machine.
//
// Its nouns:
//
//   - A Set says what guests are made of. It is data, packages.yaml: kernels by name, files by package, kernel modules,
//     and module sets. Adding a program to the guest is one line there.
//   - A module set is kernel modules that Debian does not build, compiled out of tree from the kernel's own source package
//     against its headers, in a directory that is thrown away.
//   - A Spec picks a kernel and module sets. Build makes the Image for it, or finds it in the cache.
//   - The Manifest of an image tells the exact versions of all that is inside.
//   - A layer is an archive of big programs that a running guest unpacks when it needs them; see agent.Client.Unpack.
//
// Everything is kept in a cache directory under names that are hashes of what went into it: package versions, the set, the
// agent's binary. Entries appear complete, by renaming, and builds take turns by a lock, so that the cache can be shared
// by processes and deleted at any time. apt's own lists decide about versions: after `apt-get update` an image may be made
// anew, and offline with a warm cache nothing changes.
//
// The guest's /usr is merged as Debian's is. Only files that the set names are in it, the libraries that they need, and
// the kernel modules with all that they depend on; busybox stands in for the rest. The init is package vm/agent/init.
//
// When this machine lacks something, a package, a tool, space or a network, the error is an *EnvironmentError.
package image
