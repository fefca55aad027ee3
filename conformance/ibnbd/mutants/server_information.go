// SPDX-License-Identifier: Apache-2.0

package mutants

import (
	"encoding/binary"

	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// Places in an INFO request and response.
const (
	atName        = 2
	atRegionCount = 2
	atRegions     = ibtrs.InfoResponseSize
	atRegionKey   = 8
	atRegionSize  = 12
)

// publishes makes a server that publishes its chunks with something wrong.
func publishes(spoil func(message []byte) []byte) func(*brokenServer) {
	return func(b *brokenServer) {
		b.rules().EditInfoResponse = func(_ *ibtrs.ServerPath, message []byte) []byte { return spoil(message) }
	}
}

// lastRegion is the descriptor of the last region of an INFO response.
func lastRegion(message []byte) []byte { return message[len(message)-ibtrs.DescriptorSize:] }

// pairs merges each two regions that follow each other into one.
func pairs(message []byte) []byte {
	merged := message[:atRegions]
	for at := atRegions; at+2*ibtrs.DescriptorSize <= len(message); at += 2 * ibtrs.DescriptorSize {
		region := message[at : at+ibtrs.DescriptorSize]
		size := binary.LittleEndian.Uint32(region[atRegionSize:])
		binary.LittleEndian.PutUint32(region[atRegionSize:], 2*size)
		merged = append(merged, region...)
	}
	binary.LittleEndian.PutUint16(merged[atRegionCount:], uint16(len(merged[atRegions:])/ibtrs.DescriptorSize))
	return merged
}

// information are mutants of the INFO exchange.
func information() []row {
	return []row{
		server("one-region-for-two-chunks", "publishes two chunks as one region, although keys are refreshed", "IBTRS-INFO-007",
			publishes(pairs)),
		server("key-not-yet-there", "the key of the last chunk does not work", "IBTRS-INFO-008",
			publishes(func(m []byte) []byte { lastRegion(m)[atRegionKey+3] ^= 0x40; return m })),
		server("any-info-type", "takes any message as INFO request", "IBTRS-INFO-009",
			func(b *brokenServer) { b.rules().AnyInfoType = true }),
		server("short-info", "takes an INFO request that is cut short", "IBTRS-INFO-010",
			func(b *brokenServer) { b.rules().ShortInfo = true }),
		server("any-session-name", "takes a session name with a slash, and ..", "IBTRS-INFO-011",
			func(b *brokenServer) { b.rules().AnyName = true }),
		server("shared-session-name", "takes a session name that another has", "IBTRS-INFO-012",
			func(b *brokenServer) { b.rules().SharedNames = true }),
		server("name-only-once", "refuses the name of a session on its second path", "IBTRS-INFO-013", func(b *brokenServer) {
			seen := map[string]bool{}
			b.alterInfoRequests(func(m []byte) {
				name := string(m[atName:])
				if seen[name] {
					m[atName] = '/'
				}
				seen[name] = true
			})
		}),
		server("empty-session-name", "takes an empty session name for another", "IBTRS-INFO-014", func(b *brokenServer) {
			b.alterInfoRequests(func(m []byte) {
				if m[atName] == 0 {
					copy(m[atName:], "unnamed")
				}
			})
		}),
		server("endless-session-name", "cuts a session name that has no end", "IBTRS-INFO-014", func(b *brokenServer) {
			b.alterInfoRequests(func(m []byte) { m[atName+254] = 0 })
		}),
		server("early-info", "answers INFO before all connections are there", "IBTRS-INFO-015",
			func(b *brokenServer) { b.rules().EarlyInfo = true }),
		server("heartbeat-for-info", "takes a heartbeat for the INFO request", "IBTRS-INFO-022",
			func(b *brokenServer) { b.rules().AnyInfoType, b.rules().ShortInfo = true, true }),
		server("long-info", "takes an INFO request that is too long", "IBTRS-INFO-025",
			func(b *brokenServer) { b.rules().LongInfo = true }),
	}
}
