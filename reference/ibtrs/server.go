// SPDX-License-Identifier: Apache-2.0

package ibtrs

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/ibnbd/ibnbd/reference/burst"
	"github.com/ibnbd/ibnbd/reference/rdma"
)

// Server owns chunk memory and answers requests of clients.
type Server struct {
	cfg       ServerConfig
	listeners *rdma.Listeners
	running   sync.WaitGroup // closing paths
	draining  atomic.Bool    // no request begins any more
	refused   *burst.Log     // connections
	held      heldAnswers

	mu       sync.Mutex // guards the rest, and all that sessions and paths say it guards
	sessions map[UUID]*ServerSession
	names    map[string]*ServerSession
	halfOpen int
	conns    int   // connections, those that are being accepted included
	memory   int64 // bytes of chunks promised
	closed   bool
}

// Listen starts a server on all its devices. If one cannot be listened on, none is.
func Listen(cfg ServerConfig) (*Server, error) {
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("server cannot start: %w", err)
	}
	s := &Server{cfg: cfg, sessions: map[UUID]*ServerSession{}, names: map[string]*ServerSession{}}
	s.refused = burst.New(cfg.Log, slog.LevelInfo, "connection refused")
	l, err := rdma.ListenAll(cfg.Devices, cfg.Port)
	if err != nil {
		return nil, fmt.Errorf("server cannot start: %w", err)
	}
	s.listeners = l
	l.Serve(rdma.Admission{
		Admit: s.admit,
		Refused: func(r rdma.Request, why error) {
			s.refused.Note("from", r.RemoteAddr(), "to", r.LocalAddr(), "reason", why)
		},
		Failed: func(at netip.AddrPort, err error) { cfg.Log.Error("listener failed", "address", at, "error", err) },
	})
	return s, nil
}

// Addrs are the addresses that the server listens on.
func (s *Server) Addrs() []netip.AddrPort { return s.listeners.Addrs() }

// Config is what the server was made of.
func (s *Server) Config() ServerConfig { return s.cfg }

// Sessions are the present sessions, ordered by name.
func (s *Server) Sessions() []*ServerSession {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*ServerSession, 0, len(s.sessions))
	for _, sess := range s.sessions {
		all = append(all, sess)
	}
	slices.SortFunc(all, func(a, b *ServerSession) int {
		return strings.Compare(a.name+string(a.group[:]), b.name+string(b.group[:]))
	})
	return all
}

// Memory is the number of bytes of chunks that are promised to clients, and HalfOpen the number of paths that have not
// exchanged INFO.
func (s *Server) Memory() (bytes int64, halfOpen int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.memory, s.halfOpen
}

// Close stops listening, closes all paths, and waits until the requests in flight have ended and all is given back.
func (s *Server) Close() error {
	s.mu.Lock()
	already := s.closed
	s.closed = true
	var paths []*ServerPath
	for _, sess := range s.sessions {
		paths = append(paths, sess.paths...)
	}
	s.mu.Unlock()
	if already {
		return nil
	}
	err := s.listeners.Close()
	s.listeners.Stop()
	for _, p := range paths {
		p.fail(errServerCloses)
	}
	s.listeners.Wait()
	s.running.Wait()
	s.refused.Close()
	return err
}

var errServerCloses = errors.New("server closes")
