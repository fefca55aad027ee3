// SPDX-License-Identifier: Apache-2.0

package mutants

import (
	"encoding/binary"

	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/rdma"
)

// misreads makes a server to which a request looks other than it is.
func misreads(change func(w *request)) func(*brokenServer) {
	return func(b *brokenServer) { b.alterRequests(change) }
}

// kindOf is the type of the block message of a request.
func kindOf(r *ibtrs.ServerRequest) uint16 {
	kind, _ := ibnbd.MessageType(r.Header) // 0 stands for SESS_INFO, and for what is too short
	return kind
}

// requests are mutants of requests and responses of the transport.
func requests() []row {
	return []row{
		server("length-from-the-descriptor", "takes the length of data from the descriptor", "IBTRS-IO-004",
			misreads(func(w *request) {
				if d := w.descriptor(); d != nil && w.is(ibnbd.TypeIO) {
					ioSize.set(w.header, descriptorLength.get(d))
				}
			})),
		server("io-on-service-is-answered-elsewhere", "answers I/O that came on the service connection on another", "IBTRS-IO-008", func(b *brokenServer) {
			b.rules().AnswerOn = func(r *ibtrs.ServerRequest, cid int) int {
				if cid == 0 && kindOf(r) == ibnbd.TypeIO {
					return 1
				}
				return cid
			}
		}),
		server("open-is-answered-on-service", "answers OPEN on the service connection alone", "IBTRS-IO-009", func(b *brokenServer) {
			b.rules().AnswerOn = func(r *ibtrs.ServerRequest, cid int) int {
				if kindOf(r) == ibnbd.TypeOpen {
					return 0
				}
				return cid
			}
		}),
		server("more-than-the-descriptor", "writes all that was read, however long the descriptor is", "IBTRS-IO-010",
			misreads(func(w *request) {
				if d := w.descriptor(); d != nil && w.is(ibnbd.TypeIO) {
					descriptorLength.set(d, ioSize.get(w.header))
				}
			})),
		server("never-invalidates", "takes no key back", "IBTRS-IO-011",
			func(b *brokenServer) { b.rules().NeverInvalidate = true }),
		server("pretends-to-invalidate", "says that it took a key back, and did not", "IBTRS-IO-011",
			func(b *brokenServer) { b.rules().PretendInvalidate = true }),
		server("always-says-invalidated", "says of every key that it took it back", "IBTRS-IO-012", func(b *brokenServer) {
			b.edit(func(_ uint32, work *rdma.SendWR) { sayInvalidated(work) })
		}),
		server("data-of-a-failure", "writes the data of a read that failed", "IBTRS-IO-013",
			func(b *brokenServer) { b.rules().DataOnError = true }),
		server("any-message-type", "answers a transport message of an unknown type", "IBTRS-IO-021",
			func(b *brokenServer) { b.rules().AnyType = true }),
		server("long-header-closes", "closes the path upon a header that is too long", "IBTRS-IO-022",
			func(b *brokenServer) { b.rules().LongHeaderCloses = true }),
		server("first-of-two-descriptors", "uses the first of two descriptors", "IBTRS-IO-023",
			misreads(func(w *request) {
				if w.reads() && messageCount.get(w.message) == 2 {
					messageCount.set(w.message, 1)
				}
			})),
		server("any-descriptor", "does not compare descriptor and data", "IBTRS-IO-024",
			func(b *brokenServer) { b.rules().AnyDescriptor = true }),
		server("repairs-descriptors", "performs a read whose descriptor has a length of nothing or of too much", "IBTRS-IO-025",
			misreads(func(w *request) {
				if d := w.descriptor(); d != nil && w.is(ibnbd.TypeIO) {
					descriptorLength.set(d, ioSize.get(w.header))
				}
			})),
		server("message-wraps-around", "looks for a message that crosses the end of its chunk elsewhere", "IBTRS-IO-026", func(b *brokenServer) {
			b.alterRequests(func(w *request) {
				size := b.Transport.Geometry.ChunkSize()
				if offset := w.imm.Payload() & (1<<b.Transport.Geometry.Shift() - 1); offset+ibtrs.ReadMessageSize > size && offset < size {
					place := uint32(ioSize.get(w.header)) + uint32(len(w.header))
					w.imm = ibtrs.MakeImmediate(ibtrs.ImmRequest, w.chunk(b)<<b.Transport.Geometry.Shift()|place)
				}
			})
		}),
		server("invalidates-nothing", "says that it took a key back when none was named", "IBTRS-IO-034", func(b *brokenServer) {
			asked := map[uint32]bool{}
			b.alterRequests(func(w *request) {
				asked[w.chunk(b)] = w.reads() && messageFlags.get(w.message) != 0 && messageCount.get(w.message) == 0
			})
			b.edit(func(chunk uint32, work *rdma.SendWR) {
				if asked[chunk] {
					sayInvalidated(work)
				}
			})
		}),
	}
}

// sayInvalidated makes a response one of type 2.
func sayInvalidated(work *rdma.SendWR) {
	if id, errno, _, ok := ibtrs.Immediate(work.Imm).Response(); ok {
		imm, _ := ibtrs.ResponseImmediate(id, errno, true) // it was made of this id before
		work.Imm = uint32(imm)
	}
}

// keys are mutants of how a server treats the keys of its chunks.
func keys() []row {
	return []row{
		server("announces-the-other-mode", "announces that it keeps its keys, and refreshes them", "IBTRS-INV-001",
			func(b *brokenServer) { b.rules().AnnounceOther = true }).alsoBreaks("IBTRS-IO-014"),
		server("new-key-does-not-work", "now and then tells a key that is not the new one", "IBTRS-INV-004", func(b *brokenServer) {
			const good = 12 // more than a bystander needs
			count := map[uint32]int{}
			b.edit(func(chunk uint32, work *rdma.SendWR) {
				if count[chunk]++; count[chunk]%good == 0 && len(work.Local) > 0 {
					at := work.Local[0]
					key := at.Region.Bytes()[at.Offset+4:]
					binary.LittleEndian.PutUint32(key, binary.LittleEndian.Uint32(key)^0x40000000)
				}
			})
		}),
		server("old-key-works", "never takes the key of a chunk back", "IBTRS-INV-005",
			func(b *brokenServer) { b.rules().KeepChunkKey = true }),
		serverKept("any-key", "lets a client write its chunks with any key", "IBNBD-FAIL-015", func(b *brokenServer) {
			var regions []ibtrs.Descriptor
			b.rules().EditInfoResponse = func(_ *ibtrs.ServerPath, message []byte) []byte {
				b.mu.Lock()
				defer b.mu.Unlock()
				for at := atRegions; at < len(message); at += ibtrs.DescriptorSize {
					region, _ := ibtrs.ParseDescriptor(message[at:])
					regions = append(regions, region)
				}
				return message
			}
			b.alterRequests(func(w *request) {
				for _, region := range regions {
					if w.key != nil && w.address-region.Address < uint64(region.Length) {
						binary.BigEndian.PutUint32(w.key, region.RKey)
					}
				}
			})
		}),
	}
}
