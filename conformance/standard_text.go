// SPDX-License-Identifier: Apache-2.0

package conformance

import "github.com/ibnbd/ibnbd/conformance/standard"

// The parts of the standard that no data says. The first has the edition in it.
const standardHead = `# The standard, edition %s

What a target and an initiator must do to be used with each other, in numbered clauses: IBNBD over IBTRS, which mainline Linux calls
RNBD over RTRS and which is the same on the wire, and SRP over RDMA. Annex A has the layout of every message. The page is rendered
from the catalogue of the suite and checked to be current: what it says is what implementations are judged by. 'ibnbd-conformance
explain CLAUSE' prints the same of one clause, with the specs that decide it. [seeds.md](seeds.md) maps the documents that the
project began from to clauses.

The words MUST, MUST NOT, SHOULD, SHOULD NOT and MAY are used as in RFC 2119, where they are in capitals. A clause has one of three levels: what
has level MUST has to be kept by those whom it binds; SHOULD is advice that may be left for a reason; MAY names an option, which the other
side has to live with.

The first number of the edition grows when an implementation that kept all clauses of the one before may break one, the second when clauses
say something else without that. The first such change after a release of the suite begins an edition, and all further ones until the next
release belong to it; a report names the edition by which it judges. Annex C has what each edition has changed. Ids stay: a clause that is
withdrawn is listed in annex B, with those that it went into.
`

const standardReading = `
## Reading a clause

- *judges* is whom the clause speaks of. What a target or an initiator cannot be blamed for alone judges both together.
- *scope* is protocol if anybody but this project demands it. A clause of scope project binds the implementations of this project and is
  advice for all others.
- *source* is where the demand comes from: the seed documents (seed), the test descriptions that a seed document points to (seed-tests), the
  original IBNBD and IBTRS (original), mainline Linux (mainline, and mainline-later for what came after 6.12), a public standard such as
  the InfiniBand architecture and T10 SRP (standard), or this project (project).
- *dialects* are the families of names that it holds for. Texts use the names of the seed (/dev/ibnbd&lt;N>, ibnbd-client); for the dialect
  rnbd read those of mainline in their place (/dev/rnbd&lt;N>, rnbd-client). On the wire the dialects are the same.
- *requires* names abilities that an implementation may lack without breaking anything. The clause does not apply to one that lacks them.
- *decided* says how it is found out whether the clause is kept, and *how* says it in detail: what is tried, in which sizes and for how long.
- *unclear* is where a source contradicts itself; every answer that is *accepted* keeps the clause.
- *measured* is what a named implementation was seen to do. It never changes what the clause demands.

Times that follow from timers are those of the timers that are configured. A timer may fire late by an eighth of its time, and that is the
tolerance of every time in this document, unless a clause names its own.
`

// standardTerms are the words that clauses use, each with its meaning.
var standardTerms = []standard.Term{
	{Word: "target, server", Meaning: "exports block devices"},
	{Word: "initiator, client", Meaning: "maps exported devices to local disks"},
	{Word: "session", Meaning: "the relation of one initiator to one target, with a name and a group UUID, over one path or several"},
	{Word: "path", Meaning: "a pair of addresses of a session, with one connection or more, numbered from 0"},
	{Word: "connection, cid", Meaning: "a reliable connection (RC) of a path, and its number"},
	{Word: "group", Meaning: "the session that a connection request belongs to, by its group UUID"},
	{Word: "incarnation", Meaning: "the number of one build of a path: it changes with each build"},
	{Word: "chunk", Meaning: "a buffer of the target, of max IO size plus max header size bytes, into which the initiator writes a request"},
	{Word: "queue depth", Meaning: "the number of chunks of a session, numbered from 0"},
	{Word: "permit", Meaning: "the right of one request to use the chunk of its number"},
	{Word: "D", Meaning: "the length in bytes of the data of a request: what a write carries, and what a read leaves room for, at the start of its chunk"},
	{Word: "U", Meaning: "the length in bytes of the user header of a request: of the message of the block protocol"},
	{Word: "descriptor", Meaning: "address, key and length of memory, by which the other side may reach it"},
	{Word: "key refresh", Meaning: "a chunk gets a new key with each response"},
	{Word: "INFO", Meaning: "the first exchange on a path: session name against the descriptors of the chunks"},
	{Word: "heartbeat", Meaning: "an immediate by which a side shows that it lives; after too many that stay unanswered the path is given up"},
	{Word: "detection time", Meaning: "from the last thing that a side received to when it gives the path up: between m+1 and m+2 heartbeat intervals, where m is the number of misses that it allows"},
	{Word: "bits(n)", Meaning: "the number of binary digits of n; bits(0) is 0"},
	{Word: "marker", Meaning: "the eight bytes IBNBD+01 in SESS_INFO, which say that feature bits follow"},
	{Word: "profile", Meaning: "what a peer means by bytes that were given two meanings: L the original (version 1), M mainline (version 2 without marker), X this project (with marker)"},
	{Word: "mapping", Meaning: "an export that an initiator has opened, with a local disk"},
	{Word: "writer", Meaning: "a mapping that was opened with access mode rw or migration"},
	{Word: "loss", Meaning: "of an SRP port: the end of its connection that the initiator has noticed, by an error of its queue pair, a DREQ or an SRP_T_LOGOUT"},
	{Word: "bound", Meaning: "a time that follows from configured timers, beside which a measured one is held"},
}
