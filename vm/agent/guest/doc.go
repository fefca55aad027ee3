// SPDX-License-Identifier: Apache-2.0

// Package guest is the agent's end inside a virtual machine: it does what the host asks for. Serve works on any byte
// stream, so the host's tests run it without a machine; only what touches the kernel (modules, network, power) needs one.
//
// A server reads frames from the port and keeps one session, that of the host that spoke last. A session multiplexes
// streams. Every stream carries one operation of the table in operations.go, in a goroutine of its own. What a session
// started ends with it.
package guest
