// SPDX-License-Identifier: Apache-2.0

package mutants

import (
	"bytes"
	"encoding/binary"
	"math"
	"time"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/provocations"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/rdma/soft"
	"github.com/ibnbd/ibnbd/reference/roce"
)

// transportRule makes a client with a rule of the transport turned off.
func transportRule(turn func(r *ibtrs.ClientRules)) func(*ibnbd.ClientConfig) {
	return func(cfg *ibnbd.ClientConfig) { turn(&cfg.Transport.Rules) }
}

// onAccept makes a client to which accepts look other than they are.
func onAccept(change func(r *ibtrs.ConnResponse)) func(*filter) {
	return func(f *filter) { f.alterAccepts(change) }
}

// onReject makes a client to which rejects look other than they are.
func onReject(change func(reason roce.RejReason, r *ibtrs.ConnResponse) roce.RejReason) func(*filter) {
	return func(f *filter) { f.alterRejects(change) }
}

// refusing makes a client that takes no accept which is chosen.
func refusing(chosen func(r *ibtrs.ConnResponse) bool) func(*filter) {
	return onAccept(func(r *ibtrs.ConnResponse) {
		if chosen(r) {
			r.Magic = 0
		}
	})
}

// clientConnecting are mutants of a client that connects.
func clientConnecting() []row {
	return []row{
		client("takes-any-accept", "takes an accept with another magic, version or an errno", "IBTRS-CONN-037",
			transportRule(func(r *ibtrs.ClientRules) { r.IgnoreAccept = true })),
		misled("takes-depth-zero", "takes queue depth 0 for a default", "IBTRS-CONN-038",
			onAccept(func(r *ibtrs.ConnResponse) {
				if r.QueueDepth == 0 {
					r.QueueDepth = 16
				}
			})),
		client("takes-another-depth", "goes on with a path whose queue depth has changed", "IBTRS-CONN-039",
			transportRule(func(r *ibtrs.ClientRules) { r.IgnoreDepthChange = true })).bySilence(),
		misled("no-unknown-flags-in-accept", "refuses an accept with unknown flags", "IBTRS-CONN-040",
			refusing(func(r *ibtrs.ConnResponse) bool { return r.Flags&^ibtrs.KeyRefresh != 0 })),
		client("waits-too-long-for-an-answer", "waits for an answer to its request for twice as long", "IBTRS-CONN-045",
			func(cfg *ibnbd.ClientConfig) { cfg.Transport.Timers.Connect *= 3 }).bySilence(),
		misled("makes-a-number-of-any-reject", "takes a reject that is none of the server's for one of EIO", "IBTRS-CONN-046",
			onReject(func(reason roce.RejReason, r *ibtrs.ConnResponse) roce.RejReason {
				if reason != roce.RejConsumer {
					*r = ibtrs.Reject(ibtrs.EIO)
				}
				return roce.RejConsumer
			})),
		client("reports-no-errno", "reports ECONNRESET whatever the server says", "IBTRS-CONN-047",
			transportRule(func(r *ibtrs.ClientRules) { r.IgnoreRejectErrno = true })),
		misled("reject-of-zero-is-busy", "takes a reject with errno 0 for one with EBUSY", "IBTRS-CONN-048",
			onReject(func(reason roce.RejReason, r *ibtrs.ConnResponse) roce.RejReason {
				if r.Errno == 0 {
					*r = ibtrs.Reject(ibtrs.EBUSY)
				}
				return reason
			})),
		client("takes-any-geometry", "takes any sizes of an accept", "IBTRS-CONN-051",
			transportRule(func(r *ibtrs.ClientRules) { r.IgnoreGeometry = true })),
		misled("no-minor-version-in-accept", "refuses an accept with a higher minor version", "IBTRS-CONN-056",
			refusing(func(r *ibtrs.ConnResponse) bool { return r.Version != ibtrs.Version })),
		client("takes-regions-of-any-number", "takes regions whose number does not divide the depth", "IBTRS-INFO-016",
			transportRule(func(r *ibtrs.ClientRules) { r.IgnoreInfoResponse = true })),
		client("takes-regions-of-any-length", "takes regions of any length", "IBTRS-INFO-017",
			transportRule(func(r *ibtrs.ClientRules) { r.IgnoreInfoResponse = true })),
		misled("takes-too-many-chunks", "takes more chunks than an immediate can name for fewer", "IBTRS-INFO-018", func(f *filter) {
			f.alterAccepts(func(r *ibtrs.ConnResponse) {
				if r.MaxIOSize+r.MaxHeaderSize == 16<<20 {
					r.QueueDepth = 16
				}
			})
			f.alterInfoResponses(func(m []byte) {
				if size := m[ibtrs.InfoResponseSize+atRegionSize:]; binary.LittleEndian.Uint32(size) == 512<<20 {
					binary.LittleEndian.PutUint32(size, 256<<20)
				}
			})
		}),
		client("waits-too-long-for-info", "waits for the INFO response for twice as long", "IBTRS-INFO-021",
			func(cfg *ibnbd.ClientConfig) { cfg.Transport.Timers.Info *= 3 }).bySilence(),
		misled("takes-any-info-type", "takes an INFO response of any type", "IBTRS-INFO-026", func(f *filter) {
			f.alterInfoResponses(func(m []byte) { m[0] = ibtrs.TypeInfoResponse })
		}),
	}
}

// provokedBy names the provocations that must find the mutant.
func (r row) provokedBy(names ...string) row {
	t := r.Trial.(clientTrial)
	t.only = names
	r.Trial = t
	return r
}

// bySilence has the mutant found by the provocation that waits for timers.
func (r row) bySilence() row {
	r.Slow = true
	return r.provokedBy("servers say nothing, each at another point")
}

// clientResponses are mutants of how a client takes responses, and of its heartbeat.
func clientResponses() []row {
	return []row{
		misled("client-without-unknown-immediates", "closes the path upon an immediate that has no meaning", "IBTRS-IMM-008", func(f *filter) {
			f.alterReceived(func(p *soft.Packet) bool { return p.OpCode() == roce.RCWriteOnlyImm && immediateNumber(p).Type() == 3 }, breaks)
		}),
		misled("takes-any-id", "takes the chunk of a response modulo the depth", "IBTRS-IMM-009", func(f *filter) {
			f.alterImmediates(func(imm ibtrs.Immediate) ibtrs.Immediate {
				if id, errno, _, ok := imm.Response(); ok && id == 16 {
					imm, _ = ibtrs.ResponseImmediate(0, errno, false)
				}
				return imm
			})
		}),
		misled("no-stray-response", "closes the path upon a response that has no request", "IBTRS-IMM-010", func(f *filter) {
			f.alterReceived(func(p *soft.Packet) bool {
				if p.OpCode() != roce.RCWriteOnlyImm {
					return false
				}
				id, _, _, ok := immediateNumber(p).Response()
				return ok && id == 11 // which the provocation leaves idle
			}, breaks)
		}),
		misled("answers-in-order", "takes responses for those of its requests in order", "IBTRS-IMM-014", inOrder),
		client("no-heartbeat-ack-of-client", "acknowledges no heartbeat", "IBTRS-HB-002",
			transportRule(func(r *ibtrs.ClientRules) { r.NoHeartbeatAck = true })),
		misled("no-heartbeat-ack-of-client-elsewhere", "acknowledges no heartbeat that comes on a connection for I/O", "IBTRS-HB-012",
			func(f *filter) { deafElsewhere(f, fromService) }),
		client("needs-heartbeats", "stops to send heartbeats, and then hears nothing of a server that sends none", "IBTRS-HB-006",
			func(cfg *ibnbd.ClientConfig) {
				stop := time.Now().Add(3 * cfg.Transport.Timers.HeartbeatInterval)
				cfg.Transport.Rules.EditHeartbeat = func(_ *ibtrs.Path, imm ibtrs.Immediate) (ibtrs.Immediate, bool) {
					return imm, imm != ibtrs.Heartbeat || time.Now().Before(stop)
				}
			}).bySilence(),
		client("never-notices-silence", "never declares a server dead", "IBTRS-HB-007",
			transportRule(func(r *ibtrs.ClientRules) { r.IgnoreSilence = true })).bySilence(),
		client("leaves-the-key-of-a-read", "does not take the key of a read back when the server did not", "IBTRS-IO-015",
			transportRule(func(r *ibtrs.ClientRules) { r.KeepReadKey = true })),
		misled("data-in-the-place-of-headers", "uses the room for headers for data", "IBTRS-IO-028",
			onAccept(func(r *ibtrs.ConnResponse) {
				const header = 512
				if r.MaxHeaderSize > header {
					r.MaxIOSize, r.MaxHeaderSize = r.MaxIOSize+r.MaxHeaderSize-header, header
				}
			})).with(blockRule(func(r *ibnbd.ClientRules) { r.NoLimits = true })),
		misled("lets-servers-write-anywhere", "lets a server write behind the place for the data of a read", "IBNBD-FAIL-017", func(f *filter) {
			overwritten := []byte("overwritten")
			f.alterReceived(func(p *soft.Packet) bool { return p.OpCode() == roce.RCWriteOnly && bytes.Equal(p.Data(), overwritten) }, func(p *soft.Packet) {
				binary.BigEndian.PutUint64(p.Ext(), binary.BigEndian.Uint64(p.Ext())-4096)
			})
		}),
	}
}

// inOrder makes responses those of the requests that wait for the longest.
func inOrder(f *filter) {
	type waiting struct{ chunk uint32 }
	var sent []waiting
	const shift = 24 // of 16 chunks
	f.alterSent(func(p *soft.Packet) bool { return withImmediate(p) && immediateNumber(p).Type() == ibtrs.ImmRequest }, func(p *soft.Packet) {
		sent = append(sent, waiting{immediateNumber(p).Payload() >> shift})
	})
	f.alterImmediates(func(imm ibtrs.Immediate) ibtrs.Immediate {
		_, errno, invalidated, ok := imm.Response()
		if !ok || len(sent) == 0 {
			return imm
		}
		imm, _ = ibtrs.ResponseImmediate(sent[0].chunk, errno, invalidated)
		sent = sent[1:]
		return imm
	})
}

// clientKeys are mutants of how a client treats the keys of chunks.
func clientKeys() []row {
	return []row{
		client("uses-old-keys", "goes on using the old key of a chunk", "IBTRS-INV-007",
			transportRule(func(r *ibtrs.ClientRules) { r.IgnoreNewKey = true })),
		client("takes-short-keys", "takes a key response that is too short", "IBTRS-INV-008",
			transportRule(func(r *ibtrs.ClientRules) { r.ShortKeyResponse = true })),
		misled("takes-keys-of-any-type", "takes a key response of any type", "IBTRS-INV-009", func(f *filter) {
			f.alterKeyResponses(func(_ *soft.Packet, m []byte) { binary.LittleEndian.PutUint16(m, ibtrs.TypeKeyResponse) })
		}),
		misled("takes-keys-of-any-chunk", "takes a key response for another chunk", "IBTRS-INV-010", func(f *filter) {
			f.alterKeyResponses(func(p *soft.Packet, m []byte) {
				if id, _, _, ok := immediateNumber(p).Response(); ok {
					binary.LittleEndian.PutUint16(m[2:], uint16(id))
				}
			})
		}),
		misled("wants-another-key", "gives the path up when a key response brings the old key", "IBTRS-INV-011", func(f *filter) {
			last := map[uint16]uint32{}
			f.alterKeyResponses(func(_ *soft.Packet, m []byte) {
				chunk, key := binary.LittleEndian.Uint16(m[2:]), binary.LittleEndian.Uint32(m[4:])
				if last[chunk] == key {
					m[0] = 0
				}
				last[chunk] = key
			})
		}),
		client("takes-any-form", "takes responses in the form of the other key mode", "IBTRS-INV-013",
			transportRule(func(r *ibtrs.ClientRules) { r.AnyResponseForm = true })).alsoBreaks("IBTRS-INV-014"),
		misled("keeps-the-key-mode", "keeps the key mode of its first path", "IBTRS-INV-015", func(f *filter) {
			first, known := uint32(0), false
			f.alterAccepts(func(r *ibtrs.ConnResponse) {
				if !known {
					first, known = r.Flags, true
				}
				r.Flags = first
			})
		}),
	}
}

// clientPaths are mutants of how a client treats the loss of a path, and of what is too much for it.
func clientPaths() []row {
	return []row{
		misled("client-outlives-a-connection", "does not notice that one of its connections was ended", "IBTRS-PATH-003", func(f *filter) {
			const repeated = 16 // as often as a request is repeated
			f.lose(repeated, managed(roce.AttrDREQ))
		}),
		client("counts-no-incarnations", "does not count incarnations", "IBTRS-PATH-004",
			transportRule(func(r *ibtrs.ClientRules) { r.KeepIncarnation = true })),
		client("promises-more-time", "tells its user twice the times of a failover that follow from its timers", "IBTRS-PATH-026",
			transportRule(func(r *ibtrs.ClientRules) { r.EditBounds = func(b *ibtrs.Bounds) { scaleBounds(b, 2, 1) } })),
		client("promises-less-time", "tells its user a tenth of the times that a failover takes", "IBTRS-PATH-025",
			transportRule(func(r *ibtrs.ClientRules) { r.EditBounds = func(b *ibtrs.Bounds) { scaleBounds(b, 1, 10) } })).slowly(),
		misled("client-dies-of-a-magic", "dies of an accept with another magic", provocations.Survival, func(f *filter) {
			f.alterAccepts(func(r *ibtrs.ConnResponse) {
				if r.Magic != ibtrs.Magic {
					f.die()
				}
			})
		}).provokedBy("an accept has another magic").slowly(),
		misled("client-dies-of-the-largest", "dies of an accept with the largest queue depth", provocations.SurvivalDeadly, func(f *filter) {
			f.alterAccepts(func(r *ibtrs.ConnResponse) {
				if r.QueueDepth == math.MaxUint16 {
					f.die()
				}
			})
		}).slowly(),
		misled("client-dies-of-a-number", "dies of an error number that nobody knows", provocations.Survival, func(f *filter) {
			f.alterImmediates(func(imm ibtrs.Immediate) ibtrs.Immediate {
				if _, errno, _, ok := imm.Response(); ok && errno == ibtrs.MaxWireErrno {
					f.die()
				}
				return imm
			})
		}).provokedBy("a read fails with a number that nobody knows").slowly(),
	}
}

// scaleBounds multiplies all bounds.
func scaleBounds(b *ibtrs.Bounds, by, over time.Duration) {
	for _, bound := range []*ibtrs.Bound{&b.StallWithPath, &b.ErrorWithoutPath, &b.Reconnect} {
		bound.Limit = bound.Limit * by / over
	}
}
