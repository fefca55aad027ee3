// SPDX-License-Identifier: Apache-2.0

// Package srp is the SCSI RDMA Protocol (T10 SRP, ANSI INCITS 365-2002) with the immediate data that Linux adds to it.
//
// An initiator port and a target port form a nexus of one or more channels, each a reliable connection. What they say
// to each other are information units (IUs), each carried by one SEND, or by private data of the connection manager
// at login. Data moves by RDMA that the target starts, to and from memory that the command describes.
//
// # Information units
//
// Login: [LoginReq], or [LoginReqCM] where the RDMA connection manager leaves only 56 bytes, answered by [LoginRsp] or
// [LoginRej]. Work: [Cmd] and [TskMgmt], answered by [Rsp]. Credits: [CredReq] and [CredRsp]; asynchronous events:
// [AERReq] and [AERRsp]; the end: [ILogout] and [TLogout].
//
// All numbers are big-endian; a [Tag] is 8 bytes that only its creator may interpret. Each IU is a plain struct with
// one field for each field on the wire, reserved bytes included, so that any IU, legal or not, can be made and is
// appended byte for byte; what follows the fixed part is its Body. Parsers check lengths first, then values; the error
// is a layout.Error that names the field: after layout.ErrShort the value is not usable, after layout.ErrValue it is
// complete. Reserved bytes are never refused; [Layout] finds them. Appending and parsing do not allocate, and bodies
// are parts of the input.
//
// # Around them
//
// [Buffer] is where the data of a command is; [Cmd.AppendWith] lays one out, [Cmd.DataOut] and [Cmd.DataIn] find it.
// [Credits] counts the request limit of a channel. [ParseLoginString] reads what Linux takes as add_target.
//
// # The target
//
// A [Target] listens on devices of package rdma and lets initiators use logical units of package scsi. A [TargetNexus] is an
// initiator that has logged in, a [TargetChannel] one of its connections. Each channel has receives for all credits that it
// gives, and memory of a fixed size for data: commands that find none wait for it in order, so an initiator bounds nobody but
// itself. What an initiator may use follows from its port identifier.
//
// A command keeps its receive until it is answered. The receive is posted again before the response that returns the
// credit. Task management is answered when all tasks that it ends have ended, and a login that supersedes another when the
// commands of that one have ended, so that nothing old touches a disk or memory afterwards.
//
// # The initiator
//
// An [Initiator] is a system with its [RemotePort]s, to each of which it has logged in over one channel or several. A port sends any
// [Command]; a [Disk] is a logical unit of it that reads and writes like a file, or with many [IO]s in flight. Data is copied to and from
// memory of the channel, which the target reaches by a key of its own for each command, or by one key for all.
//
// A command ends once: with the answer, or when the target has aborted it, or when the port is lost for so long that I/O fails. Who gives
// a command up gets it back when it cannot take effect any more.
//
// A port is lost when its connection breaks, when a command or a probe is not answered in time, and when the target logs out. Its commands
// then wait, for fast_io_fail_tmo; those that were in flight are sent again after the next login. Afterwards commands fail, but disks stay
// until the port is deleted. [Timers] say when, and what bounds follow. Lost ports log in again one at a time, through a gate that the
// whole initiator has: an attempt waits for the network without any lock, and what follows it does not wait.
package srp
