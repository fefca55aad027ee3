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

// perftestProgram is one of the programs. Those that measure latency have one message under way; a SEND or a WRITE is then
// answered with one of the same kind.
type perftestProgram struct {
	name    string
	op      rdma.Op
	latency bool
	before  int   // messages about the second connection that are exchanged before the work
	after   []int // lengths of the messages that are exchanged after it: 8 bytes are about results
}

var perftestPrograms = []perftestProgram{
	{"ib_send_bw", rdma.OpSend, false, 3, []int{perftestMessage, perftestMessage}},
	{"ib_write_bw", rdma.OpWrite, false, 3, []int{perftestMessage, 8, 8, 8, 8, 8, perftestMessage}},
	{"ib_read_bw", rdma.OpRead, false, 3, []int{perftestMessage, 8, 8, 8, 8, 8, perftestMessage}},
	{"ib_send_lat", rdma.OpSend, true, 4, []int{perftestMessage}},
	{"ib_write_lat", rdma.OpWrite, true, 4, nil},
	{"ib_read_lat", rdma.OpRead, true, 4, []int{perftestMessage}},
}

var _ = Describe("perftest", func() {
	at := families()["IPv4"]
	for name, action := range conditions {
		for _, program := range perftestPrograms {
			It(fmt.Sprintf("%s of Linux measures this provider %s", program.name, name), func(ctx context.Context) {
				d := onRail(at.own)
				breakWire(action)
				l, err := d.Listen(perftestPort)
				Expect(err).NotTo(HaveOccurred())
				served := make(chan error, 1)
				go func() { served <- perftestServe(ctx, d, l, program) }()
				succeed(start(ctx, program.name, append(perftestArgs(), at.own.Addr().String())...))
				Expect(<-served).To(Succeed())
				Expect(l.Close()).To(Succeed())
			}, specTime)
			It(fmt.Sprintf("%s of Linux is measured by this provider %s", program.name, name), func(ctx context.Context) {
				d := onRail(at.own)
				breakWire(action)
				server := start(ctx, program.name, perftestArgs()...)
				Expect(perftestDial(ctx, d, netip.AddrPortFrom(at.guest.Addr(), perftestPort), program)).To(Succeed())
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

// peerMemory is what a program has said of its memory.
type peerMemory struct {
	addr uint64
	key  uint32
}

func described(message []byte) peerMemory {
	return peerMemory{binary.BigEndian.Uint64(message[24:]), binary.BigEndian.Uint32(message[16:])}
}

// perftestServe is the server of every program.
func perftestServe(ctx context.Context, d *soft.Device, l rdma.Listener, program perftestProgram) (err error) {
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

	data, theirs := make(chan *soft.Conn, 1), make(chan peerMemory, 1)
	measured := make(chan error, 1)
	inner, stop := context.WithCancel(ctx)
	defer stop()
	go func() { measured <- perftestMeasured(inner, l, mem, program, data, theirs) }()
	err = agree(ctx, a, data, theirs)
	stop()
	return errors.Join(err, <-measured)
}

// agree answers until the client is done.
func agree(ctx context.Context, a *agreement, data <-chan *soft.Conn, theirs chan<- peerMemory) error {
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
					theirs <- described(message)
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
func perftestMeasured(ctx context.Context, l rdma.Listener, mem rdma.Region, program perftestProgram, data chan<- *soft.Conn, theirs <-chan peerMemory) (err error) {
	recvs := make([]rdma.RecvWR, perftestConn.RecvQueue)
	for i := range recvs {
		recvs[i] = perftestRecv(mem)
	}
	c, err := acceptNext(ctx, l, perftestConn, recvs...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	data <- c
	k := &talk{Conn: c}
	if program.latency && program.op == rdma.OpWrite {
		select {
		case peer := <-theirs:
			err = writeInTurns(ctx, k, mem, peer, true)
		case <-ctx.Done():
		}
	}
	for err == nil {
		if err = k.await(ctx, true); err == nil {
			err = k.PostRecv(perftestRecv(mem))
		}
		if err == nil && program.latency {
			err = k.do(ctx, rdma.SendWR{Op: rdma.OpSend, Local: perftestRecv(mem).Local, Signaled: true})
		}
	}
	if errors.Is(err, rdma.ErrDisconnected) || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// perftestRecv is a receive on the second connection.
func perftestRecv(mem rdma.Region) rdma.RecvWR {
	return rdma.RecvWR{Local: part(mem, testMemory/2, perftestSize)}
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

// perftestDial is the client of every program.
func perftestDial(ctx context.Context, d *soft.Device, peer netip.AddrPort, program perftestProgram) (err error) {
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
	const pageSize, cacheLine = 4096, 64
	exchange(binary.BigEndian.AppendUint32(nil, pageSize))
	exchange(binary.BigEndian.AppendUint32(nil, cacheLine))
	exchange([]byte("5\x00"))
	exchange(none)
	if err != nil {
		return fmt.Errorf("agreement: %w", err)
	}
	data, err := dialUntilListening(ctx, d, peer, perftestConn, perftestRecv(mem)) // the server begins to listen only now
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, data.Close()) }()
	own := describe(data.(*soft.Conn), mem)
	exchange(none)
	var theirs []byte
	for range program.before {
		theirs = exchange(own)
	}
	if err != nil || len(theirs) != perftestMessage {
		return fmt.Errorf("agreement: %d bytes: %w", len(theirs), err)
	}
	if err = perftestWork(ctx, &talk{Conn: data}, mem, program, described(theirs)); err != nil {
		return err
	}
	for _, length := range program.after {
		exchange(own[:length])
	}
	return err
}
