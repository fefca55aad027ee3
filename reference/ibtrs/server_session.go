// SPDX-License-Identifier: Apache-2.0

package ibtrs

import (
	"net/netip"
	"slices"
	"strings"
)

// ServerSession is the server's side of a session: the paths of one group UUID.
type ServerSession struct {
	server *Server
	group  UUID

	// Guarded by the server's lock.

	name  string // from the first INFO request on
	paths []*ServerPath

	// One place: whoever has its token may use the rest, and tell the handler, which may wait for I/O to end.
	events    chan struct{}
	connected int
	handler   SessionHandler // while connected > 0
}

func newServerSession(srv *Server, group UUID) *ServerSession {
	return &ServerSession{server: srv, group: group, events: make(chan struct{}, 1)}
}

// Name is the session's name, empty before the first path has exchanged INFO.
func (s *ServerSession) Name() string {
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	return s.name
}

// Group is the UUID that identifies the session.
func (s *ServerSession) Group() UUID { return s.group }

// Paths are the present paths of the session.
func (s *ServerSession) Paths() []*ServerPath {
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	return slices.Clone(s.paths)
}

// path finds a path by its UUID. The caller holds the server's lock, as for between.
func (s *ServerSession) path(uuid UUID) *ServerPath {
	for _, p := range s.paths {
		if p.uuid == uuid {
			return p
		}
	}
	return nil
}

// between reports whether the session has a path between two addresses; ports do not matter.
func (s *ServerSession) between(client, server netip.Addr) bool {
	return slices.ContainsFunc(s.paths, func(p *ServerPath) bool { return p.client == client && p.local == server })
}

// takeName gives the session its name, unless another session has it (Clauses IBTRS-INFO-012, IBTRS-INFO-013).
func (s *ServerSession) takeName(name string) error {
	srv := s.server
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if other := srv.names[srv.nameKey(name)]; other != nil && other != s && !srv.cfg.Rules.SharedNames {
		return breachf("IBTRS-INFO-012", "session name %q is that of another session", name)
	}
	if s.name == "" {
		s.name = name
	}
	srv.names[srv.nameKey(s.name)] = s
	return nil
}

// pathUp counts a connected path and gives its handler.
func (s *ServerSession) pathUp() (SessionHandler, error) {
	s.events <- struct{}{}
	defer func() { <-s.events }()
	if s.connected == 0 {
		h, err := s.server.cfg.Handler.Connected(s)
		if err != nil {
			return nil, err
		}
		s.handler = h
	}
	s.connected++
	return s.handler, nil
}

// pathDown takes a connected path back, when none of its requests is in flight any more.
func (s *ServerSession) pathDown() {
	s.events <- struct{}{}
	defer func() { <-s.events }()
	s.connected--
	if s.connected == 0 || s.server.cfg.Rules.FirstPathEnds {
		s.handler.Disconnected()
	}
	if s.connected == 0 {
		s.handler = nil
	}
}

// remove takes a path out of the session, and the session out of the server if it was the last.
func (s *ServerSession) remove(p *ServerPath) {
	srv := s.server
	srv.mu.Lock()
	defer srv.mu.Unlock()
	s.paths = slices.DeleteFunc(s.paths, func(q *ServerPath) bool { return q == p })
	srv.memory -= srv.cfg.pathMemory()
	for _, taken := range p.taken {
		if taken {
			srv.conns--
		}
	}
	if len(s.paths) > 0 {
		return
	}
	delete(srv.sessions, s.group)
	if key := srv.nameKey(s.name); srv.names[key] == s {
		delete(srv.names, key)
	}
}

// nameKey is what the names of two sessions are compared by.
func (s *Server) nameKey(name string) string {
	if s.cfg.Rules.FoldNames {
		return strings.ToLower(name)
	}
	return name
}
