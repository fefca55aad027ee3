// SPDX-License-Identifier: Apache-2.0

// Package failover breaks the wire and the server under a running application and measures what the application feels: how
// long its I/O stalls while another path is whole, how long until it fails while none is, and how long from heal to
// reconnected. Each time stands beside the bound that follows from the configured timers ([subject.Timers]).
//
// A [fault] is data: what breaks, what that takes away, how it heals. Every fault runs with one path and with two; those of the
// wire also with four, each over a rail of its own. Outages end at every point of what an initiator makes of them. What takes
// minutes is labelled so that a run leaves it out ([kit.Extended]).
package failover
