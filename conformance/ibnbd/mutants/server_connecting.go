// SPDX-License-Identifier: Apache-2.0

package mutants

import (
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// lastConnection is the last one of a tester's path.
const lastConnection = 2

// accepts makes a server that accepts connections with something wrong in the accept.
func accepts(spoil func(cid int, r *ibtrs.ConnResponse)) func(*brokenServer) {
	return func(b *brokenServer) { b.rules().EditConnResponse = spoil }
}

// onConnRequest makes a server to which a connection request looks other than it is.
func onConnRequest(change func(r *ibtrs.ConnRequest)) func(*brokenServer) {
	return func(b *brokenServer) { b.alterConnRequests(change) }
}

// connecting are mutants of accepting and rejecting.
func connecting() []row {
	return []row{
		server("accept-with-errno", "the last accept of a path has an errno", "IBTRS-CONN-015",
			accepts(func(cid int, r *ibtrs.ConnResponse) {
				if cid == lastConnection {
					r.Errno = -int16(ibtrs.EIO)
				}
			})),
		server("accept-with-other-depth", "the last accept of a path has another depth", "IBTRS-CONN-016",
			accepts(func(cid int, r *ibtrs.ConnResponse) {
				if cid == lastConnection {
					r.QueueDepth--
				}
			})),
		server("accept-with-reserved", "an accept has a reserved byte set", "IBTRS-CONN-020",
			accepts(func(_ int, r *ibtrs.ConnResponse) { r.Reserved[3] = 1 })),
		server("any-magic", "takes any magic", "IBTRS-CONN-021",
			onConnRequest(func(r *ibtrs.ConnRequest) { r.Magic = ibtrs.Magic })),
		server("any-major-version", "takes any major version", "IBTRS-CONN-022",
			onConnRequest(func(r *ibtrs.ConnRequest) { r.Version = ibtrs.Version })),
		server("reject-in-other-words", "rejects a wrong version with EINVAL", "IBTRS-CONN-022",
			func(b *brokenServer) { b.rules().RejectErrno = ibtrs.EINVAL }),
		server("no-minor-version", "takes no minor version but its own", "IBTRS-CONN-023",
			onConnRequest(func(r *ibtrs.ConnRequest) {
				if r.Version != ibtrs.Version {
					r.Magic = 0
				}
			})),
		server("any-count", "takes any number of connections", "IBTRS-CONN-024",
			onConnRequest(func(r *ibtrs.ConnRequest) { r.ConnectionCount = min(r.ConnectionCount, ibtrs.MaxConnections) })),
		server("any-cid", "takes any cid", "IBTRS-CONN-025",
			onConnRequest(func(r *ibtrs.ConnRequest) {
				if r.CID >= r.ConnectionCount {
					r.CID = 0
				}
			})),
		server("count-of-zero", "takes a path of no connections", "IBTRS-CONN-026",
			onConnRequest(func(r *ibtrs.ConnRequest) { r.ConnectionCount = max(r.ConnectionCount, 1) })),
		server("checks-no-count", "checks neither the number of connections nor their cids", "IBTRS-CONN-024",
			func(b *brokenServer) { b.rules().AnyCount = true }).alsoBreaks("IBTRS-CONN-025", "IBTRS-CONN-026"),
		server("rejects-without-errno", "rejects without an error number", "IBTRS-CONN-021",
			func(b *brokenServer) { b.rules().RejectWithoutData = true }),
		server("anyone-creates", "creates a session without the flag", "IBTRS-CONN-027",
			func(b *brokenServer) { b.rules().AnyoneCreates = true }),
		server("cid-twice", "takes a cid for the next one when it has it already", "IBTRS-CONN-029", func(b *brokenServer) {
			seen := map[ibtrs.UUID]map[uint16]bool{}
			b.alterConnRequests(func(r *ibtrs.ConnRequest) {
				if seen[r.PathUUID][r.CID] {
					r.CID++
				}
				if seen[r.PathUUID] == nil {
					seen[r.PathUUID] = map[uint16]bool{}
				}
				seen[r.PathUUID][r.CID] = true
			})
		}),
		server("changing-count", "does not compare the counts of a path", "IBTRS-CONN-030", func(b *brokenServer) {
			first := map[ibtrs.UUID]uint16{}
			b.alterConnRequests(func(r *ibtrs.ConnRequest) {
				if count, begun := first[r.PathUUID]; begun {
					r.ConnectionCount = count
				}
				first[r.PathUUID] = r.ConnectionCount
			})
		}),
		server("joins-a-connected-path", "takes a connection for a connected path as the begin of another", "IBTRS-CONN-031", func(b *brokenServer) {
			complete := map[ibtrs.UUID]bool{}
			b.alterConnRequests(func(r *ibtrs.ConnRequest) {
				if complete[r.PathUUID] {
					r.PathUUID[0]++
				}
				complete[r.PathUUID] = complete[r.PathUUID] || r.CID == lastConnection
			})
		}),
		server("any-incarnation", "lets another incarnation join", "IBTRS-CONN-032",
			func(b *brokenServer) { b.rules().AnyIncarnation = true }),
		server("same-addresses", "takes a second path between the same addresses", "IBTRS-CONN-033",
			func(b *brokenServer) { b.rules().SameAddresses = true }),
		server("reverse-and-silent", "answers nothing on a path that was built from its last connection on", "IBTRS-CONN-036", func(b *brokenServer) {
			begun, reversed := map[ibtrs.UUID]bool{}, map[ibtrs.UUID]bool{}
			b.alterConnRequests(func(r *ibtrs.ConnRequest) {
				if !begun[r.PathUUID] && r.CID != 0 {
					reversed[r.PathUUID] = true
				}
				begun[r.PathUUID] = true
			})
			b.rules().Intercept = func(p *ibtrs.ServerPath, _ uint32, _ ibtrs.Errno, answer func()) {
				b.mu.Lock()
				silent := reversed[p.UUID()]
				b.mu.Unlock()
				if !silent {
					answer()
				}
			}
		}),
		server("reserved-must-be-zero", "refuses a request with reserved bits", "IBTRS-CONN-055",
			onConnRequest(func(r *ibtrs.ConnRequest) {
				if r.Reserved != [11]byte{} {
					r.Magic = 0
				}
			})),
		server("uuid-must-not-be-zero", "refuses a request with zero UUIDs", "IBTRS-CONN-055",
			onConnRequest(func(r *ibtrs.ConnRequest) {
				if r.GroupUUID == (ibtrs.UUID{}) {
					r.Magic = 0
				}
			})),
	}
}
