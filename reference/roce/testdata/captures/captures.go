// SPDX-License-Identifier: Apache-2.0

// Package captures has captures of mainline Linux, for those outside of the tests who judge them or alter them.
package captures

import "embed"

// Files are the captures of storage traffic: classic pcap, a file a rail.
//
//go:embed rnbd-*.pcap srp-*.pcap
var Files embed.FS
