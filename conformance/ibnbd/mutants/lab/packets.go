// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bytes"
	"encoding/binary"

	"github.com/ibnbd/ibnbd/conformance/stamp"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/layout"
	"github.com/ibnbd/ibnbd/reference/roce"
	"github.com/ibnbd/ibnbd/vm/agent/ioprobe"
	"github.com/ibnbd/ibnbd/vm/fabric"
)

// packets are those that connect, acknowledge or answer otherwise.
func packets() []row {
	return []row{
		{
			Name: "listens-elsewhere", What: "the target listens on port 1235", Breaks: []string{"IBTRS-CONN-001"},
			By: []string{"a target is found at port 1234 of the TCP port space"},
			Wire: func(target, _ string) fabric.Fault {
				return altersReceived(target, "ask port 1235", managed(roce.AttrREQ, func(mad []byte) bool {
					binary.BigEndian.PutUint16(mad[reqPort:], ibtrs.DefaultPort+1)
					return true
				}))
			},
		},
		{
			Name: "too-many-paths-is-busy", What: "a path too many is rejected with EBUSY", Breaks: []string{"IBTRS-CONN-035"}, Pair: own,
			By: []string{"a target rejects the 129th path of a session"},
			Wire: func(target, _ string) fabric.Fault {
				return altersSent(target, "reject with EBUSY", managed(roce.AttrREJ, rejectsBusy))
			},
		},
		{
			Name: "takes-no-key-back", What: "a chunk can be written while the disk has it", Breaks: []string{"IBNBD-FAIL-016"},
			By: []string{"a target whose disk is at work has taken back the key of the chunk"},
			Wire: func(target, _ string) fabric.Fault {
				return altersSent(target, "acknowledge what has no key", acknowledgesAll)
			},
		},
		{
			Name: "serves-behind-the-end", What: "I/O behind the end of a disk that has shrunk succeeds", Breaks: []string{"IBNBD-FAIL-032"},
			By: []string{"under writes that go on an export that shrinks fails what lies behind its new end, and nothing else"},
			Wire: func(target, _ string) fabric.Fault {
				return altersSent(target, "answer 0 instead of EIO", errno(ibtrs.EIO, 0))
			},
		},
		{
			Name: "serves-without-a-disk", What: "I/O on a disk that has gone succeeds", Breaks: []string{"IBNBD-FAIL-013"},
			By: []string{"the disk behind an export gives errors and no hang when it goes away under a mapping"},
			Wire: func(target, _ string) fabric.Fault {
				return altersSent(target, "answer 0 instead of EIO", errno(ibtrs.EIO, 0))
			},
		},
	}
}

// rejectsBusy alters the error number in the private data of a reject.
func rejectsBusy(mad []byte) bool {
	r, err := ibtrs.ParseConnResponse(mad[rejPrivate:])
	if err != nil {
		return false
	}
	r.Errno = -int16(ibtrs.EBUSY)
	b, err := r.AppendBinary(nil)
	return err == nil && copy(mad[rejPrivate:], b) == len(b)
}

// acknowledgesAll makes an acknowledgement of a refusal. Nothing is written by that, and what is sent next is refused again; but a
// client can no more tell that its key was taken back than where it was not.
func acknowledgesAll(p packet) bool {
	if p.BTH.OpCode != roce.RCAcknowledge || p.AETH.Syndrome.Class() != roce.SyndromeNAK {
		return false
	}
	const noCredits = 31
	p.headers()[0] = noCredits
	return true
}

// Fields of messages.
var (
	infoRegions    = field(ibtrs.Layout, "info_response", "count") // with key refresh one for each chunk
	openIOMode     = field(ibnbd.Layout, "open", "io_mode")
	openRotational = field(ibnbd.Layout, "open_rsp", "rotational")
)

func field(p layout.Protocol, message, name string) layout.Field {
	f, known := p.MustMessage(message).Field(name)
	if !known {
		panic("no field " + name + " in " + message)
	}
	return f
}

// messages are those whose messages say something else.
func messages() []row {
	unknownType := func(m []byte) bool {
		m[0] ^= 0x80
		return true
	}
	unsupported := []string{"a target that knows the feature marker answers EOPNOTSUPP to what file I/O cannot do"}
	return []row{
		{
			Name: "asks-mainline-for-the-unknown", What: "the initiator's INFO request has another type", Breaks: []string{"IBNBD-COMPAT-001"},
			Pair: ownInitiator,
			By:   []string{"a disk between this project and mainline is mapped by this project's client from mainline's server in both key modes"},
			Wire: func(_, initiator string) fabric.Fault {
				return altersSent(initiator, "ask for what nobody knows", message(roce.RCSendOnly, ibtrs.InfoRequestSize, ibtrs.TypeInfoRequest, unknownType))
			},
		},
		{
			Name: "tells-mainline-the-unknown", What: "the target's INFO response has another type", Breaks: []string{"IBNBD-COMPAT-002"},
			Pair: ownTarget,
			By:   []string{"a disk between this project and mainline is mapped by mainline's client from this project's server in both key modes"},
			Wire: func(target, _ string) fabric.Fault {
				return altersSent(target, "tell what nobody knows", message(roce.RCSendFirst, ibtrs.InfoResponseSize, ibtrs.TypeInfoResponse, unknownType))
			},
		},
		{
			Name: "no-room-for-many-registrations", What: "the INFO response for more than 1025 chunks has another type", Breaks: []string{"IBTRS-INFO-023"},
			Pair: own, By: []string{"a target with a queue depth serves a session of 2048"},
			Wire: func(target, _ string) fabric.Fault {
				return altersSent(target, "tell nothing of more than 1025 chunks", message(roce.RCSendFirst, ibtrs.InfoResponseSize, ibtrs.TypeInfoResponse, func(m []byte) bool {
					return infoRegions.Uint(m) > 1025 && unknownType(m)
				}))
			},
		},
		{
			Name: "tells-version-one-nothing", What: "bytes 44 and 45 of an answer to OPEN mean nothing", Breaks: []string{"IBNBD-COMPAT-003"}, Pair: own,
			By: []string{"a target that knows original clients tells one of version 1 rotational and I/O mode in bytes 44 and 45"},
			Wire: func(target, _ string) fabric.Fault {
				return altersSent(target, "tell nothing in bytes 44 and 45", message(roce.RCWriteOnly, ibnbd.OpenResponseSize, ibnbd.TypeOpenResponse, func(m []byte) bool {
					m[openRotational.Offset], m[openRotational.Offset+1] = 0xFF, 0xFF
					return true
				}))
			},
		},
		{
			Name: "mixes-io-modes", What: "a device that is exported in one I/O mode is opened in the other", Breaks: []string{"IBNBD-OPEN-025"}, Pair: own,
			By: []string{"a target that knows the feature marker refuses the other I/O mode while a device is exported in one"},
			Wire: func(target, _ string) fabric.Fault {
				return altersReceived(target, "open for block I/O", message(roce.RCWriteOnlyImm, ibnbd.OpenRequestSize, ibnbd.TypeOpen, func(m []byte) bool {
					was := m[openIOMode.Offset]
					m[openIOMode.Offset] = byte(ibnbd.BlockIO)
					return was != byte(ibnbd.BlockIO)
				}))
			},
		},
		{
			Name: "unsupported-is-invalid", What: "what file I/O cannot do gives EINVAL", Breaks: []string{"IBNBD-IO-022"}, Pair: own, By: unsupported,
			Wire: func(target, _ string) fabric.Fault {
				return altersSent(target, "answer EINVAL instead of EOPNOTSUPP", errno(ibtrs.EOPNOTSUPP, ibtrs.EINVAL))
			},
		},
	}
}

// data are those that lose or mix what is written.
func data() []row {
	return []row{
		{
			Name: "write-same-writes-zeroes", What: "operation 5 writes zeroes, with data or without", Breaks: []string{"IBNBD-IO-008"}, Pair: own,
			By: []string{"a target that knows the feature marker takes operation 5 with data for write-same"},
			Wire: func(target, _ string) fabric.Fault {
				return altersReceived(target, "write zeroes", func(p packet) bool {
					if _, _, err := stamp.Read(p.Payload); err != nil || p.BTH.OpCode != roce.RCWriteOnlyImm {
						return false
					}
					clear(p.Payload[:stamp.Sector])
					return true
				})
			},
		},
		{
			Name: "loses-some-writes", What: "every tenth write leaves zeroes", Breaks: []string{"IBNBD-FAIL-027"}, Pair: own,
			By: []string{"failover on carrier loss with two paths: no I/O fails, none stalls beyond the bound, and the path comes back after heal"},
			Wire: func(target, _ string) fabric.Fault {
				return altersReceived(target, "write nothing every tenth time", func(p packet) bool {
					s := ioprobe.ParseStamp(p.Payload)
					if s == nil || s.Seq%10 != 9 {
						return false
					}
					clear(p.Payload[:len(p.Payload)/stamp.Sector*stamp.Sector])
					return true
				})
			},
		},
		{
			// Where the wire has kept the first write, this is what it leaves when it lands last.
			Name: "old-writes-land-last", What: "what was written first to a place stays there", Breaks: []string{"IBNBD-FAIL-020"}, Pair: own,
			By: []string{"failover with a wire that keeps what was sent lands no old write after a newer one"},
			Wire: func(target, _ string) fabric.Fault {
				return altersReceived(target, "write what was written first", firstWrites())
			},
		},
	}
}

// firstWrites has every packet of a write carry what was written first to its place.
func firstWrites() change {
	first := make(map[uint64][]byte) // by sector
	return func(p packet) bool {
		_, sector, err := stamp.Read(p.Payload)
		if err != nil {
			return false
		}
		sectors := p.Payload[:len(p.Payload)/stamp.Sector*stamp.Sector]
		old, known := first[sector]
		if !known {
			first[sector] = bytes.Clone(sectors)
		}
		if !known || bytes.Equal(sectors, old) {
			return false
		}
		copy(sectors, old)
		return true
	}
}
