// SPDX-License-Identifier: Apache-2.0

package fabric

import (
	"errors"
	"net"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// socket is a connection to a guest's NIC.
//
// The runtime's poller must not know it: it asks to be told of each frame that goes out, too, and would wake a thread, on
// processors that the guests need, to find nobody waiting. It waits for an epoll instance instead that reports nothing but
// frames to read.
type socket struct {
	conn     *os.File
	raw      syscall.RawConn
	epoll    *os.File
	readable syscall.RawConn // its Read waits for frames
}

// newSocket takes the connection over, or closes it.
func newSocket(conn *net.UnixConn) (*socket, error) {
	file, err := withoutPoller(conn)
	if err != nil {
		return nil, err
	}
	s := &socket{conn: file}
	if s.raw, err = file.SyscallConn(); err == nil {
		err = s.watch()
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// withoutPoller returns a blocking file of the connection, which it closes.
func withoutPoller(conn *net.UnixConn) (*os.File, error) {
	defer conn.Close()
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	var fd int
	gone := raw.Control(func(old uintptr) { fd, err = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0) })
	if err := errors.Join(gone, err); err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), "guest"), nil
}

// watch makes the epoll instance.
func (s *socket) watch() error {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	if err := unix.SetNonblock(fd, true); err != nil { // else the runtime's poller would not take it
		return errors.Join(err, unix.Close(fd))
	}
	s.epoll = os.NewFile(uintptr(fd), "epoll")
	gone := s.raw.Control(func(conn uintptr) {
		err = unix.EpollCtl(fd, unix.EPOLL_CTL_ADD, int(conn), &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP})
	})
	if err := errors.Join(gone, err); err != nil {
		return err
	}
	s.readable, err = s.epoll.SyscallConn()
	return err
}

// receive reads what is there: EAGAIN where that is nothing, 0 bytes at the end.
func (s *socket) receive(buffer []byte) (n int, err error) {
	return s.transfer(unix.SYS_RECVFROM, buffer, unix.MSG_DONTWAIT)
}

// trySend writes what the connection takes at once.
func (s *socket) trySend(buffer []byte) int {
	n, _ := s.transfer(unix.SYS_SENDTO, buffer, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
	return n // a broken connection shows again in send
}

// transfer is a system call that does not wait, so the runtime need not hear of it: it would wake its monitor for each.
func (s *socket) transfer(call uintptr, buffer []byte, flags uintptr) (n int, err error) {
	gone := s.raw.Control(func(fd uintptr) {
		for {
			done, _, errno := unix.RawSyscall6(call, fd, uintptr(unsafe.Pointer(unsafe.SliceData(buffer))), uintptr(len(buffer)), flags, 0, 0)
			switch errno {
			case 0:
				n = int(done)
				return
			case unix.EINTR:
			default:
				err = errno
				return
			}
		}
	})
	if gone != nil {
		return 0, gone
	}
	return n, err
}

// send waits until the connection takes some of the buffer, and returns how much it took.
func (s *socket) send(buffer []byte) (n int, err error) {
	gone := s.raw.Control(func(fd uintptr) {
		for again := true; again; again = errors.Is(err, unix.EINTR) {
			n, err = unix.SendmsgN(int(fd), buffer, nil, nil, unix.MSG_NOSIGNAL)
		}
	})
	return max(n, 0), errors.Join(err, gone)
}

// hangUp ends the connection for whoever waits in it, which closing alone does not.
func (s *socket) hangUp() {
	_ = s.raw.Control(func(fd uintptr) { _ = unix.Shutdown(int(fd), unix.SHUT_RDWR) })
}

func (s *socket) close() {
	_ = s.conn.Close()
	if s.epoll != nil {
		_ = s.epoll.Close()
	}
}
