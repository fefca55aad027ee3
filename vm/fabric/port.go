// SPDX-License-Identifier: Apache-2.0

package fabric

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Port is where one guest NIC is plugged in. It listens on a Unix socket; QEMU connects to that with
// "-netdev stream,server=off". A new connection takes the place of the one before it, so a guest can be replaced.
type Port struct {
	rail     *Rail
	name     string
	path     string
	listener *net.UnixListener
	counts   counters
	carrier  carrier
	running  sync.WaitGroup

	mu     sync.Mutex // guards the fields below
	out    *outbox    // nil while nobody is connected
	reader chan struct{}
	err    error
	closed bool
}

// maxSocketPath is the longest path of a Unix socket in bytes, without the NUL that ends it.
const maxSocketPath = len(unix.RawSockaddrUnix{}.Path) - 1

// AddPort adds a port of that name to the rail and listens on a socket in the fabric's directory, "<rail>-<name>.sock".
func (r *Rail) AddPort(name string) (*Port, error) {
	if err := r.checkLink("port", name); err != nil {
		return nil, err
	}
	path := filepath.Join(r.fabric.dir, r.name+"-"+name+".sock")
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("fabric: the socket path %q of port %s has %d bytes, at most %d can be used", path, name, len(path), maxSocketPath)
	}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("fabric: listen for port %s on %s: %w", name, r.name, err)
	}
	p := &Port{rail: r, name: name, path: path, listener: listener}
	r.table.join(p)
	p.running.Go(p.accept)
	return p, nil
}

// checkLink refuses a name that does not fit or is taken.
func (r *Rail) checkLink(what, name string) error {
	if err := checkName(what, name); err != nil {
		return err
	}
	select {
	case <-r.quit:
		return ErrClosed
	default:
	}
	for _, l := range r.table.links() {
		if l.Name() == name {
			return fmt.Errorf("fabric: add %s %q to %s: there is one of that name", what, name, r.name)
		}
	}
	return nil
}

// Name is the port's name, unique on its rail.
func (p *Port) Name() string { return p.name }

// Path is the path of the Unix socket for the guest's NIC.
func (p *Port) Path() string { return p.path }

// Stats returns the port's counters, over all connections.
func (p *Port) Stats() LinkStats { return p.counts.stats() }

// Connected says whether a guest NIC is connected.
func (p *Port) Connected() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out != nil
}

// Err says why the last connection ended, where it did not end by the guest's closing it.
func (p *Port) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// Close unplugs the guest and takes the port off the rail.
func (p *Port) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	p.mu.Unlock()
	err := p.listener.Close()
	p.unplug()
	p.running.Wait()
	p.rail.table.leave(p)
	return err
}

func (p *Port) accept() {
	for {
		conn, err := p.listener.AcceptUnix()
		if err != nil {
			return // the listener is closed: nothing else ends it
		}
		p.unplug()
		p.plug(conn)
	}
}

// unplug ends the present connection, if there is one, and waits until its reader is done.
func (p *Port) unplug() {
	p.mu.Lock()
	out, reader := p.out, p.reader
	p.mu.Unlock()
	if out != nil {
		out.socket.hangUp()
		<-reader
	}
}

// plug makes conn the port's connection and reads it in a goroutine of its own.
func (p *Port) plug(conn *net.UnixConn) {
	s, err := newSocket(conn)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.err = fmt.Errorf("fabric: port %s on %s: %w", p.name, p.rail.name, err)
		return
	}
	if p.closed {
		s.close()
		return
	}
	out := newOutbox(s)
	reader := make(chan struct{})
	p.out, p.reader, p.err = out, reader, nil
	p.rail.tell(Event{Kind: Connected, Detail: p.name})
	p.running.Go(func() { p.serve(out, reader) })
}

// serve forwards what the guest sends until the connection ends.
func (p *Port) serve(out *outbox, done chan struct{}) {
	defer close(done)
	err := p.read(out.socket)
	out.socket.hangUp()
	out.stop()
	out.socket.close()
	p.rail.table.forget(p)
	detail := p.name
	if err != nil {
		detail += ": " + err.Error()
	}
	p.mu.Lock()
	p.out, p.reader, p.err = nil, nil, err
	p.mu.Unlock()
	p.rail.tell(Event{Kind: Disconnected, Detail: detail})
}

// readBuffer is how much one system call may bring; it must hold the largest frame.
const readBuffer = 256 << 10

// read forwards frames until the guest closes (nil), the port unplugs it (nil), or the guest sends nonsense.
//
// All reading happens inside one call of RawConn.Read, which waits whenever its function returns false. A read that does not
// fill the buffer has emptied the socket, so it waits at once, without a second system call to be told so.
func (p *Port) read(s *socket) error {
	in := inbox{port: p, socket: s, buffer: make([]byte, readBuffer), frame: Frame{Rail: p.rail.name, From: p.name}}
	if err := s.readable.Read(func(uintptr) bool { return in.drain() }); err != nil {
		return fmt.Errorf("fabric: port %s on %s: %w", p.name, p.rail.name, err)
	}
	return in.err
}

// inbox is what a port has read and not yet forwarded.
type inbox struct {
	port   *Port
	socket *socket
	buffer []byte
	filled int
	frame  Frame
	batch  batch
	err    error // why reading ended, where it was not the guest's wish
}

// drain reads and forwards until the socket is empty (false) or reading has ended (true).
func (in *inbox) drain() (ended bool) {
	for {
		n, err := in.socket.receive(in.buffer[in.filled:])
		switch {
		case errors.Is(err, unix.EAGAIN):
			return false
		case errors.Is(err, unix.ECONNRESET), err == nil && n == 0:
			return true // the guest is gone
		case err != nil:
			in.err = fmt.Errorf("fabric: port %s on %s: read: %w", in.port.name, in.port.rail.name, err)
			return true
		}
		in.filled += n
		empty := in.filled < len(in.buffer)
		if in.err = in.forward(); in.err != nil {
			return true
		}
		if empty {
			return false
		}
	}
}

// forward brings the whole frames in the buffer on their way and keeps the rest.
func (in *inbox) forward() error {
	used, err := in.port.forward(in.buffer[:in.filled], &in.frame, &in.batch)
	in.batch.flush()
	in.filled = copy(in.buffer, in.buffer[used:in.filled])
	return err
}

// forward offers the whole frames at the begin of b to the rail and returns how many bytes they took.
func (p *Port) forward(data []byte, f *Frame, b *batch) (used int, err error) {
	now := time.Now()
	for len(data)-used >= lengthSize {
		length := binary.BigEndian.Uint32(data[used:])
		if length < MinFrame || length > MaxFrame {
			return used, fmt.Errorf("fabric: port %s on %s: a frame's length is %d bytes, outside %d to %d",
				p.name, p.rail.name, length, MinFrame, MaxFrame)
		}
		end := used + lengthSize + int(length)
		if end > len(data) {
			break
		}
		f.use(data[used+lengthSize:end], now)
		p.counts.in(int(length))
		p.rail.offer(f, p, b)
		used = end
	}
	return used, nil
}

func (p *Port) counters() *counters { return &p.counts }

// put implements link.
func (p *Port) put(frame []byte) bool {
	p.mu.Lock()
	out := p.out
	p.mu.Unlock()
	if out == nil {
		p.counts.unplugged.Add(1)
		return false
	}
	if !out.put(frame) {
		if p.counts.lost() {
			p.rail.tell(Event{Kind: Overflowed, Detail: p.name})
		}
		return false
	}
	p.counts.out(len(frame))
	return true
}

// flush implements link.
func (p *Port) flush() {
	p.mu.Lock()
	out := p.out
	p.mu.Unlock()
	if out != nil {
		out.flush()
	}
}
