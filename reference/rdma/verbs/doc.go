// SPDX-License-Identifier: Apache-2.0

// Package verbs provides the rdma interface on librdmacm and libibverbs: RDMA as the kernel and an RNIC do it, or
// soft-RoCE (rdma_rxe) in an RNIC's place. It is for InfiniBand and RoCE; an iWARP device is refused.
//
// # Building
//
// It needs cgo and Debian's libibverbs-dev and librdmacm-dev, or what other systems call them, and so it is built on
// request only:
//
//	go build -tags verbs ./...               uses the system's shared libraries and its drivers
//	go build -tags verbs,verbs_static ./...  needs no library at run time, and drives soft-RoCE alone; it also needs
//	                                         libnl-3-dev and libnl-route-3-dev
//
// Without the tag the package compiles to an [Open] that fails with rdma.ErrUnavailable and says how to build it.
//
// # Who owns what
//
// [Open] makes a device: a context of its own of the RDMA device that has the address, a protection domain, and a channel
// for the events of connection management. Two goroutines of the device read its descriptors, which are on Go's poller,
// so that no thread waits in C: one takes events of connection management, one those of the device. Whatever gets such
// events is a sink with a number, which is all that C knows of it; an event that comes too late finds no sink.
//
// A connection is a queue pair, a completion queue and an id of connection management. The queue pair is this package's,
// not the library's: attributes are set as the interface asks, on both sides before either can send. Completions are
// polled in batches by whoever calls Poll; when there are none the completion queue is armed and its channel is waited
// for.
//
// That work has failed, and so the connection, is known when its completion is polled; who never polls is told only what
// connection management and the device report.
//
// Work requests and completions pass through arrays in C memory that belong to the connection. A work request's id there
// is its number in its queue; what Go has to remember of it is in a ring. In steady state nothing is allocated.
//
// Registered memory comes from mmap, never from the Go heap.
//
// The C side is in shim.h and the three files that implement it. It has no state, calls nothing back and never waits.
//
// # Windows
//
// A window is a memory window of type 2, a shared one of type 1. A window of type 2 whose connection is closed gets a new
// memory window in its place, because the old one can be neither bound nor invalidated any more; its next key then has
// nothing to do with the ones before.
//
// # What the kernel decides
//
// The local ACK timeout that the peer is told is at least the packet lifetime that the kernel assumes, 4.096 us * 2^16 and
// the peer's delay, unless ConnConfig.AckTimeout is set; even then the kernel adds the device's own delay to it. When
// a device is removed, its connections and listeners fail with rdma.ErrDeviceRemoved; what is left is to close them all,
// and the device. librdmacm keeps one context of each device that it has met, until the process ends.
//
// Sources: the manual pages of rdma_cm(7) and libibverbs, and the InfiniBand Architecture Specification, volume 1,
// chapters 9, 10 and 12.
package verbs
