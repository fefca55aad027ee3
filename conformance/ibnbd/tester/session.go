// SPDX-License-Identifier: Apache-2.0

package tester

import (
	"crypto/rand"
	"encoding/hex"

	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// Session is a group of paths. Paths that are made of it take its fields as they are then.
type Session struct {
	Name  string     // of its INFO requests
	Group ibtrs.UUID // of its connection requests
	// Outstanding is how many requests are sent on each connection of a path before answers are looked at, beside the few that
	// every connection has room for.
	Outstanding int
	// Deaf paths have no receives on the connections for I/O.
	Deaf bool

	tester *Tester
	paths  int
}

// NewSession makes a session with a name and a group of its own.
func (t *Tester) NewSession() *Session {
	group := randomUUID()
	return &Session{Name: "tester-" + hex.EncodeToString(group[:6]), Group: group, tester: t}
}

func randomUUID() (u ibtrs.UUID) {
	rand.Read(u[:]) // never fails
	return u
}

// Connections is how many connections a conforming path has: one for the service and two for I/O.
const Connections = 3

// NewPath makes a path over a rail, without connecting it. Its request is conforming: only the first path of a session may
// create it.
func (s *Session) NewPath(rail int) *Path { return s.NewPathOver(s.tester.target.Rails[rail]) }

// NewPathOver is [Session.NewPath] over any way to the target.
func (s *Session) NewPathOver(way Rail) *Path {
	p := &Path{
		Session: s, rail: way,
		Request: ibtrs.ConnRequest{
			Magic: ibtrs.Magic, Version: ibtrs.Version, ConnectionCount: Connections, Incarnation: 1,
			PathUUID: randomUUID(), GroupUUID: s.Group,
		},
	}
	if s.paths == 0 {
		p.Request.FirstConnection = ibtrs.FirstConnection
	}
	s.paths++
	s.tester.paths = append(s.tester.paths, p)
	return p
}
