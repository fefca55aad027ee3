// SPDX-License-Identifier: Apache-2.0

package agent

// PortName is the name of the virtio-serial port that the guest's agent looks for.
const PortName = "org.ibnbd.agent"

// GuestProgram is the path of the agent's own program in the guest. It runs the I/O prober: see package ioprobe.
const GuestProgram = "/init"
