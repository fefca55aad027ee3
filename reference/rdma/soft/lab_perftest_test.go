// SPDX-License-Identifier: Apache-2.0

//go:build lab

package soft_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strconv"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/rdma/soft"
)

// The programs of perftest, told to use the RDMA connection manager alone (-R, which knows IPv4 only), make two connections to one port. On the
// first they agree: the client SENDs a message, the server answers with one of the same kind, and so on; this was seen on
// the wire between two guests. The message of 56 bytes describes memory and queue pair of the second connection, on which
// the measured work is done. A server can answer everything else with an echo.

const (
	perftestPort    = 18515
	perftestRounds  = 200
	perftestSize    = 65536
	perftestMessage = 56
	perftestVersion = "6.06"
	agreementBuffer = 4096
)

// perftestConn is what the second connection is made with.
var perftestConn = rdma.ConnConfig{SendQueue: 512, RecvQueue: 512, InitiatorDepth: 1, ResponderResources: 4, RetryCount: 7, RNRRetryCount: 7}

var _ = Describe("perftest", func() {
	at := families()["IPv4"]
	for name, action := range conditions {
		for _, program := range []string{"ib_send_bw", "ib_write_bw", "ib_read_bw", "ib_send_lat", "ib_read_lat"} {
			It(fmt.Sprintf("%s of Linux measures this provider %s", program, name), func(ctx context.Context) {
				d := onRail(at.own)
				breakWire(action)
				l, err := d.Listen(perftestPort)
				Expect(err).NotTo(HaveOccurred())
				served := make(chan error, 1)
				go func() { served <- perftestServe(ctx, d, l, program == "ib_send_lat") }()
				succeed(start(ctx, program, append(perftestArgs(), at.own.Addr().String())...))
				Expect(<-served).To(Succeed())
				Expect(l.Close()).To(Succeed())
			}, specTime)
		}
		for program, op := range map[string]rdma.Op{"ib_send_bw": rdma.OpSend, "ib_write_bw": rdma.OpWrite, "ib_read_bw": rdma.OpRead} {
			It(fmt.Sprintf("%s of Linux is measured by this provider %s", program, name), func(ctx context.Context) {
				d := onRail(at.own)
				breakWire(action)
				server := start(ctx, program, perftestArgs()...)
				Expect(perftestDial(ctx, d, netip.AddrPortFrom(at.guest.Addr(), perftestPort), op)).To(Succeed())
				succeed(server)
			}, specTime)
		}
	}
})

// perftestArgs are the arguments of a program of perftest in the guest.
func perftestArgs() []string {
	return []string{"-R", "-F", "-d", "rxe0", "-s", strconv.Itoa(perftestSize), "-n", strconv.Itoa(perftestRounds)}
}

// agreement is the first connection.
type agreement struct {
	*talk
	mem rdma.Region
}

// tell sends a message; hear waits for one and gives it, with a receive posted for the next.
func (a *agreement) tell(ctx context.Context, message []byte) error {
	n := copy(a.mem.Bytes(), message)
	return a.do(ctx, rdma.SendWR{Op: rdma.OpSend, Local: part(a.mem, 0, n), Signaled: true})
}

func (a *agreement) hear(ctx context.Context) ([]byte, error) {
	if err := a.await(ctx, true); err != nil {
		return nil, err
	}
	message := append([]byte(nil), a.mem.Bytes()[agreementBuffer:agreementBuffer+a.length]...)
	return message, a.PostRecv(a.recv())
}

func (a *agreement) recv() rdma.RecvWR {
	return rdma.RecvWR{Local: part(a.mem, agreementBuffer, agreementBuffer)}
}

// describe fills a message with what the peer must know of the second connection.
func describe(c *soft.Conn, mem rdma.Region) []byte {
	b := make([]byte, perftestMessage)
	binary.BigEndian.PutUint32(b[4:], 1)
	binary.BigEndian.PutUint32(b[8:], c.QPN())
	binary.BigEndian.PutUint32(b[16:], mem.Key())
	binary.BigEndian.PutUint64(b[24:], mem.Addr()+testMemory/2)
	gid := c.LocalAddr().Addr().As16()
	copy(b[32:], gid[:])
	return b
}

// perftestServe is the server of every program. pong says that messages on the second connection are answered.
func perftestServe(ctx context.Context, d *soft.Device, l rdma.Listener, pong bool) (err error) {
	mem, err := d.Register(testMemory, allRights)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, mem.Close()) }()
	a := &agreement{mem: mem}
	first, err := acceptNext(ctx, l, labConn, a.recv())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, first.Close()) }()
	a.talk = &talk{Conn: first}

	data := make(chan *soft.Conn, 1)
	measured := make(chan error, 1)
	inner, stop := context.WithCancel(ctx)
	defer stop()
	go func() { measured <- perftestMeasured(inner, l, mem, pong, data) }()
	err = agree(ctx, a, data)
	stop()
	return errors.Join(err, <-measured)
}

// agree answers until the client is done.
func agree(ctx context.Context, a *agreement, data <-chan *soft.Conn) error {
	var second *soft.Conn
	for {
		message, err := a.hear(ctx)
		if errors.Is(err, rdma.ErrDisconnected) && second != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if len(message) == perftestMessage && binary.BigEndian.Uint32(message[8:]) != 0 {
			if second == nil {
				select {
				case second = <-data:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			message = describe(second, a.mem)
		}
		if err := a.tell(ctx, message); err != nil && !errors.Is(err, rdma.ErrDisconnected) {
			return err
		}
	}
}

// perftestMeasured serves the second connection until the client is done.
func perftestMeasured(ctx context.Context, l rdma.Listener, mem rdma.Region, pong bool, data chan<- *soft.Conn) (err error) {
	recv := rdma.RecvWR{Local: part(mem, testMemory/2, perftestSize)}
	recvs := make([]rdma.RecvWR, perftestConn.RecvQueue)
	for i := range recvs {
		recvs[i] = recv
	}
	c, err := acceptNext(ctx, l, perftestConn, recvs...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	data <- c
	k := &talk{Conn: c}
	for {
		err := k.await(ctx, true)
		if errors.Is(err, rdma.ErrDisconnected) || errors.Is(err, context.Canceled) {
			return nil
		}
		if err == nil {
			err = k.PostRecv(recv)
		}
		if err == nil && pong {
			err = k.do(ctx, rdma.SendWR{Op: rdma.OpSend, Local: recv.Local, Signaled: true})
		}
		if err != nil {
			return err
		}
	}
}

func acceptNext(ctx context.Context, l rdma.Listener, cfg rdma.ConnConfig, recvs ...rdma.RecvWR) (*soft.Conn, error) {
	r, err := l.Next(ctx)
	if err != nil {
		return nil, err
	}
	c, err := r.Accept(ctx, cfg, nil, recvs...)
	if err != nil {
		return nil, err
	}
	return c.(*soft.Conn), nil
}

// perftestDial is the client of the bandwidth programs.
func perftestDial(ctx context.Context, d *soft.Device, peer netip.AddrPort, op rdma.Op) (err error) {
	mem, err := d.Register(testMemory, allRights)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, mem.Close()) }()
	a := &agreement{mem: mem}
	first, err := dialUntilListening(ctx, d, peer, labConn, a.recv())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, first.Close()) }()
	a.talk = &talk{Conn: first}

	exchange := func(message []byte) []byte {
		if err == nil {
			err = a.tell(ctx, message)
		}
		var answer []byte
		if err == nil {
			answer, err = a.hear(ctx)
		}
		return answer
	}
	none := make([]byte, perftestMessage)
	exchange(append([]byte(perftestVersion), make([]byte, 16-len(perftestVersion))...))
	exchange(binary.BigEndian.AppendUint32(nil, 4096))
	exchange(binary.BigEndian.AppendUint32(nil, perftestSize))
	exchange([]byte("5\x00"))
	exchange(none)
	if err != nil {
		return fmt.Errorf("agreement: %w", err)
	}
	data, err := dialUntilListening(ctx, d, peer, perftestConn) // the server begins to listen only now
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, data.Close()) }()
	own := describe(data.(*soft.Conn), mem)
	exchange(none)
	exchange(own)
	exchange(own)
	theirs := exchange(own)
	if err != nil || len(theirs) != perftestMessage {
		return fmt.Errorf("agreement: %d bytes: %w", len(theirs), err)
	}
	if err = perftestWork(ctx, data, mem, op, binary.BigEndian.Uint64(theirs[24:]), binary.BigEndian.Uint32(theirs[16:])); err != nil {
		return err
	}
	exchange(own)
	if op != rdma.OpSend { // these programs also exchange results
		for range 5 {
			exchange(make([]byte, 8))
		}
	}
	exchange(own)
	return err
}

// perftestWork does the measured work, eight at a time.
func perftestWork(ctx context.Context, c rdma.Conn, mem rdma.Region, op rdma.Op, addr uint64, key uint32) error {
	const inFlight = 8
	k := &talk{Conn: c}
	wr := rdma.SendWR{Op: op, Local: part(mem, testMemory/2, perftestSize), RemoteAddr: addr, RemoteKey: key, Signaled: true}
	for i := range perftestRounds {
		if i >= inFlight {
			if err := k.await(ctx, false); err != nil {
				return fmt.Errorf("%s %d: %w", op, i, err)
			}
		}
		if err := c.PostSend(wr); err != nil {
			return err
		}
	}
	for range inFlight {
		if err := k.await(ctx, false); err != nil {
			return err
		}
	}
	return nil
}
