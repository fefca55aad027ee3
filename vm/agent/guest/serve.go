// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/hashicorp/yamux"

	"github.com/ibnbd/ibnbd/vm/agent/internal/wire"
)

// Serve answers hosts on port until port ends or ctx does. A host opens a session by its Hello and thereby ends that of
// the one before it; what a session started, programs and open files, ends with it. Serve returns nil when port ended.
func Serve(ctx context.Context, port io.ReadWriter) error {
	s := server{ctx: ctx, port: &lockedWriter{w: port}}
	defer s.end()
	frames := wire.NewFrameReader(port)
	for {
		frame, err := frames.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the port: %w", err)
		}
		if err := s.handle(frame); err != nil {
			return fmt.Errorf("write to the port: %w", err)
		}
	}
}

// A server is what one port is doing: the current session, if any.
type server struct {
	ctx     context.Context
	port    *lockedWriter
	current *session
}

func (s *server) handle(frame wire.Frame) error {
	mine := s.current != nil && s.current.conn.Session() == frame.Session
	switch {
	case frame.Kind == wire.Hello:
		if !mine {
			s.end()
			s.current = newSession(s.ctx, frame.Session, s.port)
		}
		return wire.WriteFrame(s.port, wire.Frame{Kind: wire.Welcome, Session: frame.Session})
	case frame.Kind == wire.Data && mine:
		if err := s.current.conn.Deliver(frame.Payload); err != nil {
			s.end() // the session gave up; its host will notice, and say Hello again
		}
	}
	return nil
}

func (s *server) end() {
	if s.current != nil {
		s.current.end()
		s.current = nil
	}
}

// A lockedWriter lets several goroutines write whole frames.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// A session serves one host.
type session struct {
	conn    *wire.Conn
	mux     *yamux.Session
	cancel  context.CancelFunc
	handles handles
	done    sync.WaitGroup
}

func newSession(ctx context.Context, id uint64, port io.Writer) *session {
	ctx, cancel := context.WithCancel(ctx)
	s := &session{conn: wire.NewConn(id, port, nil), cancel: cancel}
	mux, err := yamux.Server(s.conn, wire.Multiplexing())
	if err != nil {
		panic("agent: multiplexing: " + err.Error()) // our own configuration is wrong; unit tests would have told
	}
	s.mux = mux
	s.done.Go(func() { s.accept(ctx) })
	return s
}

// end stops everything that the session does. System calls that the kernel does not let go of, such as I/O on a device
// without a path, are left behind.
func (s *session) end() {
	s.cancel()
	s.conn.End(io.EOF)
	s.mux.Close()
	s.done.Wait()
	s.handles.closeAll()
}

func (s *session) accept(ctx context.Context) {
	for {
		conn, err := s.mux.AcceptStream()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			s.serve(ctx, &stream{conn})
		}()
	}
}

// serve carries out the one operation of a stream.
func (s *session) serve(ctx context.Context, st *stream) {
	kind, body, err := wire.ReadMessage(st)
	if err != nil {
		return // the host let go before it asked
	}
	reply, err := s.operate(ctx, st, kind, body)
	if err != nil {
		_ = wire.WriteJSON(st, wire.Failure, wire.PackError(err)) // a host that is gone cannot be told
		return
	}
	_ = wire.WriteJSON(st, wire.Reply, reply)
}

func (s *session) operate(ctx context.Context, st *stream, kind wire.Kind, body []byte) (reply any, err error) {
	if kind != wire.Request {
		return nil, fmt.Errorf("stream begins with a message of kind %d, not with a request", kind)
	}
	call, err := wire.ParseCall(body)
	if err != nil {
		return nil, err
	}
	operation, ok := operations[call.Op]
	if !ok {
		return nil, fmt.Errorf("unknown operation %q", call.Op)
	}
	return operation(ctx, s, st, call.Args)
}

// A stream is the connection of one operation.
type stream struct{ io.ReadWriter }

// expect reads the one message that must come next.
func (st *stream) expect(kind wire.Kind) ([]byte, error) {
	got, body, err := wire.ReadMessage(st)
	if err == nil && got != kind {
		err = fmt.Errorf("message of kind %d where %d belongs", got, kind)
	}
	return body, err
}

// untilLetGo returns a context that ends when the host lets go of the stream. It is for operations that send much and to
// which the host says nothing more.
func (st *stream) untilLetGo(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		_, _, err := wire.ReadMessage(st)
		cancel(fmt.Errorf("the host let go: %w", err))
	}()
	return ctx
}

// content reads Bytes until End.
func (st *stream) content() io.Reader {
	return &contentReader{stream: st}
}

type contentReader struct {
	stream *stream
	rest   []byte
	ended  bool
}

func (r *contentReader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		if r.ended {
			return 0, io.EOF
		}
		kind, body, err := wire.ReadMessage(r.stream)
		switch {
		case err != nil:
			return 0, fmt.Errorf("content cut short: %w", noEOF(err))
		case kind == wire.End:
			r.ended = true
		case kind == wire.Bytes:
			r.rest = body
		default:
			return 0, fmt.Errorf("message of kind %d inside content", kind)
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
