// SPDX-License-Identifier: Apache-2.0

package ibtrs

import (
	"context"
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
	listeners []rdma.Listener
	stop      context.CancelFunc
	running   sync.WaitGroup // listeners' goroutines and closing paths
	draining  atomic.Bool    // no request begins any more
	refused   *burst.Log     // connections

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
	for _, dev := range cfg.Devices {
		l, err := dev.Listen(cfg.Port)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("server cannot start: listen on %s, port %d: %w", dev.Name(), cfg.Port, err), s.closeListeners())
		}
		s.listeners = append(s.listeners, l)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	for i, l := range s.listeners {
		s.running.Go(func() { s.accept(ctx, cfg.Devices[i], l) })
	}
	return s, nil
}

func (s *Server) closeListeners() error {
	var errs []error
	for _, l := range s.listeners {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}

// Addrs are the addresses that the server listens on.
func (s *Server) Addrs() []netip.AddrPort {
	var addrs []netip.AddrPort
	for _, l := range s.listeners {
		addrs = append(addrs, l.Addr())
	}
	return addrs
}

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
	err := s.closeListeners()
	s.stop()
	for _, p := range paths {
		p.fail(errServerCloses)
	}
	s.running.Wait()
	s.refused.Close()
	return err
}

var errServerCloses = errors.New("server closes")

// accept deals with the connection requests of one listener, one after the other.
func (s *Server) accept(ctx context.Context, dev rdma.Device, l rdma.Listener) {
	for {
		request, err := l.Next(ctx)
		if err != nil {
			if !errors.Is(err, rdma.ErrClosed) && ctx.Err() == nil {
				s.cfg.Log.Error("listener failed", "address", l.Addr(), "error", err)
			}
			return
		}
		if err := s.admit(ctx, dev, request); err != nil {
			s.refused.Note("from", request.RemoteAddr(), "to", request.LocalAddr(), "reason", err)
		}
	}
}
