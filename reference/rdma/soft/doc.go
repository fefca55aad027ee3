// SPDX-License-Identifier: Apache-2.0

// Package soft is RoCEv2 in pure Go: a provider of the rdma interface that needs no kernel RDMA and no privilege.
//
// A [Device] is one address on a [Link]. The link carries IP packets and nothing more. There are four: a [Hub] joins
// devices in one process; a [UDPLink] is an ordinary UDP socket, which reaches Linux soft-RoCE and RNICs without any
// privilege, and works on loopback addresses; a [FrameLink] makes Ethernet frames by hand, for a station on a virtual rail
// or, with a [PacketSocket], for a network interface. On the device run a connection manager, which speaks the datagrams of queue pair 1, and one queue pair for
// each connection. A queue pair is a requester, which turns posted work into packets and waits for answers, and a
// responder, which executes the packets of its peer.
//
// # Who owns what
//
// A packet belongs to whoever was given it last; the last one releases it to the pool it came from. One goroutine per
// device reads the link and runs the state machine that each packet is for, under that queue pair's lock. Whoever posts
// work transmits it, under the same lock. One more goroutine per device, the pump, sends what is left of long READ
// answers, so that the reader never waits for the link. All deadlines of a queue pair share one timer.
//
// # Breaking things
//
// [Device.Inject] puts a [Fault] on a device: packets that are lost, copied, delayed, overtaken or changed, before or
// after their ICRC, on the way out or in. [Rules] turns the rules of a conforming endpoint off, one by one. Config.EditCM
// changes messages of connection management, Config.Trace sees every packet.
//
// # Time
//
// Over a Hub a device makes no system call and waits on channels and timers only. In a bubble of testing/synctest all of
// it runs on fake time, so that minutes of retries take milliseconds.
//
// # Sources
//
// InfiniBand Architecture Specification volume 1, annexes A11 (RDMA IP CM service) and A17 (RoCEv2). Where Linux 6.12
// soft-RoCE was measured to differ, the code says so.
package soft
