// SPDX-License-Identifier: Apache-2.0

package soft

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// PacketSocket sends and receives the Ethernet frames of a network interface. It needs CAP_NET_RAW. The interface is put
// into promiscuous mode, so that a link on it may have a MAC address of its own.
//
// If the IP address of the link is one that the host has too, the host's own IP stack answers each packet with "port
// unreachable", unless somebody holds UDP port 4791; give the link an address that the host has not.
type PacketSocket struct {
	file *os.File
	name string
}

var _ Frames = (*PacketSocket)(nil)

// OpenPacketSocket opens a network interface by name.
func OpenPacketSocket(name string) (*PacketSocket, error) {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return nil, fmt.Errorf("soft: open a packet socket on %s: %w", name, err)
	}
	// Protocol 0 receives nothing until the socket is bound to the interface.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("soft: open a packet socket on %s (this needs CAP_NET_RAW): %w", name, err)
	}
	if err := setUpPacketSocket(fd, i.Index); err != nil {
		return nil, errors.Join(fmt.Errorf("soft: open a packet socket on %s: %w", name, err), unix.Close(fd))
	}
	return &PacketSocket{os.NewFile(uintptr(fd), "packet socket on "+name), name}, nil
}

func setUpPacketSocket(fd, index int) error {
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, recvBufferWanted) // needs CAP_NET_ADMIN; smaller works too
	return errors.Join(
		wrap("ignore outgoing frames", unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1)),
		wrap("listen to every address", unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP,
			&unix.PacketMreq{Ifindex: int32(index), Type: unix.PACKET_MR_PROMISC})),
		wrap("bind", unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: networkOrder(unix.ETH_P_ALL), Ifindex: index})),
	)
}

// Send sends frames. What the interface has no room for is lost.
func (s *PacketSocket) Send(frames ...[]byte) error {
	for _, frame := range frames {
		_, err := s.file.Write(frame)
		if err != nil && !errors.Is(err, unix.ENOBUFS) {
			return fmt.Errorf("soft: send on %s: %w", s.name, err)
		}
	}
	return nil
}

// Receive waits for a frame.
func (s *PacketSocket) Receive(ctx context.Context, buffer []byte) (int, error) {
	if ctx.Err() != nil {
		return s.look(buffer)
	}
	if err := s.file.SetReadDeadline(time.Time{}); err != nil {
		return 0, fmt.Errorf("soft: receive on %s: %w", s.name, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = s.file.SetReadDeadline(time.Now()) })
	n, err := s.file.Read(buffer)
	stop()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return 0, ctx.Err()
	}
	return checkFrame(n, err, buffer)
}

// look gives a frame that is there, without waiting.
func (s *PacketSocket) look(buffer []byte) (n int, err error) {
	raw, err := s.file.SyscallConn()
	if err != nil {
		return 0, err
	}
	outer := raw.Control(func(fd uintptr) { n, err = unix.Read(int(fd), buffer) })
	if outer != nil {
		return 0, outer
	}
	if errors.Is(err, unix.EAGAIN) {
		return 0, context.Canceled
	}
	return checkFrame(n, err, buffer)
}

// checkFrame refuses a frame that filled the whole buffer, because it may have been cut.
func checkFrame(n int, err error, buffer []byte) (int, error) {
	if err == nil && n == len(buffer) {
		err = io.ErrShortBuffer
	}
	return n, err
}

// Close closes the socket.
func (s *PacketSocket) Close() error { return s.file.Close() }

// isTooLong tells whether a frame was too long for the buffer: it is no packet of a queue pair.
func isTooLong(err error) bool { return errors.Is(err, io.ErrShortBuffer) }
