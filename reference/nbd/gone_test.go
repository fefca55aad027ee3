// SPDX-License-Identifier: Apache-2.0

package nbd_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"testing/synctest"

	"github.com/ibnbd/ibnbd/reference/nbd"
)

// stuck is a disk whose writes take until they are given up, or let go.
type stuck struct {
	ram
	begun, release chan struct{}
	ended          chan error
}

func (s *stuck) WriteAt(ctx context.Context, p []byte, offset int64, fua bool) error {
	s.begun <- struct{}{}
	select {
	case <-ctx.Done():
		s.ended <- ctx.Err()
		return ctx.Err()
	case <-s.release:
	}
	err := s.ram.WriteAt(ctx, p, offset, fua)
	s.ended <- err
	return err
}

// one is a listener with one connection.
type one struct {
	conn   chan net.Conn
	closed chan struct{}
}

func (o *one) Accept() (net.Conn, error) {
	select {
	case c := <-o.conn:
		return c, nil
	case <-o.closed:
		return nil, net.ErrClosed
	}
}

func (o *one) Close() error   { close(o.closed); return nil }
func (o *one) Addr() net.Addr { return &net.UnixAddr{Name: "one", Net: "unix"} }

// TestGivesUpWhatAClientHasLeft ends a connection with a write in flight: it is given up when the client has just gone, and
// executed when that has asked for a disconnect.
func TestGivesUpWhatAClientHasLeft(t *testing.T) {
	for name, disconnects := range map[string]bool{"the client has gone": false, "the client disconnects": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk := &stuck{ram: ram{data: make([]byte, 4096)}, begun: make(chan struct{}), release: make(chan struct{}), ended: make(chan error, 1)}
				s := &nbd.Server{}
				s.Add("disk", disk)
				ours, theirs := net.Pipe()
				l := &one{conn: make(chan net.Conn, 1), closed: make(chan struct{})}
				l.conn <- theirs
				ctx, cancel := context.WithCancel(context.Background())
				served := make(chan error, 1)
				go func() { served <- s.Serve(ctx, l) }()

				be := binary.BigEndian
				send := func(b []byte) {
					t.Helper()
					if _, err := ours.Write(b); err != nil {
						t.Fatal(err)
					}
				}
				receive := func(n int) {
					t.Helper()
					if _, err := io.ReadFull(ours, make([]byte, n)); err != nil {
						t.Fatal(err)
					}
				}
				receive(18)
				send(be.AppendUint32(nil, 3))
				send(append(be.AppendUint32(be.AppendUint32(be.AppendUint64(nil, 0x49484156454f5054), 1), 4), "disk"...))
				receive(10)
				command := func(kind uint16, length uint32) []byte {
					b := be.AppendUint32(nil, 0x25609513)
					b = be.AppendUint32(b, uint32(kind))
					b = be.AppendUint64(b, 1)
					b = be.AppendUint64(b, 0)
					return be.AppendUint32(b, length)
				}
				send(append(command(1, 512), make([]byte, 512)...))
				<-disk.begun
				if disconnects {
					send(command(2, 0))
				} else if err := ours.Close(); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				select {
				case err := <-disk.ended:
					if disconnects {
						t.Errorf("a write in front of a disconnect has ended too early: %v", err)
					} else if err != context.Canceled {
						t.Errorf("a write whose client has gone: %v, want that it was given up", err)
					}
				default:
					if !disconnects {
						t.Error("a write whose client has gone was not given up")
					}
				}
				if disconnects {
					close(disk.release)
					receive(16)
					if err := <-disk.ended; err != nil {
						t.Errorf("a write in front of a disconnect: %v", err)
					}
				}
				cancel()
				if err := <-served; err != nil {
					t.Error(err)
				}
			})
		})
	}
}
