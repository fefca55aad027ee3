// SPDX-License-Identifier: Apache-2.0

package ibtrs

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/ibnbd/ibnbd/reference/rdma"
)

// refusal is why a connection request is rejected, and with which number.
type refusal struct {
	errno  Errno
	clause string // that demands it, or "" for a limit of this server
	reason string
}

func (r *refusal) Error() string {
	if r.clause == "" {
		return fmt.Sprintf("%s: %s", r.errno, r.reason)
	}
	return fmt.Sprintf("%s: %s (clause %s)", r.errno, r.reason, r.clause)
}

func refuse(errno Errno, clause, format string, args ...any) *refusal {
	return &refusal{errno, clause, fmt.Sprintf(format, args...)}
}

// admit accepts or rejects a connection request.
func (s *Server) admit(ctx context.Context, dev rdma.Device, request rdma.Request) error {
	r, err := s.parseRequest(request.PrivateData())
	if err != nil {
		return s.reject(request, err)
	}
	p, no := s.reserve(dev, request.LocalAddr().Addr(), request.RemoteAddr().Addr(), r)
	if no != nil {
		return s.reject(request, no)
	}
	defer p.accepting(-1)
	if err := p.accept(ctx, request, int(r.CID)); err != nil {
		p.fail(err)
		return err
	}
	return nil
}

func (s *Server) reject(request rdma.Request, no *refusal) error {
	errno := no.errno
	if s.cfg.Rules.RejectErrno != 0 {
		errno = s.cfg.Rules.RejectErrno
	}
	if f := s.cfg.Rules.EditReject; f != nil {
		errno = f(no.clause, errno)
	}
	data, _ := Reject(errno).AppendBinary(nil)
	if s.cfg.Rules.RejectWithoutData {
		data = nil
	}
	if err := request.Reject(data); err != nil {
		return fmt.Errorf("%w; reject: %w", no, err)
	}
	return no
}

// parseRequest makes the checks that need no session (Clauses IBTRS-CONN-021 to IBTRS-CONN-026).
func (s *Server) parseRequest(data []byte) (ConnRequest, *refusal) {
	r, err := ParseConnRequest(data)
	if err == nil {
		return r, nil
	}
	magic := r.Magic == Magic && r.Version>>8 == Version>>8
	if !magic && s.cfg.Rules.AnyMagic || magic && s.cfg.Rules.AnyCount {
		return r, nil
	}
	clause := "IBTRS-CONN-021"
	switch {
	case r.Magic == Magic && !magic:
		clause = "IBTRS-CONN-022"
	case magic && r.ConnectionCount > MaxConnections:
		clause = "IBTRS-CONN-024"
	case magic:
		clause = "IBTRS-CONN-025"
	}
	return r, refuse(ECONNRESET, clause, "%v", err)
}

// reserve finds or makes session and path of a request, and keeps the place of its connection. The
// connection counts as being accepted then.
func (s *Server) reserve(dev rdma.Device, local, remote netip.Addr, r ConnRequest) (*ServerPath, *refusal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, refuse(ECONNRESET, "", "the server is closing")
	}
	if s.conns >= s.cfg.MaxConnections {
		return nil, refuse(ENOMEM, "", "%d connections, more are not allowed", s.conns)
	}
	sess, no := s.findSession(r)
	if no != nil {
		return nil, no
	}
	p := sess.path(r.PathUUID)
	if p == nil {
		if p, no = s.addPath(sess, dev, local, remote, r); no != nil {
			return nil, no
		}
	} else if no := s.mayJoin(p, r); no != nil {
		return nil, no
	}
	p.taken[r.CID] = true
	s.conns++
	p.accepting(+1)
	return p, nil
}

// findSession gives the session of a request, a new one if it does not exist and may be created. A new one is known to
// the server when it has got its path.
func (s *Server) findSession(r ConnRequest) (*ServerSession, *refusal) {
	if sess := s.sessions[r.GroupUUID]; sess != nil {
		return sess, nil
	}
	may := r.FirstConnection&FirstConnection != 0 || s.cfg.LegacyClients || s.cfg.Rules.AnyoneCreates
	switch {
	case !may:
		return nil, refuse(ENXIO, "IBTRS-CONN-027", "no session of group %x, and the first-connection flag is clear", r.GroupUUID)
	case len(s.sessions) >= s.cfg.MaxSessions:
		return nil, refuse(ENOMEM, "", "%d sessions, at most %d are allowed", len(s.sessions), s.cfg.MaxSessions)
	}
	return newServerSession(s, r.GroupUUID), nil
}

// mayJoin decides whether a connection may join a path that exists (Clauses IBTRS-CONN-029 to IBTRS-CONN-032).
func (s *Server) mayJoin(p *ServerPath, r ConnRequest) *refusal {
	if r.Incarnation != p.incarnation && !s.cfg.Rules.AnyIncarnation {
		if newer := int16(r.Incarnation-p.incarnation) > 0; newer {
			p.fail(errSuperseded)
		}
		return refuse(EBUSY, "IBTRS-CONN-032", "incarnation %d of the path is still there, the request is of %d", p.incarnation, r.Incarnation)
	}
	switch {
	case p.State() != StateConnecting:
		return refuse(ECONNRESET, "IBTRS-CONN-031", "the path is %s", p.State())
	case int(r.ConnectionCount) != len(p.taken):
		return refuse(ECONNRESET, "IBTRS-CONN-030", "connection count %d, the path was begun with %d", r.ConnectionCount, len(p.taken))
	case p.taken[r.CID]:
		return refuse(ECONNRESET, "IBTRS-CONN-029", "connection %d exists already", r.CID)
	}
	return nil
}

// addPath makes the path of a request (Clauses IBTRS-CONN-033, IBTRS-CONN-035, IBTRS-CONN-050).
func (s *Server) addPath(sess *ServerSession, dev rdma.Device, local, remote netip.Addr, r ConnRequest) (*ServerPath, *refusal) {
	rules := &s.cfg.Rules
	need := s.cfg.pathMemory()
	switch {
	case len(sess.paths) >= MaxPaths && !rules.NoPathLimit:
		return nil, refuse(ECONNRESET, "IBTRS-CONN-035", "the session has %d paths", len(sess.paths))
	case sess.between(remote, local) && !rules.SameAddresses:
		return nil, refuse(EEXIST, "IBTRS-CONN-033", "the session has a path from %s to %s", remote, local)
	case s.halfOpen >= s.cfg.MaxHalfOpen && !rules.NoHalfOpenLimit:
		return nil, refuse(ENOMEM, "IBTRS-CONN-050", "%d paths are half-open", s.halfOpen)
	case s.memory+need > s.cfg.MaxMemory:
		return nil, refuse(ENOMEM, "", "%d bytes of chunks in use, %d more exceed the limit %d", s.memory, need, s.cfg.MaxMemory)
	}
	p := newServerPath(sess, dev, local, remote, r)
	s.memory += need
	s.halfOpen++
	sess.paths = append(sess.paths, p)
	s.sessions[sess.group] = sess
	if !rules.NoHalfOpenLimit {
		p.awaitInfo(s.cfg.Timers.HalfOpen)
	}
	return p, nil
}
