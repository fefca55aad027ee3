// SPDX-License-Identifier: Apache-2.0

package nbd

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"

	"github.com/ibnbd/ibnbd/reference/burst"
)

// Server offers disks by name. The zero Server offers none.
type Server struct {
	// Log may be nil.
	Log *slog.Logger

	connections, aborted, refused atomic.Uint64

	mu    sync.Mutex // guards the rest
	names []string   // in the order in which they were added; the first is also the one without a name
	disks map[string]Disk
}

// Add offers a disk under a name. A disk of the same name is replaced for connections to come.
func (s *Server) Add(name string, d Disk) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.disks == nil {
		s.disks = map[string]Disk{}
	}
	if s.disks[name] == nil {
		s.names = append(s.names, name)
	}
	s.disks[name] = d
}

// find gives a disk, nil if there is none, and its name: the empty one is that of the first disk.
func (s *Server) find(name string) (Disk, string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if name == "" && len(s.names) > 0 {
		name = s.names[0]
	}
	return s.disks[name], name
}

func (s *Server) list() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.names...)
}

// Stats counts what clients have done.
type Stats struct {
	Connections uint64 // that were accepted
	Aborted     uint64 // connections that ended in the middle of something, or with something that is not NBD
	Refused     uint64 // commands that the disk was not offered for
}

// Stats gives the counters.
func (s *Server) Stats() Stats {
	return Stats{Connections: s.connections.Load(), Aborted: s.aborted.Load(), Refused: s.refused.Load()}
}

func (s *Server) log() *slog.Logger {
	if s.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return s.Log
}

// Serve accepts connections until ctx ends; it closes the listener and all connections, waits for them, and returns nil.
// A listener that fails ends it too, with the error.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	var conns sync.WaitGroup
	defer conns.Wait()
	defer cancel()
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	aborted := burst.New(s.log(), slog.LevelWarn, "NBD connection aborted")
	defer aborted.Close()
	for {
		c, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return errors.Join(err, l.Close())
		}
		s.connections.Add(1)
		conns.Go(func() {
			if err := s.serve(ctx, c); err != nil && ctx.Err() == nil {
				s.aborted.Add(1)
				aborted.Note("error", err)
			}
		})
	}
}

// serve deals with one connection.
func (s *Server) serve(ctx context.Context, c net.Conn) error {
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	defer c.Close()
	chosen, err := s.negotiate(c)
	if err != nil || chosen.disk == nil {
		return err
	}
	t := newTransmission(c, chosen)
	t.refused = &s.refused
	return t.run(ctx)
}
