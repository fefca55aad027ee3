// SPDX-License-Identifier: Apache-2.0

// Package audit reads what was on the wire: a capture or live frames in; a timeline of storage events, statistics and clause
// verdicts out. The frames do not depend on what an implementation says of itself, so
// nothing is said here that they do not prove.
//
// The package names no protocol. A [Protocol] tells it which connections are its own, what their messages mean, how that is told in
// a line of a timeline, what counts in statistics, and which rules judge it. Protocols are in packages of their own, such as
// conformance/ibnbd/judge; package audittest tests them.
//
// # Nouns
//
//   - A [Frame] comes from a [Source] (pcap, pcapng, snoop, standard input, several [Files] merged by time) or from whoever calls
//     [Tracker.Frame]. A [FrameID] names it by rail and number. Packets of RDMA are found in it whatever they are wrapped in;
//     [Contents] say what else there is.
//   - A [Tracker] pairs connection management into connections, and connections into queue pairs ([Flow]); it follows sequence
//     numbers and acknowledgements and puts packets together to messages. The [Follower] of the protocol that claims a connection
//     makes sessions, requests and answers of them; its [Conversation] gets what happens on one connection.
//   - An [Event] is one thing that happened, with the protocol's [Detail]. Observers get each at once: nothing is stored. Its
//     String is its line in a timeline.
//   - [Statistics] count and measure by [Line]. A [Judge] decides clauses, one [Rule] each. An [Audit] puts all of it together.
//
// Sub-package live makes fault predicates of what a tracker sees on a running rail.
//
// # What is not known
//
// Frames may be missing, doubled, out of order or cut, and a capture may begin in the middle. The tracker knows where: the
// packets of a queue pair are numbered, the acknowledgements tell what arrived, and the datagrams of connection
// management are numbered too. A packet that was acknowledged and never seen is a [Gap]. A retransmission is counted and
// its message delivered once; packets after a missing one wait until it comes or is given up.
//
// A rule that finds something forbidden in a frame blames at once. A rule that misses something (an answer before a
// permit is used again, an accept before the next request) only suspects: [Ruling.BreaksUnlessMissed] waits until the
// stream in which the missing thing would have come goes on, message by message, without a gap. If it does not, the finding
// is inconclusive. A [Suspicion] can be dropped, if the path turns out to be lost.
// A clause that the traffic never tried is skipped with the reason "not-seen".
//
// Clocks are not believed either. Within a file the order of capture counts, and cause and effect tell a clock that was set from
// frames that were written late; between files they tell how far the clocks are apart ([Clock]). A rule asks [Ruling.Elapsed] how
// much time has passed, which is not always known, and what came first on two paths is not judged if two clocks have told it ([Rule].Across). The
// recordings of the lab are written by one clock that nobody sets: [Protocol.JudgeFiles] believes it.
//
// # Bounds
//
// Memory does not grow with the length of a capture: connections, sessions, held packets and memories of rules have limits
// ([Options]), and what is forgotten is counted. Half-open connections are forgotten before established ones. Of RDMA
// WRITEs only the last 512 bytes are kept, where the messages are. In steady state a frame costs no allocation. The comparison of
// clocks keeps samples of a fixed size.
//
// # Proof
//
// Captures of mainline, some from the lab, must be told as they were made; every rule is broken by a mutation of one (package
// conformance/mutant/recording); and captures damaged at random, or written by clocks that are wrong, must blame nobody. One
// recording in every encoding that a table names must have the same verdicts.
package audit
