// SPDX-License-Identifier: Apache-2.0

package ibnbd

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// Server exports block devices.
type Server struct {
	cfg       ServerConfig
	targets   *targets
	workers   *workers
	transport *ibtrs.Server

	mu       sync.Mutex // guards the rest
	sessions map[*ibtrs.ServerSession]*serverSession
}

// Listen starts a server. When it fails, the exports of the configuration are still the caller's.
func Listen(cfg ServerConfig) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("server cannot start: %w", err)
	}
	t, err := newTargets(cfg.Exports, cfg.HostDevices)
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, targets: t, sessions: map[*ibtrs.ServerSession]*serverSession{}}
	s.workers = newWorkers(cfg.Workers)
	s.cfg.Transport.Handler = s
	if s.transport, err = ibtrs.Listen(s.cfg.Transport); err != nil {
		s.workers.stop()
		return nil, err
	}
	return s, nil
}

// Transport is the server's transport, for its sessions, paths and statistics.
func (s *Server) Transport() *ibtrs.Server { return s.transport }

// Drain lets no request begin any more, and waits until those that were begun are answered, or ctx ends; see
// [ibtrs.Server.Drain]. Close comes next.
func (s *Server) Drain(ctx context.Context) error { return s.transport.Drain(ctx) }

// Close ends all sessions, waits for the I/O in flight, and closes the exports. A second call does nothing.
func (s *Server) Close() error {
	err := s.transport.Close()
	s.workers.stop()
	return errors.Join(err, s.targets.closeAll())
}

// Connected begins a session. It is for the transport.
func (s *Server) Connected(sess *ibtrs.ServerSession) (ibtrs.SessionHandler, error) {
	h := newServerSession(s, sess)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions[sess] = h
	return h, nil
}

func (s *Server) forget(sess *ibtrs.ServerSession) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, sess)
}

// OpenDevice is a device as one session has it open.
type OpenDevice struct {
	Session string
	ID      uint32
	Path    string // as the client sent it
	Device  string // name of the real device
	Access  AccessMode
	IOMode  IOMode
}

// Devices are all devices that sessions have open, session by session.
func (s *Server) Devices() []OpenDevice {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []OpenDevice
	for _, sess := range s.transport.Sessions() {
		if h := s.sessions[sess]; h != nil {
			all = append(all, h.list()...)
		}
	}
	return all
}

// Failures counts the I/Os of a session that were refused or failed. Of a session that there is not it counts none.
func (s *Server) Failures(session string) IOFailures {
	if h := s.session(session); h != nil {
		return h.failures.counts()
	}
	return IOFailures{}
}

func (s *Server) session(name string) *serverSession {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.sessions {
		if h.name == name {
			return h
		}
	}
	return nil
}

// ForceClose takes a device away from a session. Its id stays taken, and I/O to it is answered with ENOTCONN.
func (s *Server) ForceClose(session string, id uint32) error {
	h := s.session(session)
	if h == nil {
		return fmt.Errorf("no session %q: %w", session, ibtrs.ENOENT)
	}
	return h.forceClose(id)
}
