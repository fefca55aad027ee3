// SPDX-License-Identifier: Apache-2.0

package conformance

// standardSession tells an exchange of IBNBD over IBTRS from its begin to its end. Clauses say one thing each; this says in which order
// they come. It demands nothing: where it seems to say another thing than a clause, the clause holds.
const standardSession = `
## How a session goes (informative)

This is the whole of IBNBD over IBTRS in the order in which things happen, for who writes a client or a server. Each step names the clauses
that bind. Offsets and sizes are those of annex A. SRP has a public standard of its own (T10 SRP), to which its clauses refer.

### Connections

A path is a pair of addresses with N connections (2 to 4096), numbered by their cid. Connection 0 carries INFO, heartbeats, SESS_INFO, OPEN and
CLOSE of most clients; the others carry I/O, commonly one for each CPU. A server takes any request on any connection (IBTRS-IO-009). All are
reliable connections (RC), made by RDMA/CM, port space TCP, port 1234 (IBTRS-CONN-001, IBTRS-CONN-002).

1. The client asks for cid 0 (IBTRS-CONN-008). The request asks for RNR retry count 7, which is without end, for retry count 7, and for 0 responder
   resources and initiator depth: nobody uses RDMA READ (IBTRS-CONN-041 to IBTRS-CONN-044). On InfiniBand and RoCE its private data has the 36-byte
   header of RDMA/CM for IP addresses in front, and behind it the 56 bytes of the connection request: zero at 0 and 1, magic at 2, version at 4, cid
   at 6, N at 8, incarnation at 10, path UUID at 12, group UUID at 28, first-connection flag at 44.
2. The server accepts with the 56 bytes of the connection response: queue depth at 6, max IO size at 8, max header size at 12, flags at 16. Or it rejects, reason
   28, with the same 56 bytes, of which the error number at 4 is negative and all behind it is zero (IBTRS-CONN-021 and those behind it); a reject with
   another reason has none. Chunk size is max IO size + max header size.
3. When cid 0 is established the client asks for cid 1 to N-1, one after the other, with the same N, incarnation and UUIDs (IBTRS-CONN-009,
   IBTRS-CONN-059). It takes depth, sizes and flags from the accept of cid 0.

A group UUID is drawn for each session, a path UUID for each path; both stay as long as session and path exist (IBTRS-CONN-011,
IBTRS-CONN-012). The incarnation begins with 1 and grows with each build of the path (IBTRS-PATH-004). The flag is set in all requests of the first path
of a new session, clear in that for cid 0 of a further path, and set from then on in all requests of a path whose cid 0 was once established
(IBTRS-CONN-013, IBTRS-CONN-058, IBTRS-CONN-063). While another path is connected it may be clear for cid 0, so that no target that has forgotten the session makes
another one.

For example, cid 0 of 3, incarnation 1, path UUID 10 to 1f, group UUID a0 to af:

    0000: 00 00 bd 1b 00 02 00 00 03 00 01 00 10 11 12 13
    0010: 14 15 16 17 18 19 1a 1b 1c 1d 1e 1f a0 a1 a2 a3
    0020: a4 a5 a6 a7 a8 a9 aa ab ac ad ae af 01 00 00 00
    0030: 00 00 00 00 00 00 00 00

An accept of depth 512, 126976 and 4096 bytes, with key refresh, begins

    0000: bd 1b 00 02 00 00 00 02 00 f0 01 00 00 10 00 00
    0010: 02 00 00 00

### INFO

4. The client posts one receive of 8 + 16 x depth bytes on connection 0, then sends the INFO request there, 272 bytes by SEND, with the session's
   name at 2 (IBTRS-INFO-001 to IBTRS-INFO-003). The server has posted just one receive for it; nothing else may be sent before (IBTRS-INFO-019).
5. The server checks name and state; what it does not like closes the path without an answer. Otherwise it posts its receives, one for each chunk on
   every connection, registers the chunks and sends the INFO response, 8 + 16 x n bytes by SEND (IBTRS-INFO-004 to IBTRS-INFO-008): n at 2, and at 8
   n descriptors of regions, in the order of the chunks. Region i holds its length / chunk size chunks, behind those of region i-1. With key
   refresh each chunk is a region.
6. The client checks that (IBTRS-INFO-016 to IBTRS-INFO-018, IBTRS-INFO-026) and posts receives: as many as the depth twice over on every connection, as
   an answer may take two, and enough for heartbeats on connection 0. With key refresh each has 8 bytes, else none. The path is connected.
   Without an answer it gives up after its INFO timeout (IBTRS-INFO-021).

### Requests

A request needs a permit, which is the number of a chunk: there are as many in a session as its queue depth, over all paths together, and no other
flow control (IBTRS-IO-018 to IBTRS-IO-020). With D bytes of data, a user header of U bytes (SESS_INFO, OPEN, IO or CLOSE) and a transport message of M
bytes, the client sends one RDMA WRITE with immediate, on any I/O connection of any connected path (IBTRS-IO-001 to IBTRS-IO-007):

| | written | at | M |
|---|---|---|---|
| transport write | data, user header, write message | chunk address | 4 |
| transport read with data | user header, read message, descriptor of the client's memory | chunk address + D | 8 + 16 |
| transport read without data | user header, read message | chunk address | 8 |

The parts follow each other without a gap, and none is aligned. The chunk has the same number on all paths; its address and key are those that this path
has announced last. The immediate is (chunk << s) | (D + U), with s = 28 - bits(depth - 1),
most significant byte first (IBTRS-IMM-001, IBTRS-IMM-002): chunk 3 of 512, a read of 4096 bytes with a header of 32, is 3 << 19 | 4128 = 00 18 10 20. The server
takes U from the message, and D as the difference (IBTRS-IO-004). A descriptor names memory of D bytes that the server may write to; flag bit 0 of
the read message asks it to take the key back.

### Answers

The server answers on the connection of the request, in any order, in a chain of (IBTRS-IO-008 to IBTRS-IO-014, IBTRS-INV-002 to IBTRS-INV-006)

1. RDMA WRITE of the data, of a read that succeeded;
2. SEND with Invalidate of nothing, for the key of the descriptor, if flag bit 0 asked for it, also of a read that failed;
3. the response: without key refresh an RDMA WRITE with immediate of nothing (address 0, key 0); with key refresh a SEND with immediate of the 8-byte key
   response, chunk at 2 and its new key at 4, which the server has registered by then.

The immediate is type << 28 | errno << 19 | chunk; type is 2 behind a SEND with Invalidate, else 1. Parts 2 and 3 use up a receive of the client each.
The client stores the new key, takes its own key back if the type was 1, completes the request, and gives the permit back (IBTRS-IO-015,
IBTRS-IO-016, IBTRS-INV-007). A response that answers nothing is ignored (IBTRS-IMM-009, IBTRS-IMM-010), one that is malformed ends the path
(IBTRS-INV-008 to IBTRS-INV-014). With key refresh a chunk must not be touched between request and response: its key is void (IBTRS-INV-005).

### The block protocol

| step | user header | request | answer |
|---|---|---|---|
| once a session came up | SESS_INFO, 36 bytes: version 2 at 4 | transport read, D = 36 | SESS_INFO_RSP: the lower version at 4 |
| for each device | OPEN, 264 bytes: access mode at 4, path at 6 | transport read, D = 56 | OPEN_RSP: device id at 4, sectors at 8, limits behind them |
| I/O | IO, 32 bytes: device id at 4, sector at 8, operation and flags at 16, bytes at 20 | a read with data as transport read, D bytes; a write as transport write, D bytes; a flush as transport read, all others as transport write, D = 0 | the response alone, or data |
| in the end | CLOSE, 8 bytes: device id at 4 | transport write, D = 0 | the response alone |

See IBNBD-MSG-001 to IBNBD-MSG-008, IBNBD-OPEN-001 and those behind it, IBNBD-IO-001 to IBNBD-IO-012, IBNBD-IO-027. Sectors are of 512 bytes, always; sector and bytes are whole logical
blocks of the device. D is the bytes of a read or a write, and the bytes of a flush are 0. A device id is good on every path of the session. An IO message of version
1 ends behind the bytes, at 24 (IBNBD-MSG-005). The operation is the low 8 bits at 16. A device has one writer; access mode migration lets a second in (IBNBD-OPEN-007 to IBNBD-OPEN-011). What the bytes that versions do not agree on mean
is in IBNBD-COMPAT: a client that shows no marker reads bytes 44 and 45 of OPEN_RSP as mainline does, 45 being the cache.

Errors are numbers of Linux without their sign:

| number | name | number | name | number | name | number | name |
|---|---|---|---|---|---|---|---|
| 1 | EPERM | 13 | EACCES | 22 | EINVAL | 95 | EOPNOTSUPP |
| 2 | ENOENT | 15 | ENOTBLK | 28 | ENOSPC | 103 | ECONNABORTED |
| 5 | EIO | 16 | EBUSY | 30 | EROFS | 104 | ECONNRESET |
| 6 | ENXIO | 17 | EEXIST | 61 | ENODATA | 107 | ENOTCONN |
| 12 | ENOMEM | 19 | ENODEV | 90 | EMSGSIZE | 110 | ETIMEDOUT |

### Heartbeat

Both sides do the same, for each path, on connection 0, from when the path is connected (IBTRS-HB-001 to IBTRS-HB-013). At each interval (5 s):

- if the count of misses is above what is allowed (5): the peer is dead;
- else if it is above 0: count one more, and send nothing;
- else count one, and send an RDMA WRITE of nothing with immediate 0x80000000.

Whatever comes on any connection of the path sets the count to 0. A heartbeat is answered at once by 0x90000000.

### States, loss and return

| state of a client's path | left by |
|---|---|
| CONNECTING | INFO response that is right: CONNECTED. Anything else: CONNECTING_ERR |
| CONNECTED | an error or the end of any connection, a dead peer, a malformed answer: RECONNECTING. Disconnect by its user: CLOSING |
| CONNECTING_ERR | RECONNECTING, or the end of the first open: it fails as a whole (IBTRS-CONN-049) |
| RECONNECTING | an attempt: CONNECTING. No attempts left, or its user: CLOSING |
| CLOSING | all is taken down: CLOSED |
| CLOSED | reconnect by its user: RECONNECTING. Removal: DEAD |

A path that is lost goes through these steps (IBTRS-PATH-001 to IBTRS-PATH-024):

1. no new request takes it; all of its connections are disconnected (DREQ) and their queue pairs drained, so that nothing of it is carried out later;
2. each outstanding request is sent again on another connected path: same permit, same header, same data, address and key of that path. A write must
   not take effect behind a newer one to the same blocks (IBNBD-FAIL-020, IBNBD-FAIL-029). Without another path it fails, and the disk says EIO
   (IBNBD-FAIL-006);
3. with the last path all disks of the session are closed: I/O fails at once (IBNBD-IO-019);
4. it waits for the peer to confirm the end of each connection, at most the teardown wait (30 s), then for the reconnect delay (30 s and 1 s more), and asks
   for all connections again: same UUIDs, next incarnation, first-connection flag set. EBUSY, ECONNRESET, EEXIST and ENXIO only mean that it is too early
   (IBTRS-PATH-018). Attempts that are limited in number are counted anew once the path is connected (IBTRS-PATH-008, IBTRS-PATH-028);
5. when a session has a path again that had none, the server may have forgotten it: SESS_INFO (IBNBD-MSG-020), then an OPEN for each disk,
   whose new device ids and sizes count (IBNBD-FAIL-001 to IBNBD-FAIL-004). What was unmapped meanwhile is closed again (IBNBD-OPEN-031).

The server keeps a path until its peer has disconnected or is dead; then it waits for the disk I/O of the path, drops the answers, and frees it
(IBTRS-PATH-016, IBTRS-PATH-020, IBTRS-PATH-021, IBTRS-PATH-027). A session ends with its last path, and all that it had open is closed. A client
unmaps a disk by CLOSE, and with the last disk it disconnects all paths (IBNBD-MSG-018, IBNBD-SYSFS-036).
`
