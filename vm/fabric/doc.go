// SPDX-License-Identifier: Apache-2.0

// Package fabric is the wire of the lab: an Ethernet switch in the test process, which test code can watch and break.
//
// A [Fabric] has rails. A [Rail] is one broadcast domain with a learning switch in it; frames never cross from one rail to
// another. What is plugged into a rail is either a [Port], the far end of one guest NIC (QEMU's "-netdev stream" on a Unix
// socket: four bytes of length, big-endian, then the Ethernet frame without its check sequence), or a [Station], a Go
// program that sends and receives frames itself.
//
// A [Frame] is one Ethernet frame on its way, and decodes itself as far as somebody asks. A [Predicate] chooses frames. A
// [Fault] is a value that says what happens ([Drop], [Duplicate], [Reorder], [Delay], [Corrupt], [Alter], [CarrierLoss], or
// several of them in a [Sequence]) to which frames (a Predicate), to which of those (a [Pick]: the n-th, every n-th, by chance with
// a seed), and when. [Rail.Inject] puts a fault on a rail and gives a [Handle] that counts, waits and removes. Whatever a
// fault does is an [Event], so that evidence can say which frame was hit, when and by what.
//
// A flooded frame is judged once for each destination, so that "lose what goes to alpha" also loses the broadcasts to alpha
// and nobody else's.
//
// # Evidence
//
// [Rail.Record] writes a pcapng file with two interfaces. The first, named as the rail, holds every frame as the rail
// forwarded it, at the time it left: delayed frames late, corrupted ones corrupted, duplicates twice. The second, named
// "<rail>-dropped", holds frames as their sender offered them that did not arrive so: dropped, overflowed, or changed on
// the way. A passive judge reads the first alone.
//
// # Speed
//
// A rail with nothing to watch and nothing to break forwards without locks and without allocating: a source reads many
// frames with one system call, each frame is copied once, and each destination gets one write for the batch. A fault, a
// recording, a hook or a subscription makes the rail take one lock a frame, which also gives the frames one order.
//
// A destination that does not read (a hung guest) fills its queue; what does not fit is dropped and counted as overflow, as
// in a real switch. It never holds up anybody else.
package fabric
